//! Job: one script to be run on one node, with everything about it decided. The scheduler gives it a node, the
//! node's agent makes attempts, and the Job tells how they went.
//!
//! Who writes what: the pipeline run controller creates it; the scheduler sets `spec.nodeName` together with
//! `spec.attempt`; the agent of that node claims the attempt by appending to `status.attempts`; the job controller
//! ends what nobody else can end. What follows from attempts is decided in [`outcome`], by one pure function that
//! the agent and the controller share.

pub mod outcome;
pub mod rules;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;
use crate::pipeline::{ConcurrencyPolicy, Network, Resources, Retry, SecretUse, Shell};

/// A Job runs a script on one node. Its spec is final but for `nodeName`, `attempt`, `cancel` and `priority`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "breakbulk.dev",
    version = "v1",
    kind = "Job",
    plural = "jobs",
    doc = "A Job runs a script on one node. Its spec is final but for nodeName, attempt, cancel and priority.",
    category = "ci",
    namespaced,
    status = "JobStatus",
    derive = "PartialEq",
    selectable = ".spec.nodeName",
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
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeName"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".spec.attempt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Run",
        type_ = "string",
        json_path = ".metadata.labels.breakbulk\\.dev/run",
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
pub struct JobSpec {
    /// The script.
    #[schemars(length(min = 1, max = 1_000_000))]
    pub script: String,
    /// The program that runs it, with arguments.
    #[serde(default)]
    pub shell: Shell,
    /// Its environment, in order, beside what the system sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Secrets it gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    /// What it takes of a node.
    #[serde(default)]
    pub resources: Resources,
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that it puts up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// The longest one attempt may take. Default: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether and when a failed attempt is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The place it needs in a group before it is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<JobConcurrency>,
    /// What is checked out into its workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<JobCheckout>,
    /// What it may reach over the network. Unset: the node's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Jobs with a larger number are scheduled first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: Option<i32>,
    /// True stops it. Cannot be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
    /// The node it is bound to. Set by the scheduler, cleared when an attempt is to be made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The attempt that the binding is for, counted from 1. The node claims attempt N only where N is this number
    /// and N−1 attempts have ended.
    #[serde(default = "first")]
    #[schemars(range(min = 1, max = 1000), default = "first")]
    pub attempt: u32,
}

fn first() -> u32 {
    1
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// A place in a ConcurrencyGroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobConcurrency {
    /// The ConcurrencyGroup object, in the same namespace.
    pub group: String,
    /// How many hold a place at the same time.
    #[schemars(range(min = 1, max = 10000))]
    pub limit: u32,
    /// What it does when the group is full.
    #[serde(default)]
    pub policy: ConcurrencyPolicy,
}

/// What is checked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobCheckout {
    /// The GitRepository, in the same namespace.
    pub repository: String,
    /// The full commit id.
    #[schemars(regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub revision: String,
    /// The ref it was found at, if any: fetched when a server does not hand out commits by id.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<String>,
    /// How many commits of history. 0: all.
    #[serde(default = "first")]
    #[schemars(default = "first")]
    pub depth: u32,
    /// The directory below the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What was observed of a Job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// All attempts, oldest first. Never removed; one that has ended never changes, but for its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]))]
    pub attempts: Vec<Attempt>,
    /// What the script wrote to `$CI_OUTPUT` in the attempt that succeeded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// When the first attempt's script started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the Job ended for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// `Scheduled`, `Succeeded`, `LogsSealed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One attempt to run the script. It is claimed once, by one agent, and its script is started at most once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counted from 1.
    #[schemars(range(min = 1))]
    pub number: u32,
    /// The node it was claimed by. Never changes.
    pub node: String,
    /// The fencing token of the claim: who does not know it cannot append to its log. Never changes.
    pub token: String,
    /// The node's boot id at the claim: another one later means that the node restarted and the attempt is lost.
    pub boot_id: String,
    /// When the agent claimed it.
    pub claim_time: MicroTime,
    /// When the script started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<MicroTime>,
    /// When it ended. Set together with `reason`, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<MicroTime>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AttemptReason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The exit code, if the script ended by itself. Never invented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Its log, once that is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<AttemptLog>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AttemptReason {
    /// Exit code 0.
    Succeeded,
    /// Another exit code, or a signal.
    Failed,
    /// It took longer than its timeout and was killed.
    TimedOut,
    /// It was cancelled and killed.
    Cancelled,
    /// It was killed for its use of memory.
    OutOfMemory,
    /// The sandbox, the workspace, the checkout, a secret or the shell could not be set up: the script did not start.
    SetupFailed,
    /// The node, its agent's memory of it, or the process that watched over it is gone.
    NodeLost,
}

/// What an attempt used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time in user mode, in microseconds.
    #[serde(default)]
    pub user_cpu_micros: u64,
    /// Processor time in the kernel, in microseconds.
    #[serde(default)]
    pub system_cpu_micros: u64,
    /// The largest resident set of one of its processes, in bytes.
    #[serde(default)]
    pub max_rss_bytes: u64,
}

/// A complete log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptLog {
    /// Bytes the script wrote, after masking.
    pub length: u64,
    /// SHA-256 of them, in hex.
    pub digest: String,
}

impl Attempt {
    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.reason.is_some()
    }
}

impl Job {
    /// The latest attempt.
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.status.as_ref()?.attempts.last()
    }

    /// Whether the Job has ended for good.
    pub fn is_ended(&self) -> bool {
        use crate::condition::{SUCCEEDED, Truth, truth};
        self.status
            .as_ref()
            .is_some_and(|s| truth(&s.conditions, SUCCEEDED) != Truth::Unknown)
    }
}
