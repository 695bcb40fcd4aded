//! Reading bodies: bounded in size, depth and time, in JSON or YAML.

use std::time::Duration;

use axum::body::Body;
use breakbulk_protobuf::DecodeError;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;

use super::negotiate::Format;
use crate::json;
use crate::registry::objects::Submitted;
use crate::status::{ApiError, ApiResult};

/// The largest body, as upstream.
pub(super) const MAX_BYTES: usize = 3 << 20;
/// How much of a body that is too large is still taken.
const DRAINED_BYTES: usize = 8 * MAX_BYTES;
/// The deepest nesting.
const MAX_DEPTH: usize = 100;
/// What reading YAML of that depth may take of the stack.
const YAML_STACK: usize = 16 << 20;
/// A body that takes longer is not coming.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body whole. What is too large is still taken off the wire, up to a bound: a client that is busy sending does
/// not read the refusal.
pub(super) async fn read(body: Body) -> ApiResult<Bytes> {
    let read = tokio::time::timeout(TIMEOUT, collect(body)).await;
    read.unwrap_or_else(|_| Err(ApiError::timeout("the body of the request did not arrive in time")))
}

async fn collect(mut body: Body) -> ApiResult<Bytes> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("the body of the request could not be read"))?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total > DRAINED_BYTES {
            break;
        }
        // Mostly a body is one frame: then it is not copied.
        if total == data.len() {
            first = data;
        } else if total <= MAX_BYTES {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    if total > MAX_BYTES {
        return Err(ApiError::too_large(MAX_BYTES));
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Parses a body.
pub(super) fn parse(bytes: &[u8], format: Format) -> ApiResult<Submitted> {
    match format {
        Format::Json => parse_json(bytes),
        Format::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("the body is not UTF-8"))?;
            let object = read_yaml(text, DuplicateKeyPolicy::LastWins)
                .map_err(|e| ApiError::bad_request(format!("the body is not valid YAML: {e}")))?;
            Ok(Submitted::plain(object))
        }
        Format::Protobuf => match breakbulk_protobuf::decode(bytes) {
            Ok(decoded) => Ok(Submitted::plain(decoded.object)),
            Err(DecodeError::TooLarge { limit }) => Err(ApiError::too_large(limit)),
            Err(error @ DecodeError::UnknownKind { .. }) => Err(ApiError::unsupported_media_type(error.to_string())),
            Err(error) => Err(ApiError::bad_request(format!(
                "the body of the request is not valid protobuf: {error}"
            ))),
        },
    }
}

/// Reads YAML. Its depth is bounded by us, and its aliases by the parser's own budget.
fn read_yaml(text: &str, duplicates: DuplicateKeyPolicy) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        duplicate_keys: duplicates,
    };
    // What reads YAML takes tens of kilobytes of stack for each level of an unoptimised build.
    stacker::maybe_grow(YAML_STACK, YAML_STACK, || {
        serde_saphyr::from_str_with_options(text, options)
    })
}

/// Of YAML that can be read: the first key that stands twice, as upstream's parser words it. A reader that does not look
/// for it takes the last.
pub(super) fn repeated_key(bytes: &[u8], format: Format) -> Option<String> {
    let text = (format == Format::Yaml)
        .then(|| std::str::from_utf8(bytes).ok())
        .flatten()?;
    let error = read_yaml(text, DuplicateKeyPolicy::Error).err()?;
    let line = error.location()?.line();
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("");
            Some(format!(
                "yaml: unmarshal errors:\n  line {line}: key {key:?} already set in map"
            ))
        }
        _ => None,
    }
}

/// Parses JSON, noting members that stand twice.
pub(super) fn parse_json(bytes: &[u8]) -> ApiResult<Submitted> {
    if bytes.is_empty() {
        return Err(ApiError::bad_request("the body of the request is empty"));
    }
    let (object, duplicates) = json::parse(bytes, MAX_DEPTH)
        .map_err(|e| ApiError::bad_request(format!("the body of the request is not valid JSON: {e}")))?;
    Ok(Submitted {
        duplicates,
        ..Submitted::plain(object)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_as_deep_as_json_may_be_and_no_deeper() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for format in [Format::Json, Format::Yaml] {
                assert!(parse(nested(90).as_bytes(), format).is_ok(), "{format:?} {open}");
                let refused = parse(nested(100_000).as_bytes(), format).unwrap_err();
                assert_eq!(refused.code(), 400, "{format:?} {open}");
            }
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_taken_from_the_last_and_told() {
        let text = b"a: 1\nb:\n  c: 2\n  c: 3\n";
        let read = parse(text, Format::Yaml).unwrap();
        assert_eq!(read.object, serde_json::json!({"a": 1, "b": {"c": 3}}));
        let told = repeated_key(text, Format::Yaml).unwrap();
        assert_eq!(told, "yaml: unmarshal errors:\n  line 4: key \"c\" already set in map");
        assert_eq!(repeated_key(b"a: 1\nb: [{a: 1}, {a: 2}]\n", Format::Yaml), None);
        assert_eq!(repeated_key(b"{\"a\": 1, \"a\": 2}", Format::Json), None);
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, of) in ["b", "c", "d", "e", "f", "g", "h"]
            .into_iter()
            .zip(["a", "b", "c", "d", "e", "f", "g"])
        {
            text += &format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 10].join(", "));
        }
        assert_eq!(parse(text.as_bytes(), Format::Yaml).unwrap_err().code(), 400);
    }
}
