//! The last touch to an answer: indented where people look, in YAML where that is wanted, compressed where it is large.
//! Handlers make compact JSON and know nothing of this. What nobody asks for costs one look at the headers.
//!
//! Large answers are worked on off the runtime's threads, a few at a time: what a list needs while it is turned into YAML
//! is several times its size.

use std::io::Write as _;

use axum::body::{Body, HttpBody as _};
use breakbulk_protobuf::{EncodeError, TypeMeta};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT, VARY};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::Route;
use super::negotiate::{self, Media, Otherwise};
use super::respond::Answer;
use crate::request::{Lasting, RequestInfo};
use crate::status::{ApiError, ApiResult};

/// What is smaller is not worth compressing (`responsewriters.defaultGzipThresholdBytes`).
const GZIP_FROM: usize = 128 << 10;
/// Upstream's level: most of the gain for the least of the time.
const GZIP_LEVEL: u32 = 1;
/// What is larger is worked on elsewhere.
const INLINE: usize = 64 << 10;
/// Large answers worked on at a time.
static LARGE: Semaphore = Semaphore::const_new(4);
/// How many times as large as compact an indented answer may be. Deep nesting made for the purpose would be a hundred
/// times as large; such a one stays compact.
const INDENT_FACTOR: usize = 8;

/// What is to be done to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finish {
    look: Look,
    packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Compact,
    Indented,
    Yaml,
    Protobuf(Otherwise),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Bare,
    Gzip,
}

impl Finish {
    /// What a request asks for.
    pub(super) fn of(info: &RequestInfo, headers: &HeaderMap) -> Self {
        let bare = Self {
            look: Look::Compact,
            packing: Packing::Bare,
        };
        if info.lasting() == Lasting::LongRunning {
            return bare;
        }
        let accepted = negotiate::accepted(headers).ok();
        let negotiated = matches!(
            info.route,
            Route::Objects(_)
                | Route::LegacyVersions
                | Route::Groups
                | Route::Group(_)
                | Route::Resources { .. }
                | Route::Unknown
        );
        let media = accepted.filter(|_| negotiated).map(|accepted| accepted.media);
        let pretty = || accepted.is_some_and(|a| a.pretty) || info.pretty().unwrap_or_else(|| is_for_people(headers));
        let look = if media == Some(Media::Yaml) {
            Look::Yaml
        } else if let Some(Media::Protobuf(otherwise)) = media {
            Look::Protobuf(otherwise)
        } else if pretty() {
            Look::Indented
        } else {
            Look::Compact
        };
        let packing = if takes_gzip(headers) {
            Packing::Gzip
        } else {
            Packing::Bare
        };
        Self { look, packing }
    }

    /// Does it.
    ///
    /// # Errors
    /// 500 when the answer cannot be turned into what is wanted.
    pub(super) async fn apply(self, answer: Answer) -> ApiResult<Answer> {
        let size = answer.body().size_hint().exact();
        let (Some(size), true) = (size, is_json(answer.headers())) else {
            return Ok(answer);
        };
        // Aggregated discovery says what it is in its media type, and is not offered in YAML.
        let exactly = answer
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|v| v == "application/json");
        let look = match self.look {
            Look::Yaml | Look::Protobuf(_) if !exactly => Look::Compact,
            look => look,
        };
        let packs = self.packing == Packing::Gzip && usize::try_from(size).unwrap_or(usize::MAX) > GZIP_FROM;
        if (look == Look::Compact && !packs) || size == 0 {
            return Ok(answer);
        }
        let (mut parts, body) = answer.into_parts();
        let failed = |why: &dyn std::fmt::Display| {
            tracing::error!(error = %why, "an answer cannot be finished");
            ApiError::internal("the answer cannot be encoded")
        };
        let bytes = body.collect().await.map_err(|e| failed(&e))?.to_bytes();
        let this = Self { look, ..self };
        let done = if bytes.len() > INLINE {
            // Closed never; and if it were, the work could still be done.
            let _turn = LARGE.acquire().await.ok();
            let work = tokio::task::spawn_blocking(move || this.work(&bytes));
            work.await.map_err(|e| failed(&e))?
        } else {
            this.work(&bytes)
        };
        let done = match done {
            // Custom resources have no protobuf, and tables neither.
            Err(FinishError::Protobuf(EncodeError::UnknownKind { .. })) => {
                return Err(ApiError::not_acceptable("application/json, application/yaml"));
            }
            done => done.map_err(|e| failed(&e))?,
        };
        parts.headers.remove(CONTENT_LENGTH);
        if let Some(media) = done.media {
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        if done.packing == Packing::Gzip {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        Ok(Answer::from_parts(parts, Body::from(done.bytes)))
    }

    fn work(self, json: &Bytes) -> Result<Done, FinishError> {
        let (bytes, media): (Bytes, _) = match self.look {
            Look::Compact => (json.clone(), None),
            Look::Indented => (indent(json).map_or_else(|| json.clone(), Bytes::from), None),
            Look::Yaml => (yaml(json)?.into(), Some("application/yaml")),
            Look::Protobuf(otherwise) => match (protobuf(json), otherwise) {
                (Err(FinishError::Protobuf(EncodeError::UnknownKind { .. })), Otherwise::Json) => (json.clone(), None),
                (encoded, _) => (encoded?.into(), Some(breakbulk_protobuf::MEDIA_TYPE)),
            },
        };
        if self.packing == Packing::Gzip && bytes.len() > GZIP_FROM {
            let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::new(GZIP_LEVEL));
            encoder.write_all(&bytes).map_err(FinishError::Gzip)?;
            let bytes = encoder.finish().map_err(FinishError::Gzip)?.into();
            let packing = Packing::Gzip;
            return Ok(Done { bytes, media, packing });
        }
        let packing = Packing::Bare;
        Ok(Done { bytes, media, packing })
    }
}

