//! PipelineRun: one run of a pipeline. It freezes the pipeline's spec at its start, so that an edit never changes
//! a run under way, and sums up its jobs.

pub mod rules;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::PipelineSpec;
use crate::{Duration, Scalar};

/// A PipelineRun carries a Pipeline out once.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "breakbulk.dev",
    version = "v1",
    kind = "PipelineRun",
    plural = "pipelineruns",
    doc = "A PipelineRun carries a Pipeline out once.",
    shortname = "run",
    shortname = "runs",
    shortname = "plr",
    category = "ci",
    namespaced,
    status = "PipelineRunStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason"
    ),
    printcolumn(name = "Jobs", type_ = "string", json_path = ".status.summary"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(
        name = "Pipeline",
        type_ = "string",
        json_path = ".spec.pipelineRef.name",
        priority = 1
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.source.revision",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunSpec {
    /// The Pipeline to run, in the same namespace. One of `pipelineRef`, `pipelineSpec` and `rerunOf` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_ref: Option<PipelineRef>,
    /// A pipeline of this run alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_spec: Option<PipelineSpec>,
    /// Another run whose pipeline, parameters and commit are taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<RerunOf>,
    /// Values of the pipeline's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Scalar>,
    /// The commit to work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// True stops the run: running jobs are cancelled, those not yet started never start, `finally` jobs still run.
    /// Cannot be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
    /// Runs with a larger number are scheduled first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: Option<i32>,
}

/// A Pipeline by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRef {
    /// The Pipeline's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The run to do again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RerunOf {
    /// The PipelineRun, which must have ended.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which of its jobs.
    #[serde(default)]
    pub jobs: RerunJobs,
}

/// Which jobs of a run are done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RerunJobs {
    /// Those that did not succeed, and what depends on them. The others keep their results and outputs.
    #[default]
    Failed,
    /// All.
    All,
}

/// The commit a run works on, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The GitRepository, in the same namespace. Unset: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The full commit id. Unset: where `ref` points when the run starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub revision: Option<String>,
    /// The full name of a ref, `refs/heads/main` or `refs/tags/v1`. Unset: the repository's default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<String>,
    /// The GitEvent that started the run; none for a run started by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

/// What was observed of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The pipeline as it was when the run started. Never changes after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_spec: Option<PipelineSpec>,
    /// The parameters with defaults filled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Scalar>,
    /// The source with everything resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// One entry for each job, matrix combinations apart, `finally` jobs last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub jobs: Vec<JobSummary>,
    /// `ended/all`, for the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When the run left the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// From start to end, for the table; unset while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// `Succeeded`: `Unknown` while the run waits or goes on, then `True` or `False` for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One job of the run, summed up. The Job object has the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Unique in the run: the job's name, with `(combination)` in a matrix.
    pub name: String,
    /// The job's name in the pipeline.
    pub job: String,
    /// The combination's values, in a matrix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Scalar>,
    /// It is a `finally` job.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finally: bool,
    /// The Job object, once there is one; in a rerun it may belong to the run before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_ref: Option<String>,
    /// Where it stands.
    #[serde(default)]
    pub state: JobSummaryState,
    /// Why, in one word and in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The node of the latest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The exit code of the latest attempt, if the script ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How many attempts were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When the Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_time: Option<Time>,
    /// When the first attempt's script started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// Where a job of a run stands. New states may be added; readers treat one they do not know as `Waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum JobSummaryState {
    /// Its needs have not ended, or it waits for a place in its group.
    #[default]
    Waiting,
    /// The Job exists and waits for a node or for its attempt to start.
    Pending,
    /// An attempt is running.
    Running,
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// It failed, and was allowed to.
    Warned,
    /// Its condition was false, or a need of it did not succeed.
    Skipped,
    /// It was cancelled.
    Cancelled,
}

impl JobSummaryState {
    /// Whether nothing more will happen.
    pub const fn is_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Pending | Self::Running)
    }
}

/// Why a run stands as it stands: the reason of its `Succeeded` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunReason {
    /// Its references are not resolved yet.
    Resolving,
    /// It waits for a place in its concurrency group.
    Queued,
    /// Jobs are under way.
    Running,
    /// It is being cancelled.
    Cancelling,
    /// All jobs succeeded, were skipped, or were allowed to fail.
    Succeeded,
    /// A job failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// A newer run of its group took its place.
    Superseded,
    /// It took longer than its timeout.
    TimedOut,
    /// What it refers to is not there, or its parameters do not fit. The message says which.
    Invalid,
}

impl RunReason {
    /// The CamelCase word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "Resolving",
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Cancelling => "Cancelling",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Superseded => "Superseded",
            Self::TimedOut => "TimedOut",
            Self::Invalid => "Invalid",
        }
    }
}
