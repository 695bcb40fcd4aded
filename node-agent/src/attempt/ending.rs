//! How an attempt ended: from what is on record, by one pure function, and from there into the Job's status.
//!
//! Whatever is not on record did not happen: only a recorded exit with code 0 is a success, and an attempt whose
//! shim is gone without a record is lost.

use std::collections::BTreeMap;

use breakbulk_sandbox::{Exit, Outcome, Outputs};
use breakbulk_schemas::condition::{self, LOGS_SEALED, Truth, Wanted};
use breakbulk_schemas::job::outcome::conclude;
use breakbulk_schemas::job::{Attempt, AttemptLog, AttemptReason, JobSpec, JobStatus, Usage};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use crate::ship::{End, Shipped};

/// What is known about an attempt that an earlier agent, or this one, has left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// The machine has not been restarted since the claim.
    pub(crate) same_boot: bool,
    /// The shim lives.
    pub(crate) shim_lives: bool,
    /// The script was released to start, at this time in nanoseconds.
    pub(crate) started: Option<u64>,
    /// The shim's last word.
    pub(crate) exit: Option<Exit>,
    /// The agent killed the shim, and why.
    pub(crate) lost: Option<String>,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The script may be running: wait for its end.
    Watch,
    /// It is over.
    Report(Box<Ending>),
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: AttemptReason,
    pub(crate) message: Option<String>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) usage: Option<Usage>,
    pub(crate) outputs: BTreeMap<String, String>,
    /// Nanoseconds since the Unix epoch.
    pub(crate) started_at: Option<u64>,
    /// Nanoseconds since the Unix epoch; `None` where nobody saw it.
    pub(crate) finished_at: Option<u64>,
}

impl Record {
    /// Decides. There is no way from here to starting anything.
    pub(crate) fn next(&self) -> Next {
        if let Some(exit) = &self.exit {
            return Next::Report(Box::new(Ending::recorded(exit)));
        }
        if self.same_boot && self.shim_lives {
            return Next::Watch;
        }
        let message = match (&self.lost, self.same_boot, self.started) {
            (Some(cause), ..) => cause,
            (None, false, _) => "the machine was restarted",
            (None, true, Some(_)) => "the process that watched over its script was killed",
            (None, true, None) => "the agent stopped after claiming it, and whether its script had started is unknown",
        };
        Next::Report(Box::new(Ending {
            started_at: self.started,
            ..Ending::lost(message)
        }))
    }
}

impl Ending {
    fn new(reason: AttemptReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: Some(message.into()),
            exit_code: None,
            signal: None,
            usage: None,
            outputs: BTreeMap::new(),
            started_at: None,
            finished_at: None,
        }
    }

    /// The script did not start, since something it needs could not be had.
    pub(crate) fn setup_failed(message: impl Into<String>) -> Self {
        Self::new(AttemptReason::SetupFailed, message)
    }

    /// Cancelled before the script started.
    pub(crate) fn cancelled() -> Self {
        Self::new(AttemptReason::Cancelled, "was cancelled before its script started")
    }

    /// Nobody can tell how the script ended, or whether it ever started.
    pub(crate) fn lost(cause: &str) -> Self {
        Self::new(AttemptReason::NodeLost, format!("was lost: {cause}"))
    }

    fn recorded(exit: &Exit) -> Self {
        let mut ending = match &exit.outcome {
            Outcome::Exited { code } => Self {
                exit_code: Some(*code),
                message: None,
                ..Self::new(
                    if *code == 0 {
                        AttemptReason::Succeeded
                    } else {
                        AttemptReason::Failed
                    },
                    "",
                )
            },
            Outcome::Signaled { signal } => Self {
                signal: Some(*signal),
                message: None,
                ..Self::new(AttemptReason::Failed, "")
            },
            Outcome::TimedOut => Self::new(AttemptReason::TimedOut, "took longer than its timeout and was killed"),
            Outcome::Cancelled { reason } => {
                let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                Self::new(AttemptReason::Cancelled, format!("was cancelled{why}"))
            }
            Outcome::OutOfMemory { limit_bytes, .. } => Self::new(
                AttemptReason::OutOfMemory,
                format!(
                    "was killed since it used more than its {} of memory",
                    size(*limit_bytes)
                ),
            ),
            Outcome::SetupFailed { step, error } => Self::new(
                AttemptReason::SetupFailed,
                format!("could not be started ({step:?}): {error}"),
            ),
        };
        match &exit.outputs {
            Outputs::Ok(outputs) if ending.reason == AttemptReason::Succeeded => ending.outputs = outputs.clone(),
            Outputs::Ok(_) => {}
            Outputs::Error(error) if ending.reason == AttemptReason::Succeeded => {
                ending.reason = AttemptReason::Failed;
                ending.message = Some(format!(
                    "ended with exit code 0, but its outputs cannot be read: {error}"
                ));
            }
            Outputs::Error(_) => {}
        }
        if exit.started_at.is_some() {
            ending.usage = Some(Usage {
                user_cpu_micros: exit.usage.user_cpu_micros,
                system_cpu_micros: exit.usage.system_cpu_micros,
                max_rss_bytes: exit.usage.max_rss_bytes,
            });
        }
        ending.started_at = exit.started_at;
        ending.finished_at = Some(exit.finished_at);
        ending
    }

    /// The words that stand in the log of an attempt that had no shim.
    pub(crate) fn note(&self) -> Option<String> {
        self.message
            .as_ref()
            .map(|message| format!("breakbulk: this attempt {message}"))
    }

    /// Writes the end into the attempt that `token` claimed. `false` when there is nothing (more) to write: the
    /// attempt is not there, or has ended, or it is somebody else's.
    pub(crate) fn apply(&self, spec: &JobSpec, status: &mut JobStatus, at: &At) -> bool {
        let Some(attempt) = mine(status, at.number, &at.token) else {
            return false;
        };
        if attempt.is_ended() {
            return false;
        }
        attempt.reason = Some(self.reason);
        attempt.message.clone_from(&self.message);
        attempt.exit_code = self.exit_code;
        attempt.signal = self.signal;
        attempt.usage.clone_from(&self.usage);
        let started = self.started_at.map(time);
        if let Some(started) = started {
            attempt.start_time = Some(MicroTime(started));
        }
        // A clock that was set back in between must not make an attempt end before it started.
        let finished = self.finished_at.map_or(at.now, time);
        let started = attempt.start_time.as_ref().map_or(attempt.claim_time.0, |t| t.0);
        attempt.finish_time = Some(MicroTime(finished.max(started)));
        if self.reason == AttemptReason::Succeeded {
            status.outputs.clone_from(&self.outputs);
        }
        note_start(status, self.started_at.map(time));
        status.observed_generation = at.generation;
        conclude(spec, status, at.generation, at.now);
        true
    }
}