struct Done {
    bytes: Bytes,
    /// Where it is JSON no more.
    media: Option<&'static str>,
    packing: Packing,
}

#[derive(Debug, thiserror::Error)]
enum FinishError {
    #[error("it is not JSON")]
    Json(#[source] serde_json::Error),
    #[error("it cannot be written as YAML")]
    Yaml(#[source] serde_saphyr::ser_error::Error),
    #[error("it cannot be written as protobuf")]
    Protobuf(#[source] EncodeError),
    #[error("it cannot be compressed")]
    Gzip(#[source] std::io::Error),
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/json"))
}

/// Browsers and what people type into a shell (`responsewriters.isPrettyPrint`).
fn is_for_people(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map_or(&b""[..], |v| v.as_bytes());
    [&b"curl"[..], b"Wget", b"Mozilla/5.0"]
        .iter()
        .any(|start| agent.starts_with(start))
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(ACCEPT_ENCODING)
        .into_iter()
        .filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|token| {
        let (name, rest) = token.split_once(';').unwrap_or((token, ""));
        let refused = rest
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.trim().parse::<f32>().ok())
            == Some(0.0);
        name.trim() == "gzip" && !refused
    })
}

fn yaml(json: &[u8]) -> Result<String, FinishError> {
    let value: Value = serde_json::from_slice(json).map_err(FinishError::Json)?;
    serde_saphyr::to_string(&value).map_err(FinishError::Yaml)
}

fn protobuf(json: &[u8]) -> Result<Vec<u8>, FinishError> {
    if let Some((api_version, kind)) = named(json) {
        if !breakbulk_protobuf::knows(&api_version, &kind) {
            return Err(FinishError::Protobuf(EncodeError::UnknownKind { api_version, kind }));
        }
        if kind.ends_with("List")
            && let Ok(list) = serde_json::from_slice(json)
        {
            return protobuf_list(
                TypeMeta {
                    api_version: &api_version,
                    kind: &kind,
                },
                &list,
            );
        }
    }
    let value: Value = serde_json::from_slice(json).map_err(FinishError::Json)?;
    breakbulk_protobuf::encode(&value).map_err(FinishError::Protobuf)
}

/// A list whose items are not read yet.
#[derive(Deserialize)]
struct List<'j> {
    #[serde(default)]
    metadata: Value,
    #[serde(borrow)]
    items: Vec<&'j RawValue>,
}

/// A list, of which never more than one item is there as a value: all of them would be several times the list.
fn protobuf_list(meta: TypeMeta<'_>, list: &List<'_>) -> Result<Vec<u8>, FinishError> {
    let mut unread = None;
    let items = list.items.iter().map(|item| {
        let item: Result<Value, _> = serde_json::from_str(item.get());
        item.unwrap_or_else(|error| {
            unread = Some(error);
            Value::Null
        })
    });
    let encoded = breakbulk_protobuf::encode_list(meta, &list.metadata, items).map_err(FinishError::Protobuf)?;
    unread.map_or(Ok(encoded), |error| Err(FinishError::Json(error)))
}

/// Version and kind of what this server has written, which begins with them, in either order: a large list of what has no
/// protobuf is not read through to find that out. None where it begins otherwise.
fn named(json: &[u8]) -> Option<(String, String)> {
    fn member<'j>(json: &'j [u8], name: &str) -> Option<(&'j str, &'j [u8])> {
        let rest = json
            .strip_prefix(b"\"")?
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"\":\"")?;
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let value = std::str::from_utf8(&rest[..end]).ok()?;
        Some((value, rest[end..].strip_prefix(b"\",")?))
    }
    let json = json.strip_prefix(b"{")?;
    if let Some((api_version, rest)) = member(json, "apiVersion") {
        let (kind, _) = member(rest, "kind")?;
        return Some((api_version.to_owned(), kind.to_owned()));
    }
    let (kind, rest) = member(json, "kind")?;
    let (api_version, _) = member(rest, "apiVersion")?;
    Some((api_version.to_owned(), kind.to_owned()))
}

