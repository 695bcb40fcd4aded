//! Building answers.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::status::ApiError;

/// An answer.
pub(super) type Answer = Response<Body>;

/// The longest text of one warning when there are many, and of all together (`apiserver/pkg/endpoints/filters/warning.go`).
const WARNING_CHARS: usize = 256;
const WARNINGS_CHARS: usize = 4096;

/// JSON that is encoded already.
pub(super) fn encoded(code: StatusCode, body: Bytes) -> Answer {
    content(code, "application/json", body)
}

/// JSON.
pub(super) fn json(code: StatusCode, body: &Value) -> Answer {
    encoded(code, body.to_string().into())
}

/// Anything else.
pub(super) fn content(code: StatusCode, media: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = code;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

/// A Status.
pub(super) fn failure(error: &ApiError) -> Answer {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(code, &error.to_json());
    if let Some(seconds) = error.retry_after_seconds() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
        .headers_mut()
        .insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// Adds `Warning` headers: each once, all of them bounded.
pub(super) fn warn(answer: &mut Answer, warnings: &[String]) {
    let long = warnings.iter().map(|w| w.chars().count()).sum::<usize>() > WARNINGS_CHARS;
    let mut total = 0;
    for (index, text) in warnings.iter().enumerate() {
        if warnings[..index].contains(text) {
            continue;
        }
        let text: String = if long {
            text.chars().take(WARNING_CHARS).collect()
        } else {
            text.clone()
        };
        total += text.chars().count();
        if total > WARNINGS_CHARS {
            break;
        }
        let quoted = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(char::is_control, " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}
