//! The events of a log on the wire: what the server sends, read strictly, without copying more than needed.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;

use super::{Cursor, LogChunk, LogStream, Payload};

/// On the last event of a log: it is complete. The value says how it was closed.
pub(super) const LOG_END: &str = "breakbulk.dev/log-end";

/// The longest answer to a refused request that is read.
const MAX_REFUSAL: usize = 1 << 20;

/// One event.
pub(super) enum Event {
    Chunk(LogChunk),
    Bookmark(Cursor),
    End,
    Error(kube::Error),
    Nothing,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    job: Cow<'a, str>,
    attempt: u32,
    offset: u64,
    #[serde(default)]
    time: Option<jiff::Timestamp>,
    #[serde(default, borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Option<Cow<'a, str>>,
    #[serde(default, rename = "dataBase64", borrow)]
    data_base64: Option<Cow<'a, str>>,
    #[serde(default)]
    gap: Option<Gap>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(default, borrow)]
    resource_version: Cow<'a, str>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Gap {
    bytes: u64,
    #[serde(default)]
    cause: String,
}

#[derive(Deserialize)]
struct Bookmark<'a> {
    #[serde(default, borrow)]
    metadata: Metadata<'a>,
}

/// Reads one line of the stream. The error says what is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<Event, String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(Event::Nothing);
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let object = envelope.object.get();
    match envelope.kind.as_ref() {
        "ADDED" | "MODIFIED" => chunk(serde_json::from_str(object).map_err(|e| e.to_string())?).map(Event::Chunk),
        "BOOKMARK" => {
            let Bookmark { metadata } = serde_json::from_str(object).map_err(|e| e.to_string())?;
            if metadata.annotations.contains_key(LOG_END) {
                Ok(Event::End)
            } else if metadata.resource_version.is_empty() {
                Ok(Event::Nothing)
            } else {
                Ok(Event::Bookmark(Cursor(metadata.resource_version.into_owned())))
            }
        }
        "ERROR" => {
            let status: Status = serde_json::from_str(object).map_err(|e| e.to_string())?;
            Ok(Event::Error(kube::Error::Api(status.boxed())))
        }
        // A kind of event that a later server may send.
        _ => Ok(Event::Nothing),
    }
}

fn chunk(chunk: Chunk<'_>) -> Result<LogChunk, String> {
    let payload = match (chunk.gap, chunk.data, chunk.data_base64) {
        (Some(gap), _, _) => Payload::Gap {
            bytes: gap.bytes,
            cause: gap.cause,
        },
        (None, _, Some(text)) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
            Payload::Data(Bytes::from(bytes.map_err(|e| format!("dataBase64: {e}"))?))
        }
        (None, Some(text), None) => Payload::Data(Bytes::from(text.into_owned())),
        (None, None, None) => Payload::Data(Bytes::new()),
    };
    let stream = match chunk.stream.as_deref() {
        Some(word) if word.eq_ignore_ascii_case("stdout") => LogStream::Stdout,
        Some(word) if word.eq_ignore_ascii_case("stderr") => LogStream::Stderr,
        Some(word) if word.eq_ignore_ascii_case("system") => LogStream::System,
        _ => LogStream::Output,
    };
    Ok(LogChunk {
        job: chunk.job.into_owned(),
        attempt: chunk.attempt,
        offset: chunk.offset,
        time: chunk.time,
        stream,
        payload,
        cursor: Cursor(chunk.metadata.resource_version.into_owned()),
    })
}

/// The error in an answer that is none of success.
pub(super) async fn refusal(response: http::Response<Body>) -> kube::Error {
    let code = response.status().as_u16();
    let body = http_body_util::Limited::new(response.into_body(), MAX_REFUSAL)
        .collect()
        .await;
    let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let status = serde_json::from_slice::<Status>(&bytes)
        .unwrap_or_else(|_| Status::failure(String::from_utf8_lossy(&bytes).trim(), "Unknown").with_code(code));
    kube::Error::Api(status.boxed())
}

/// Whether it may go better a moment later.
pub(super) fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 408 | 429 | 500 | 502 | 503 | 504),
        _ => true,
    }
}

/// What is at the bottom of an error, in one line: the layers above it only say that they pass it on.
pub(super) fn cause(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut bottom: &dyn std::error::Error = error;
    while let Some(cause) = bottom.source() {
        bottom = cause;
    }
    bottom.to_string()
}

/// A value for a query, percent-encoded.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
