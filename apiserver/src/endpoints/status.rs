//! `/healthz`, `/livez`, `/readyz` and `/metrics`: what operators and their tools ask.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderValue;

use super::query::Query;
use super::respond::{self, Answer};
use super::{App, HealthPath};
use crate::health::Outcome;
use crate::metrics::Scraped;
use crate::status::{ApiError, ApiResult};

const TEXT: &str = "text/plain; charset=utf-8";

/// How the server is.
pub(super) fn health(app: &App, path: &HealthPath, query: &str) -> ApiResult<Answer> {
    let report = match &path.check {
        Some(check) => app.health.one(path.root, check).ok_or_else(ApiError::no_such_path)?,
        None => {
            let query = Query::parse(query)?;
            let excluded: BTreeSet<&str> = query.pairs().filter(|(k, _)| *k == "exclude").map(|(_, v)| v).collect();
            let excluded: Vec<&str> = excluded.into_iter().collect();
            app.health.all(path.root, query.get("verbose").is_some(), &excluded)
        }
    };
    let code = match report.outcome {
        Outcome::Well => StatusCode::OK,
        Outcome::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut answer = respond::content(code, TEXT, report.text.into());
    let headers = answer.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    Ok(answer)
}

/// What has been counted.
pub(super) fn metrics(app: &App) -> Answer {
    let objects = &app.objects;
    let table = objects.registry.table();
    let mut seen = BTreeSet::new();
    let stored = table.resources().iter().filter_map(|resource| {
        // Two resources may share a storage; it is counted once, under the first.
        let storage = &resource.storage;
        let name = match resource.group.as_str() {
            "" => resource.plural.clone(),
            group => format!("{}.{group}", resource.plural),
        };
        seen.insert(Arc::as_ptr(storage)).then(|| (name, storage.cache.len()))
    });
    let scraped = Scraped {
        objects: stored.collect(),
        in_flight: app.overload.in_flight(),
        revision: objects.cacher.reached(),
    };
    respond::content(
        StatusCode::OK,
        "text/plain; version=0.0.4",
        app.metrics.text(&scraped).into(),
    )
}
