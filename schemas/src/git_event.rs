//! GitEvent: one move of one ref, durably written down before anything is done about it. Its name comes from its
//! content, so that however often and by whatever way it is noticed, it is one object.

pub mod rules;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A GitEvent is a push to one ref of a GitRepository.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "breakbulk.dev",
    version = "v1",
    kind = "GitEvent",
    plural = "gitevents",
    doc = "A GitEvent is a push to one ref of a GitRepository.",
    shortname = "gitev",
    category = "ci",
    namespaced,
    status = "GitEventStatus",
    derive = "PartialEq",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Ref", type_ = "string", json_path = ".spec.ref"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".spec.revision"),
    printcolumn(name = "Runs", type_ = "string", json_path = ".status.runs"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct GitEventSpec {
    /// What happened.
    pub kind: GitEventKind,
    /// The GitRepository, in the same namespace.
    pub repository: String,
    /// The full name of the ref.
    #[serde(rename = "ref")]
    pub ref_: String,
    /// Where it points now.
    pub revision: String,
    /// Where it pointed before. None: it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The files that differ between before and now; none where that is not known or there are more than 3,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_paths: Option<Vec<String>>,
    /// The subject line of the commit, cut to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who wrote the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// What happened to a ref. Pull requests are to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum GitEventKind {
    /// A branch was pushed.
    #[default]
    Push,
    /// A tag was pushed.
    Tag,
}

/// What was done about an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitEventStatus {
    /// The runs it started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// When it was dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// `Succeeded`: every pipeline that matches has its run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
