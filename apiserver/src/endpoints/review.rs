//! Reviews over HTTP: POST of a question, 201 with the answer.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, StatusCode};

use super::respond::{self, Answer};
use super::{App, ObjectPath, Query, body, filters, negotiate, permit_attributes};
use crate::authentication::Identity;
use crate::authorization::Attributes;
use crate::reviews::{self, Question, Review, Sources};
use crate::selector::FieldSelector;
use crate::status::{ApiError, ApiResult};

/// Answers a request to a review's path.
pub(super) async fn review(
    app: &App,
    identity: &Arc<Identity>,
    parts: &http::request::Parts,
    (path, review): (&ObjectPath, &'static Review),
    request: Body,
) -> ApiResult<Answer> {
    if path.namespace.is_some() != review.namespaced || path.name.is_some() != review.subresource.is_some() {
        return Err(ApiError::no_such_path());
    }
    if parts.method != Method::POST {
        return Err(ApiError::method_not_allowed());
    }
    let none = FieldSelector::default();
    let asks = Attributes {
        verb: "create",
        group: review.group,
        resource: review.plural,
        subresource: review.subresource.unwrap_or(""),
        namespace: path.namespace.as_deref(),
        name: path.name.as_deref(),
        field_selector: &none,
        path: parts.uri.path(),
    };
    filters::decided(app, parts, permit_attributes(app, identity, &asks))?;
    negotiate::plain(&parts.headers)?;
    // Nothing is kept in any case; the options are read so that wrong ones are refused.
    Query::parse(parts.uri.query().unwrap_or(""))?.write_options(identity, "")?;
    let format = negotiate::body_format(&parts.headers)?;
    let submitted = body::parse(&body::read(request).await?, format)?;
    let sources = Sources {
        authorizer: &app.authorizer,
        tokens: &app.tokens,
        objects: &app.objects,
    };
    let question = Question {
        review,
        identity,
        namespace: path.namespace.as_deref(),
        name: path.name.as_deref(),
        body: &submitted.object,
    };
    let answer = reviews::answer(sources, question).await?;
    Ok(respond::json(StatusCode::CREATED, &answer))
}
