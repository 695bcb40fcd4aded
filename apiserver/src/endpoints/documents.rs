//! What is asked of the server and not of an object: its version, its health, what it serves, its keys.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::respond::{self, Answer};
use super::{App, Route, negotiate, status};
use crate::discovery;
use crate::status::{ApiError, ApiResult};

/// What is not about objects.
pub(super) fn answer(app: &App, parts: &http::request::Parts, route: &Route) -> ApiResult<Answer> {
    let table = &*app.objects.registry.table();
    let ok = |value: &Value| Ok(respond::json(StatusCode::OK, value));
    let format = match route {
        Route::LegacyVersions | Route::Groups | Route::Group(_) | Route::Resources { .. } => {
            negotiate::discovery(&parts.headers)?
        }
        _ => None,
    };
    match (route, format) {
        (Route::Health(path), _) => status::health(app, path, parts.uri.query().unwrap_or("")),
        (Route::Metrics, _) => Ok(status::metrics(app)),
        (Route::Version, _) => ok(&discovery::version()),
        (Route::OpenIdConfiguration, _) => Ok(cacheable(
            "application/json",
            &app.tokens.openid_configuration(&app.url),
        )),
        (Route::OpenIdKeys, _) => Ok(cacheable("application/jwk-set+json", &app.tokens.jwks())),
        (Route::LegacyVersions, Some(format)) => Ok(aggregated(
            &discovery::aggregated_core(table, format),
            format,
            &parts.headers,
        )),
        (Route::Groups, Some(format)) => Ok(aggregated(
            &discovery::aggregated_groups(table, format),
            format,
            &parts.headers,
        )),
        (Route::LegacyVersions, None) => ok(&discovery::api_versions(table)),
        (Route::Groups, None) => ok(&discovery::groups(table)),
        (Route::Group(name), _) => ok(&discovery::group(table, name).ok_or_else(ApiError::no_such_path)?),
        (Route::Resources { group, version }, _) => {
            ok(&discovery::resources(table, group, version).ok_or_else(ApiError::no_such_path)?)
        }
        (Route::OpenApiV2 | Route::OpenApiV3(_) | Route::Objects(_) | Route::Unknown, _) => {
            Err(ApiError::no_such_path())
        }
    }
}

/// What those who check tokens themselves may keep for an hour, as upstream says.
fn cacheable(media: &'static str, body: &Value) -> Answer {
    let mut answer = respond::content(StatusCode::OK, media, body.to_string().into());
    let hour = HeaderValue::from_static("public, max-age=3600");
    answer.headers_mut().insert(CACHE_CONTROL, hour);
    answer
}

/// Aggregated discovery: a large document that clients ask for often, so it has a tag, and is not sent to who has it.
fn aggregated(body: &Value, format: discovery::Format, headers: &HeaderMap) -> Answer {
    let media = match format {
        discovery::Format::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        discovery::Format::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    let body = Bytes::from(body.to_string());
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02X}")).collect();
    let etag = format!("\"{digest}\"");
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut answer = if known == Some(etag.as_str()) {
        respond::content(StatusCode::NOT_MODIFIED, media, Bytes::new())
    } else {
        respond::content(StatusCode::OK, media, body)
    };
    let headers = answer.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    answer
}
