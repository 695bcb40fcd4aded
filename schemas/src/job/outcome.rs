//! What follows from a Job's attempts: the one place where it is decided whether a Job has ended, is to be tried
//! again, or goes on. Pure, so that the agent (which usually ends a Job in the same write that ends the attempt)
//! and the job controller (which ends what no agent can) cannot disagree.

use jiff::{SignedDuration, Timestamp};

use super::{Attempt, AttemptReason, JobSpec, JobStatus};
use crate::Duration;
use crate::condition::{self, SUCCEEDED, Truth, Wanted};
use crate::pipeline::{Backoff, Retry, RetryReason};

/// Where a Job stands, inside.
#[derive(Clone, Debug, PartialEq)]
pub enum State<'a> {
    /// No attempt is under way: `spec.attempt` waits for a node, or for its node to claim it.
    Waiting,
    /// An attempt was claimed and its script may be running.
    Active(&'a Attempt),
    /// The last attempt failed, and another is to be made when this time has come.
    RetryAt {
        /// The attempt that failed.
        last: &'a Attempt,
        /// The number of the next.
        next: u32,
        /// Not earlier than this.
        at: Timestamp,
    },
    /// It is over.
    Ended(End<'a>),
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End<'a> {
    /// By its last attempt.
    Attempt(&'a Attempt),
    /// Cancelled before any attempt, or between two.
    Cancelled,
}

/// The longest wait between two attempts where the backoff names none.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);

/// Where a Job stands, from its spec and its attempts alone.
pub fn state<'a>(spec: &JobSpec, status: Option<&'a JobStatus>) -> State<'a> {
    let Some(last) = status.and_then(|s| s.attempts.last()) else {
        // A binding may be on its way to being claimed; whoever ends the Job here does so by compare-and-swap.
        return if spec.cancel { State::Ended(End::Cancelled) } else { State::Waiting };
    };
    let Some(reason) = last.reason else { return State::Active(last) };
    if spec.attempt > last.number {
        return if spec.cancel { State::Ended(End::Cancelled) } else { State::Waiting };
    }
    let again = !spec.cancel && spec.retry.as_ref().is_some_and(|retry| retries(retry, last, reason));
    match (again, &spec.retry) {
        (true, Some(retry)) => {
            let wait = retry.backoff.as_ref().map_or(SignedDuration::ZERO, |backoff| wait(backoff, last.number));
            let at = last.finish_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0).saturating_add(wait);
            State::RetryAt { last, next: last.number + 1, at: at.unwrap_or(Timestamp::MAX) }
        }
        _ => State::Ended(End::Attempt(last)),
    }
}

/// Brings the `Succeeded` condition and `completionTime` in line with [`state`]. A Job that has ended is never
/// changed again. Returns whether anything changed.
pub fn conclude(spec: &JobSpec, status: &mut JobStatus, generation: Option<i64>, now: Timestamp) -> bool {
    if condition::truth(&status.conditions, SUCCEEDED) != Truth::Unknown {
        return false;
    }
    let snapshot = status.clone();
    let (truth, reason, message) = words(&state(spec, Some(&snapshot)));
    let changed = condition::set(&mut status.conditions, Wanted { kind: SUCCEEDED, truth, reason, message }, generation, now);
    if truth != Truth::Unknown && status.completion_time.is_none() {
        let end = snapshot.attempts.last().and_then(|a| a.finish_time.as_ref()).map_or(now, |t| t.0);
        status.completion_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(end));
    }
    changed
}

fn words(state: &State<'_>) -> (Truth, &'static str, String) {
    match state {
        State::Waiting => (Truth::Unknown, "Pending", "no attempt has started yet".to_owned()),
        State::Active(attempt) => {
            (Truth::Unknown, "Running", format!("attempt {} is running on node {}", attempt.number, attempt.node))
        }
        State::RetryAt { last, next, at } => (
            Truth::Unknown,
            "Retrying",
            format!("attempt {} {}; attempt {next} may start at {at:.0}", last.number, how(last)),
        ),
        State::Ended(End::Cancelled) => (Truth::False, "Cancelled", "cancelled before it started".to_owned()),
        State::Ended(End::Attempt(attempt)) => {
            let reason = attempt.reason.unwrap_or(AttemptReason::NodeLost);
            let truth = if reason == AttemptReason::Succeeded { Truth::True } else { Truth::False };
            let tries = if attempt.number > 1 { format!(" (attempt {})", attempt.number) } else { String::new() };
            (truth, reason.as_str(), format!("{}{tries}", how(attempt)))
        }
    }
}

/// How an ended attempt ended, as the predicate of a sentence.
fn how(attempt: &Attempt) -> String {
    if let Some(message) = &attempt.message {
        return message.clone();
    }
    match (attempt.reason, attempt.exit_code, attempt.signal) {
        (_, Some(code), _) => format!("ended with exit code {code}"),
        (_, _, Some(signal)) => format!("was ended by signal {signal}"),
        (Some(reason), _, _) => format!("ended: {}", reason.as_str()),
        (None, _, _) => "has not ended".to_owned(),
    }
}

fn retries(retry: &Retry, last: &Attempt, reason: AttemptReason) -> bool {
    if last.number > retry.limit {
        return false;
    }
    let Some(reason) = reason.retry_reason() else { return false };
    if !retry.on.is_empty() && !retry.on.contains(&reason) {
        return false;
    }
    reason != RetryReason::Failed
        || retry.exit_codes.is_empty()
        || last.exit_code.is_some_and(|code| retry.exit_codes.contains(&code))
}

fn wait(backoff: &Backoff, failed: u32) -> SignedDuration {
    let max: std::time::Duration = backoff.max.unwrap_or(MAX_BACKOFF).into();
    let initial: std::time::Duration = backoff.initial.into();
    let factor = backoff.factor.saturating_pow(failed.saturating_sub(1));
    let wait = initial.checked_mul(factor).map_or(max, |wait| wait.min(max));
    SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)
}

impl AttemptReason {
    /// The CamelCase word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Cancelled => "Cancelled",
            Self::OutOfMemory => "OutOfMemory",
            Self::SetupFailed => "SetupFailed",
            Self::NodeLost => "NodeLost",
        }
    }

    const fn retry_reason(self) -> Option<RetryReason> {
        match self {
            Self::Succeeded | Self::Cancelled => None,
            Self::Failed => Some(RetryReason::Failed),
            Self::TimedOut => Some(RetryReason::TimedOut),
            Self::OutOfMemory => Some(RetryReason::OutOfMemory),
            Self::SetupFailed => Some(RetryReason::SetupFailed),
            Self::NodeLost => Some(RetryReason::NodeLost),
        }
    }
}
