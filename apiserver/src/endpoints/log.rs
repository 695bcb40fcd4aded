//! `…/jobs/NAME/log` and `…/pipelineruns/NAME/log`: the query is read, the reader asked, its pieces sent as they come.

use axum::body::Body;
use futures::StreamExt as _;
use http::StatusCode;
use jiff::Timestamp;

use super::respond::{self, Answer};
use super::write::Target;
use crate::joblog::{LogError, LogQuery};
use crate::registry::CONTAINER;
use crate::status::{ApiError, ApiResult};

impl Target<'_> {
    /// GET of a log.
    pub(super) async fn log(&self) -> ApiResult<Answer> {
        let (namespace, name) = (
            self.path.namespace.as_deref().unwrap_or(""),
            self.path.name.as_deref().unwrap_or(""),
        );
        let query = LogQuery::parse(self.query.pairs(), Timestamp::now());
        let query = query.map_err(|e| ApiError::bad_request(e.to_string()))?;
        self.check_container(name)?;
        let logs = &self.app.logs;
        let of_run = self.resource.plural == "pipelineruns";
        let open = || {
            if of_run {
                logs.run(namespace, name, &query)
            } else {
                logs.job(namespace, name, &query)
            }
        };
        let mut body = open();
        if matches!(body, Err(LogError::NotFound)) {
            // Whoever asks may have been told of its creation before the cache was.
            self.app.objects.cacher.catch_up().await?;
            body = open();
        }
        let body = body.map_err(|error| match error {
            LogError::NotFound => ApiError::not_found(self.resource.target(name)),
            // As a kubelet says it.
            LogError::NoPrevious if self.resource.plural == "pods" => ApiError::bad_request(format!(
                "previous terminated container \"{CONTAINER}\" in pod \"{name}\" not found"
            )),
            LogError::NoPrevious => ApiError::bad_request(error.to_string()),
            LogError::Cursor(_) => ApiError::bad_request(error.to_string()),
            LogError::Read(error) => {
                tracing::error!(%error, namespace, name, "a log cannot be read");
                ApiError::internal("the log cannot be read")
            }
        })?;
        let media = if self.query.is_watch()? {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        };
        let mut answer = respond::content(StatusCode::OK, media, bytes::Bytes::new());
        *answer.body_mut() = Body::from_stream(body.take_until(self.app.shutdown.clone().cancelled_owned()));
        Ok(answer)
    }

    /// A Pod has one container, and a reader who names another is told so, as upstream.
    fn check_container(&self, pod: &str) -> ApiResult<()> {
        match self.query.get("container") {
            Some(other) if self.resource.plural == "pods" && !matches!(other, "" | CONTAINER) => Err(
                ApiError::bad_request(format!("container {other} is not valid for pod {pod}")),
            ),
            _ => Ok(()),
        }
    }
}
