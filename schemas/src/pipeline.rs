//! Pipeline: what is to be done, as users write it. A PipelineRun freezes a copy of this spec and carries it out.
//!
//! The rules a schema cannot say (cycles, unknown needs, expressions) are in [`rules`].

pub mod rules;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Scalar};

/// A Pipeline declares jobs, what they need of each other, and what starts them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "breakbulk.dev",
    version = "v1",
    kind = "Pipeline",
    plural = "pipelines",
    doc = "A Pipeline declares jobs, what they need of each other, and what starts them.",
    shortname = "pl",
    category = "ci",
    namespaced,
    status = "PipelineStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Last Run", type_ = "string", json_path = ".status.lastRun"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// What the pipeline is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The GitRepository, in the same namespace, that runs of this pipeline check out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Parameters of a run, by name. Expressions read them as `params.NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamSpec>,
    /// Environment variables of every job. Values may hold `${{ expression }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Scalar>,
    /// What starts a run by itself. (The key is not `on`, which YAML 1.1 parsers read as a boolean.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggers: Option<Triggers>,
    /// How many runs of this pipeline may go on at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Values that jobs take where they say nothing themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    /// The longest a whole run may take, without its `finally` jobs. Unset: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The jobs, by name. Jobs that need nothing of each other run at the same time.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1000))]
    pub jobs: BTreeMap<String, JobTemplate>,
    /// Jobs that run when all others have ended, however they ended, also after a cancel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    pub finally: BTreeMap<String, JobTemplate>,
}

/// What was observed of a Pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The newest PipelineRun that was started from this pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// `Ready`: what the pipeline refers to is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParamSpec {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The type of its values.
    #[serde(default, rename = "type")]
    pub type_: ParamType,
    /// The value of a run that gives none. Without a default the parameter is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
    /// The values allowed. Empty: any of the type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Scalar>,
}

/// The type of a parameter's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
}

/// What starts runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Triggers {
    /// A push to the pipeline's repository. One push starts one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushTrigger>,
}

/// Which pushes start a run. Patterns are globs: `*` stays within one path element, `**` does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushTrigger {
    /// Branches, without `refs/heads/`. With neither branches nor tags given, every branch matches and no tag does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// Tags, without `refs/tags/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Changed files of which at least one must match. A pattern that begins with `!` takes files out again.
    /// Empty: any. Tags and new branches match whatever they change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// A limit on what goes on at the same time, shared by everything in the namespace that names the same group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// The group's name. May hold `${{ expression }}`, for example `deploy-${{ git.branch }}`.
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
    /// How many may hold a place at the same time.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10000), default = "one")]
    pub limit: u32,
    /// What a newcomer does when the group is full.
    #[serde(default)]
    pub policy: ConcurrencyPolicy,
}

fn one() -> u32 {
    1
}

/// What a newcomer does when its group is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// It waits its turn, first come, first served.
    #[default]
    Queue,
    /// It cancels those that hold or wait for a place, oldest first, and goes on when there is room.
    Cancel,
}

/// Values that jobs take where they say nothing themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// See `jobs.NAME.shell`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Shell>,
    /// See `jobs.NAME.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// See `jobs.NAME.retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// See `jobs.NAME.resources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// See `jobs.NAME.nodeSelector`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// See `jobs.NAME.tolerations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// The program that runs a script, and its arguments; the script's file is put behind them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Shell(#[schemars(length(min = 1, max = 16))] pub Vec<String>);

impl Default for Shell {
    /// `bash -euo pipefail`.
    fn default() -> Self {
        Self(["bash", "-euo", "pipefail"].map(str::to_owned).to_vec())
    }
}

/// One job of a pipeline: a script, run on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplate {
    /// What the job does, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Jobs that must have succeeded (or been allowed to fail) before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// A CEL expression over `params`, `git`, `event`, `run`, `needs` and, in a matrix, `matrix`. False: the job is
    /// skipped. A job with an `if` is asked also when one of its needs failed, if it names `needs.X.result`.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub if_: Option<String>,
    /// The script. Values reach it through its environment only: `${{ }}` is refused here.
    #[schemars(length(min = 1, max = 1_000_000))]
    pub run: String,
    /// The program that runs the script, with arguments. Default: `[bash, -euo, pipefail]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Shell>,
    /// Environment variables. Values may hold `${{ expression }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Scalar>,
    /// Secrets, each as an environment variable or as a file. Their values are masked in the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    /// Runs the job once for each combination of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// The longest one attempt may take. Default: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether and when a failed attempt is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The run goes on, and may succeed, when this job fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// How many of these may run at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// What the job takes of a node. Limits hold where the node can enforce them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the job puts up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// What of the repository is checked out. Unset: the run's commit, its history cut to one commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
    /// What the job may reach over the network. Unset: the node's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// A secret's value handed to a job, as an environment variable (`env`) or as a file (`file`), one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretUse {
    /// The Secret, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// The environment variable that gets the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file below `/run/secrets` that gets the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Combinations of values. A job reads them as `matrix.AXIS` in expressions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Matrix {
    /// The axes: every value of each is combined with every value of the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, Vec<Scalar>>,
    /// Combinations added. One that agrees with existing combinations on all their shared axes extends those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<BTreeMap<String, Scalar>>,
    /// Combinations taken out: those that agree on all axes given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<BTreeMap<String, Scalar>>,
    /// How many of the combinations may run at the same time. Unset: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_parallel: Option<u32>,
}

/// When a failed attempt is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How many attempts more than the first.
    #[schemars(range(min = 0, max = 100))]
    pub limit: u32,
    /// On which reasons. Empty: on all of them. (Not `on`: YAML 1.1 parsers read that key as a boolean.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<RetryReason>,
    /// Exit codes, where `reasons` is empty or holds `Failed`. Empty: all but 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 1, max = 255)))]
    pub exit_codes: Vec<i32>,
    /// How long to wait before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// A reason to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RetryReason {
    /// The script ended with another exit code than 0, or by a signal.
    Failed,
    /// The attempt took longer than `timeout`.
    TimedOut,
    /// The attempt was killed for its use of memory.
    OutOfMemory,
    /// The node was lost with the attempt on it.
    NodeLost,
    /// The sandbox, the workspace or the checkout could not be set up.
    SetupFailed,
}

/// How long to wait between attempts: `initial`, then `factor` times longer each time, up to `max`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Before the second attempt.
    pub initial: Duration,
    /// How much longer each further wait is.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 10), default = "two")]
    pub factor: u32,
    /// The longest wait. Unset: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

fn two() -> u32 {
    2
}

/// What a job takes of a node, as Kubernetes quantities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Processors: `2`, `500m`. Unset: 100m, and no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Scalar>,
    /// Memory: `512Mi`, `2G`. Unset: 64Mi, and no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Scalar>,
}

/// What of the repository is checked out into the workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// Check nothing out: the workspace starts empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip: bool,
    /// How many commits of history. 0: all. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// The directory below the workspace. Default: the workspace itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What a job may reach over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Nothing but a loopback interface of its own.
    None,
    /// What the node reaches.
    Host,
}
