//! Reading bodies: bounded in size, depth and time, in JSON or YAML.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use super::negotiate::Format;
use crate::json;
use crate::registry::objects::Submitted;
use crate::status::{ApiError, ApiResult};

/// The largest body, as upstream.
pub(super) const MAX_BYTES: usize = 3 << 20;
/// The deepest nesting.
const MAX_DEPTH: usize = 100;
/// A body that takes longer is not coming.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body whole.
pub(super) async fn read(body: Body) -> ApiResult<Bytes> {
    let collected = tokio::time::timeout(TIMEOUT, Limited::new(body, MAX_BYTES).collect()).await;
    match collected {
        Err(_) => Err(ApiError::timeout("the body of the request did not arrive in time")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::too_large(MAX_BYTES)),
        Ok(Err(_)) => Err(ApiError::bad_request("the body of the request could not be read")),
    }
}

/// Parses a body.
pub(super) fn parse(bytes: &[u8], format: Format) -> ApiResult<Submitted> {
    match format {
        Format::Json => parse_json(bytes),
        Format::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("the body is not UTF-8"))?;
            let object: Value = serde_saphyr::from_str(text)
                .map_err(|e| ApiError::bad_request(format!("the body is not valid YAML: {e}")))?;
            Ok(Submitted { object, duplicates: Vec::new() })
        }
    }
}

/// Parses JSON, noting members that stand twice.
pub(super) fn parse_json(bytes: &[u8]) -> ApiResult<Submitted> {
    if bytes.is_empty() {
        return Err(ApiError::bad_request("the body of the request is empty"));
    }
    let (object, duplicates) = json::parse(bytes, MAX_DEPTH)
        .map_err(|e| ApiError::bad_request(format!("the body of the request is not valid JSON: {e}")))?;
    Ok(Submitted { object, duplicates })
}
