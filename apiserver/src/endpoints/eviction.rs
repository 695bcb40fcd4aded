//! `pods/NAME/eviction`: what `kubectl drain` does to whatever runs on a node. A job dies only of itself, of its limits or of
//! its user, so a running one is not evicted: the answer is 429, as for a Pod under a disruption budget, and kubectl asks
//! again until the job has ended.

use http::StatusCode;
use serde_json::json;

use super::respond::{self, Answer};
use super::write::Target;
use crate::status::{ApiError, ApiResult};

impl Target<'_> {
    /// POST of an eviction.
    pub(super) fn evict(&self) -> ApiResult<Answer> {
        let name = self.path.name.as_deref().unwrap_or("");
        let objects = &self.app.objects;
        let job = objects.cached(self.resource, self.path.namespace.as_deref(), name);
        let job = job.ok_or_else(|| ApiError::not_found(self.resource.target(name)))?;
        let node = self
            .resource
            .selectable
            .iter()
            .find(|field| field.label == "spec.nodeName");
        let is_on_a_node = node.is_some_and(|field| !job.field(field.index).is_empty());
        if is_on_a_node {
            let why =
                "Cannot evict pod: a job that runs is not interrupted; it is gone from the node when it has ended";
            return Err(ApiError::too_many_requests(why));
        }
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(respond::json(StatusCode::CREATED, &done))
    }
}
