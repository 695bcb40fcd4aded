//! How an attempt ended: the content of `exit.json`.
//!
//! Written once, last, by the shim; read by the agent for as long as it needs. An attempt without a
//! living shim and without this file ended in a way nobody saw: the agent concludes that, not the shim.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::layer::Layer;
use crate::sandbox::Step;

/// The whole truth about an attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// How it ended.
    pub outcome: Outcome,
    /// When the script was released to start, in nanoseconds since the Unix epoch; `None` if it never was.
    pub started_at: Option<u64>,
    /// When the end was known, in nanoseconds since the Unix epoch.
    pub finished_at: u64,
    /// How its log ends.
    pub log: LogEnd,
    /// What it used.
    pub usage: Usage,
    /// Something of the attempt could not be removed from the host: a process or a cgroup is still there.
    pub leftovers: bool,
    /// What the script wrote to `$CI_OUTPUT`.
    pub outputs: Outputs,
    /// Layers of protection the host could not give: those it lacks, and of limits those that were asked for.
    #[serde(default)]
    pub missing: BTreeSet<Layer>,
}

/// How an attempt ended. Exit codes are never invented: what is not the script's own exit has its own
/// variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The script's shell exited by itself.
    Exited {
        /// Its exit code, 0 to 255.
        code: i32,
    },
    /// The script's shell was ended by a signal that did not come from the shim.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// The script was ended because its time was up.
    TimedOut,
    /// The script was ended because the agent asked for it.
    Cancelled {
        /// Why, in the words of whoever cancelled.
        reason: Option<String>,
    },
    /// The script's shell was killed, or failed, after the kernel had ended a process of the job because its memory limit was
    /// reached.
    OutOfMemory {
        /// The limit, in bytes.
        limit_bytes: u64,
        /// How many processes of the job the kernel ended for it.
        killed: u64,
    },
    /// The script never started, since its sandbox could not be made or its shell could not be found.
    SetupFailed {
        /// What was being done.
        step: Step,
        /// What went wrong, in words.
        error: String,
    },
}

impl Outcome {
    /// Whether the script ended by itself, saying that all went well.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }
}

/// Length and digest of a finished log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEnd {
    /// The offset at which the log ends: content bytes, and those that gap records stand for.
    pub length: u64,
    /// SHA-256 over the content bytes, in hexadecimal digits. Bytes that a gap stands for are not in it.
    pub sha256: String,
    /// How many bytes gap records stand for.
    pub missing: u64,
}

/// What a job used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time in user code, in microseconds.
    pub user_cpu_micros: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_cpu_micros: u64,
    /// The largest resident set of a single process, in bytes.
    pub max_rss_bytes: u64,
}

/// What the script wrote to `$CI_OUTPUT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outputs {
    /// Names and values.
    Ok(BTreeMap<String, String>),
    /// Why they could not be read; then there are none.
    Error(String),
}

impl Default for Outputs {
    fn default() -> Self {
        Self::Ok(BTreeMap::new())
    }
}

impl LogEnd {
    /// The end of a log with nothing in it.
    pub(crate) fn empty() -> Self {
        use sha2::Digest;
        let sha256 = crate::spec::Hex(&sha2::Sha256::digest([])).to_string();
        Self {
            length: 0,
            sha256,
            missing: 0,
        }
    }
}
