//! `/openapi/v2` and `/openapi/v3`: the documents of [`crate::openapi`], with the headers by which clients keep them
//! (`k8s.io/kube-openapi/pkg/handler`, `handler3`).

use breakbulk_protobuf::{OPENAPI_V2_MEDIA_TYPE, OPENAPI_V3_MEDIA_TYPE};
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION, VARY,
};
use jiff::{SignedDuration, Timestamp};

use super::App;
use super::negotiate;
use super::path::Route;
use super::query::Query;
use super::respond::{self, Answer};
use crate::openapi::{self, Document, Encoding};
use crate::status::{ApiError, ApiResult};

const JSON: &str = "application/json";
/// What clients ask for when they want protobuf: it is no valid media type, and the answer says the other.
const V2_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const V3_ASKED: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
/// How long a document with its hash in the URL may be kept: its content cannot change.
const KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Answers a request for a document.
pub(super) async fn answer(app: &App, parts: &http::request::Parts, route: &Route) -> ApiResult<Answer> {
    let table = app.objects.registry.table();
    let failed = || ApiError::internal("the OpenAPI documents could not be made");
    let headers = &parts.headers;
    match route {
        Route::OpenApiV2 => {
            let (form, media) = encoding(headers, [JSON, V2_ASKED, OPENAPI_V2_MEDIA_TYPE])?;
            let document = app.openapi.v2(&table, form).await.ok_or_else(failed)?;
            Ok(send(&document, media, headers))
        }
        Route::OpenApiV3(None) => {
            let snapshot = app.openapi.current(&table).await;
            Ok(send(snapshot.index().ok_or_else(failed)?, JSON, headers))
        }
        Route::OpenApiV3(Some(place)) => {
            let (form, media) = encoding(headers, [JSON, V3_ASKED, OPENAPI_V3_MEDIA_TYPE])?;
            let document = app.openapi.v3(&table, place, form).await;
            let document = document.ok_or_else(ApiError::no_such_path)?;
            let query = Query::parse(parts.uri.query().unwrap_or(""))?;
            Ok(versioned(&document, media, place, query.get("hash"), headers))
        }
        _ => Err(ApiError::no_such_path()),
    }
}

/// What the client takes of JSON, protobuf as it is asked for and protobuf as it is answered, and how that is called in
/// the answer.
fn encoding(headers: &HeaderMap, offers: [&'static str; 3]) -> ApiResult<(Encoding, &'static str)> {
    match negotiate::first_of(headers, &offers) {
        Some(0) => Ok((Encoding::Json, JSON)),
        Some(_) => Ok((Encoding::Protobuf, offers[2])),
        None => Err(ApiError::not_acceptable(&offers.join(", "))),
    }
}

/// A v3 document. With its hash in the URL it may be kept for ever; with the hash of another one the client is sent to
/// the one there is.
fn versioned(document: &Document, media: &'static str, place: &str, hash: Option<&str>, headers: &HeaderMap) -> Answer {
    match hash.filter(|hash| !hash.is_empty()) {
        None => send(document, media, headers),
        Some(hash) if hash != document.hash => {
            let mut answer = respond::content(StatusCode::MOVED_PERMANENTLY, media, Bytes::new());
            set(&mut answer, LOCATION, &openapi::url(place, document));
            set(&mut answer, VARY, "Accept");
            answer
        }
        Some(_) => {
            let mut answer = send(document, media, headers);
            set(&mut answer, CACHE_CONTROL, "public, immutable");
            set(&mut answer, EXPIRES, &http_date(Timestamp::now() + KEPT));
            answer
        }
    }
}

/// A document, or the word that the client has it.
fn send(document: &Document, media: &'static str, headers: &HeaderMap) -> Answer {
    let etag = format!("\"{}\"", document.hash);
    let mut answer = if has(headers, &etag, document.made) {
        let mut answer = respond::content(StatusCode::NOT_MODIFIED, media, Bytes::new());
        answer.headers_mut().remove(CONTENT_TYPE);
        answer
    } else {
        respond::content(StatusCode::OK, media, document.bytes.clone())
    };
    set(&mut answer, ETAG, &etag);
    set(&mut answer, LAST_MODIFIED, &http_date(document.made));
    set(&mut answer, VARY, "Accept");
    answer
}

/// Whether the client has the document: by its ETag if it sends one, else by its date (RFC 9110, section 13.2.2).
fn has(headers: &HeaderMap, etag: &str, made: Timestamp) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tags) = text(IF_NONE_MATCH) {
        return tags
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag == etag);
    }
    let since = text(IF_MODIFIED_SINCE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    since.is_some_and(|since| made.as_second() <= since.timestamp().as_second())
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// `Wed, 25 Nov 2026 21:00:00 GMT`.
fn http_date(at: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .unwrap_or_default()
}
