//! From the entries of a run's jobs to what the run says of itself. Once it has ended it never says anything else.

use std::time::Duration;

use breakbulk_schemas::PipelineSpec;
use breakbulk_schemas::condition::{self, SUCCEEDED, Truth, Wanted};
use breakbulk_schemas::pipeline_run::{
    JobSummary, JobSummaryState as State, PipelineRun, PipelineRunStatus, RunReason,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::instances::Instance;

/// On a run that was cancelled by a newer one of its group: that one's name.
pub const SUPERSEDED_BY: &str = "breakbulk.dev/superseded-by";

/// Whether and why a run is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It goes on; up to this time, if it has a limit.
    Not {
        /// When it will have taken too long.
        deadline: Option<Timestamp>,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// A newer run took its place.
    Superseded,
    /// It took too long.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
}

impl Stop {
    /// Looks whether the run is to be stopped.
    pub fn of(run: &PipelineRun, status: &PipelineRunStatus, spec: &PipelineSpec, now: Timestamp) -> Self {
        if run.spec.cancel {
            let superseded = run.annotations().contains_key(SUPERSEDED_BY);
            return if superseded { Self::Superseded } else { Self::Cancelled };
        }
        let Some(limit) = spec.timeout.map(Duration::from) else {
            return Self::Not { deadline: None };
        };
        let Some(deadline) = deadline(status, limit) else {
            return Self::Not { deadline: None };
        };
        let main: Vec<_> = status.jobs.iter().filter(|entry| !entry.finally).collect();
        let ended = !main.is_empty() && main.iter().all(|entry| entry.state.is_ended());
        // Jobs that have all ended were stopped for the time they took only if one of them was stopped at all.
        let late = if ended {
            main.iter().any(|entry| entry.state == State::Cancelled)
        } else {
            true
        };
        if now >= deadline && late {
            Self::TimedOut { limit }
        } else {
            Self::Not {
                deadline: (!ended).then_some(deadline),
            }
        }
    }

    /// Whether it is to be stopped.
    pub fn is_now(self) -> bool {
        !matches!(self, Self::Not { .. })
    }

    /// When it will have taken too long.
    pub fn deadline(self) -> Option<Timestamp> {
        match self {
            Self::Not { deadline } => deadline,
            _ => None,
        }
    }
}

fn deadline(status: &PipelineRunStatus, limit: Duration) -> Option<Timestamp> {
    let start = status.start_time.as_ref()?.0;
    start.checked_add(SignedDuration::try_from(limit).ok()?).ok()
}

/// How a group of entries ended together: the gravest of what happened. Combinations that were skipped do not count
/// where others ran.
pub fn worst(entries: &[JobSummary]) -> &'static str {
    let has = |state: State| entries.iter().any(|entry| entry.state == state);
    [
        (State::Failed, "Failed"),
        (State::Cancelled, "Cancelled"),
        (State::Warned, "Warned"),
        (State::Succeeded, "Succeeded"),
    ]
    .into_iter()
    .find(|(state, _)| has(*state))
    .map_or("Skipped", |(_, word)| word)
}

/// The status of a run that waits for a place.
pub fn queued(
    status: &mut PipelineRunStatus,
    all: &[Instance<'_>],
    why: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    if status.jobs.is_empty() {
        status.jobs = all
            .iter()
            .map(|instance| instance.entry(State::Waiting, "Queued", "the run waits for its place"))
            .collect();
    }
    status.summary = Some(counted(&status.jobs));
    status.observed_generation = generation;
    say(
        status,
        Truth::Unknown,
        RunReason::Queued,
        why.to_owned(),
        generation,
        now,
    );
}

/// Sums the entries up.
pub fn conclude(status: &mut PipelineRunStatus, stop: Stop, generation: Option<i64>, now: Timestamp) {
    status.summary = Some(counted(&status.jobs));
    status.observed_generation = generation;
    if !status.jobs.iter().all(|entry| entry.state.is_ended()) {
        let (reason, message) = if stop.is_now() {
            (RunReason::Cancelling, format!("{}; {}", why(stop), open(&status.jobs)))
        } else {
            (RunReason::Running, open(&status.jobs))
        };
        say(status, Truth::Unknown, reason, message, generation, now);
        return;
    }
    let (truth, reason, message) = end(&status.jobs, stop);
    finish(status, truth, reason, message, generation, now);
}

/// Ends a run for good.
pub fn finish(
    status: &mut PipelineRunStatus,
    truth: Truth,
    reason: RunReason,
    message: String,
    generation: Option<i64>,
    now: Timestamp,
) {
    say(status, truth, reason, message, generation, now);
    if status.completion_time.is_none() {
        status.completion_time = Some(Time(now));
        status.duration = status.start_time.as_ref().and_then(|start| {
            let millis = u64::try_from(now.duration_since(start.0).as_millis()).ok()?;
            // Start times are kept in whole seconds; more digits would only pretend.
            Some(breakbulk_schemas::Duration::from_secs(millis / 1000))
        });
    }
}

fn end(entries: &[JobSummary], stop: Stop) -> (Truth, RunReason, String) {
    let stopped = entries
        .iter()
        .any(|entry| !entry.finally && entry.state == State::Cancelled);
    match stop {
        Stop::Cancelled if stopped => return (Truth::False, RunReason::Cancelled, why(stop)),
        Stop::Superseded if stopped => return (Truth::False, RunReason::Superseded, why(stop)),
        Stop::TimedOut { .. } if stopped => return (Truth::False, RunReason::TimedOut, why(stop)),
        _ => {}
    }
    let names = |state: State| {
        let list: Vec<_> = entries
            .iter()
            .filter(|entry| entry.state == state)
            .map(|entry| entry.name.as_str())
            .collect();
        list
    };
    let failed = names(State::Failed);
    if !failed.is_empty() {
        return (Truth::False, RunReason::Failed, format!("failed: {}", some(&failed)));
    }
    let cancelled = names(State::Cancelled);
    if !cancelled.is_empty() {
        return (
            Truth::False,
            RunReason::Cancelled,
            format!("cancelled: {}", some(&cancelled)),
        );
    }
    let warned = names(State::Warned);
    let message = if warned.is_empty() {
        format!("all {} jobs have ended well", entries.len())
    } else {
        format!("failed, as they may: {}", some(&warned))
    };
    (Truth::True, RunReason::Succeeded, message)
}

fn why(stop: Stop) -> String {
    match stop {
        Stop::Cancelled => "cancelled".to_owned(),
        Stop::Superseded => "a newer run of its group took its place".to_owned(),
        Stop::TimedOut { limit } => format!("took longer than {limit:?}"),
        Stop::Not { .. } => String::new(),
    }
}

fn open(entries: &[JobSummary]) -> String {
    let ended = entries.iter().filter(|entry| entry.state.is_ended()).count();
    format!("{ended} of {} jobs have ended", entries.len())
}

fn counted(entries: &[JobSummary]) -> String {
    let ended = entries.iter().filter(|entry| entry.state.is_ended()).count();
    format!("{ended}/{}", entries.len())
}

fn some(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Sets the `Succeeded` condition, unless it says something final already.
pub fn say(
    status: &mut PipelineRunStatus,
    truth: Truth,
    reason: RunReason,
    message: String,
    generation: Option<i64>,
    now: Timestamp,
) {
    if condition::truth(&status.conditions, SUCCEEDED) == Truth::Unknown {
        let wanted = Wanted {
            kind: SUCCEEDED,
            truth,
            reason: reason.as_str(),
            message,
        };
        condition::set(&mut status.conditions, wanted, generation, now);
    }
}