/// What is written where, and when.
pub(crate) struct At {
    pub(crate) number: u32,
    pub(crate) token: String,
    pub(crate) generation: Option<i64>,
    pub(crate) now: Timestamp,
}

/// Writes down when the script started. `false` when nothing changes.
pub(crate) fn apply_start(started: u64, status: &mut JobStatus, at: &At) -> bool {
    let Some(attempt) = mine(status, at.number, &at.token) else {
        return false;
    };
    if attempt.is_ended() || attempt.start_time.is_some() {
        return false;
    }
    attempt.start_time = Some(MicroTime(time(started)));
    note_start(status, Some(time(started)));
    true
}

/// Writes down what became of the attempt's log. `false` when nothing changes.
pub(crate) fn apply_log(shipped: &Shipped, status: &mut JobStatus, at: &At) -> bool {
    let latest = status.attempts.last().is_some_and(|last| last.number == at.number);
    let Some(attempt) = mine(status, at.number, &at.token) else {
        return false;
    };
    if attempt.log.is_some() {
        return false;
    }
    let (truth, reason, message) = match shipped {
        Shipped::Sealed(end) => {
            attempt.log = Some(log(end));
            (Truth::True, "Sealed", format!("{} bytes", end.length))
        }
        Shipped::Fenced(message) => (Truth::False, "Fenced", message.clone()),
        Shipped::Broken(message) => (Truth::False, "Incomplete", message.clone()),
    };
    if latest {
        let wanted = Wanted {
            kind: LOGS_SEALED,
            truth,
            reason,
            message,
        };
        condition::set(&mut status.conditions, wanted, at.generation, at.now);
    }
    true
}

fn log(end: &End) -> AttemptLog {
    use std::fmt::Write;
    let mut digest = String::with_capacity(64);
    for byte in end.digest {
        write!(digest, "{byte:02x}").expect("writing to a string does not fail");
    }
    AttemptLog {
        length: end.length,
        digest,
    }
}

fn note_start(status: &mut JobStatus, started: Option<Timestamp>) {
    if status.start_time.is_none() {
        status.start_time = started.map(Time);
    }
}

fn mine<'a>(status: &'a mut JobStatus, number: u32, token: &str) -> Option<&'a mut Attempt> {
    let mut attempts = status.attempts.iter_mut();
    attempts.find(|attempt| attempt.number == number && attempt.token == token)
}

/// Microseconds are what the wire keeps; what is finer would come back as another time.
fn time(nanos: u64) -> Timestamp {
    i64::try_from(nanos / 1000)
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b % (1 << 30) == 0 => format!("{}Gi", b >> 30),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{}Mi", b >> 20),
        b => format!("{b} bytes"),
    }
}

#[cfg(test)]
mod tests;