/// Indents compact JSON by two spaces, as Go does, without reading what it says. None when it would grow out of all
/// proportion.
fn indent(json: &[u8]) -> Option<Vec<u8>> {
    let most = json.len().saturating_mul(INDENT_FACTOR) + 4096;
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for (at, &byte) in json.iter().enumerate() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        let before = json.get(at.wrapping_sub(1)).copied();
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !matches!(json.get(at + 1), Some(b'}' | b']')) {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(before, Some(b'{' | b'[')) {
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => {
                in_string = byte == b'"';
                out.push(byte);
            }
        }
        if out.len() > most {
            return None;
        }
    }
    out.push(b'\n');
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "\\PC{0,12}",
            "[-~:#{}\\[\\],&*!|>'\"%@` \n\t.0-9a-fx+]{0,8}",
            prop::sample::select(vec![
                "true",
                "null",
                "~",
                "yes",
                "on",
                "1e3",
                "0x1f",
                "0o7",
                "1_000",
                ".inf",
                "2020-01-01",
                "",
                " a",
                "a ",
                "a\nb",
                "a\n",
                "\n",
                "- a",
                "? a",
                "a: b",
                "a #b",
                "---",
                "...",
                "<<",
                "=",
                "12:30:45",
                "+1",
            ])
            .prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..5).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    #[test]
    fn json_is_indented_as_go_does_it() {
        let value = json!({"a": [1, {"b": "x\\\"{,:"}], "c": {}, "d": []});
        let indented = String::from_utf8(indent(value.to_string().as_bytes()).unwrap()).unwrap();
        let expected =
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x\\\\\\\"{,:\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}\n";
        assert_eq!(indented, expected);
    }

    #[test]
    fn nesting_made_to_explode_is_left_as_it_is() {
        let deep = format!("{}{}{}", "[".repeat(120), "1,".repeat(10_000) + "1", "]".repeat(120));
        assert_eq!(indent(deep.as_bytes()), None);
    }

    #[test]
    fn a_list_is_the_same_piece_by_piece() {
        let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}});
        let metadata = json!({"resourceVersion": "7", "remainingItemCount": 3});
        for items in [json!([]), json!([map("a"), map("b")])] {
            let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": items});
            let whole = breakbulk_protobuf::encode(&list).unwrap();
            assert_eq!(protobuf(list.to_string().as_bytes()).unwrap(), whole);
        }
        // What is called a list and has no items is an object like others.
        let list = json!({"apiVersion": "v1", "kind": "ConfigMapList"});
        assert_eq!(
            protobuf(list.to_string().as_bytes()).unwrap(),
            breakbulk_protobuf::encode(&list).unwrap()
        );
    }

    #[test]
    fn what_something_is_is_seen_at_its_beginning() {
        let both = Some(("g/v1".to_owned(), "K".to_owned()));
        assert_eq!(named(br#"{"apiVersion":"g/v1","kind":"K","metadata":{}}"#), both);
        assert_eq!(named(br#"{"kind":"K","apiVersion":"g/v1","items":[]}"#), both);
        for other in [
            &b"{}"[..],
            b"[]",
            br#"{"kind":"K"}"#,
            br#"{"kind":"K\"","apiVersion":"v1","a":1}"#,
            b"{\"kind\":\"K",
        ] {
            assert_eq!(named(other), None);
        }
    }

    #[test]
    fn only_who_asks_for_gzip_gets_it() {
        for (value, takes) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("x-gzip", false),
            ("*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
    }

    proptest! {
        #[test]
        fn an_indented_answer_says_the_same(value in any_json()) {
            if let Some(indented) = indent(value.to_string().as_bytes()) {
                prop_assert_eq!(&serde_json::from_slice::<Value>(&indented).unwrap(), &value);
                let pretty = serde_json::to_string_pretty(&value).unwrap() + "\n";
                prop_assert_eq!(String::from_utf8(indented).unwrap(), pretty);
            }
        }

        #[test]
        fn a_yaml_answer_says_the_same(value in any_json()) {
            let text = yaml(value.to_string().as_bytes()).unwrap();
            let back: Value = serde_saphyr::from_str(&text).unwrap();
            prop_assert_eq!(back, value, "{}", text);
        }
    }
}
