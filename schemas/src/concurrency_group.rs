//! ConcurrencyGroup: a limit, together with those who hold a place under it and those who wait. Taking a place is a
//! compare-and-swap on this one object, so that the limit holds whatever else fails.

pub mod rules;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A ConcurrencyGroup limits how many runs or jobs go on at the same time.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "breakbulk.dev",
    version = "v1",
    kind = "ConcurrencyGroup",
    plural = "concurrencygroups",
    doc = "A ConcurrencyGroup limits how many runs or jobs go on at the same time.",
    shortname = "cg",
    category = "ci",
    namespaced,
    status = "ConcurrencyGroupStatus",
    derive = "PartialEq",
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.group"),
    printcolumn(name = "Limit", type_ = "integer", json_path = ".spec.limit"),
    printcolumn(name = "Holding", type_ = "string", json_path = ".status.holders[*].name"),
    printcolumn(
        name = "Waiting",
        type_ = "string",
        json_path = ".status.queue[*].name",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ConcurrencyGroupSpec {
    /// The group's name as pipelines write it; the object's name is made from it.
    pub group: String,
    /// How many places there are. The newest pipeline that names the group decides.
    #[schemars(range(min = 1, max = 10000))]
    pub limit: u32,
}

/// Who holds places and who waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConcurrencyGroupStatus {
    /// Those who hold a place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Member>,
    /// Those who wait, in the order in which they will be served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<Member>,
}

/// A run or a job in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// `PipelineRun` or `Job`.
    pub kind: MemberKind,
    /// Its name, in the group's namespace.
    pub name: String,
    /// Its uid: a new object of the same name is another member.
    pub uid: String,
    /// Since when it holds its place or waits.
    pub since: Time,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemberKind {
    /// A PipelineRun.
    PipelineRun,
    /// A Job.
    Job,
}
