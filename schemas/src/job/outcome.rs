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
        return if spec.cancel {
            State::Ended(End::Cancelled)
        } else {
            State::Waiting
        };
    };
    let Some(reason) = last.reason else {
        return State::Active(last);
    };
    if spec.attempt > last.number {
        return if spec.cancel {
            State::Ended(End::Cancelled)
        } else {
            State::Waiting
        };
    }
    let again = !spec.cancel && spec.retry.as_ref().is_some_and(|retry| retries(retry, last, reason));
    match (again, &spec.retry) {
        (true, Some(retry)) => {
            let wait = retry
                .backoff
                .as_ref()
                .map_or(SignedDuration::ZERO, |backoff| wait(backoff, last.number));
            let at = last
                .finish_time
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |t| t.0)
                .saturating_add(wait);
            State::RetryAt {
                last,
                next: last.number + 1,
                at: at.unwrap_or(Timestamp::MAX),
            }
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
    let changed = condition::set(
        &mut status.conditions,
        Wanted {
            kind: SUCCEEDED,
            truth,
            reason,
            message,
        },
        generation,
        now,
    );
    if truth != Truth::Unknown && status.completion_time.is_none() {
        let end = snapshot
            .attempts
            .last()
            .and_then(|a| a.finish_time.as_ref())
            .map_or(now, |t| t.0);
        status.completion_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(end));
    }
    changed
}

fn words(state: &State<'_>) -> (Truth, &'static str, String) {
    match state {
        State::Waiting => (Truth::Unknown, "Pending", "no attempt has started yet".to_owned()),
        State::Active(attempt) => (
            Truth::Unknown,
            "Running",
            format!("attempt {} is running on node {}", attempt.number, attempt.node),
        ),
        State::RetryAt { last, next, at } => (
            Truth::Unknown,
            "Retrying",
            format!(
                "attempt {} {}; attempt {next} may start at {at:.0}",
                last.number,
                how(last)
            ),
        ),
        State::Ended(End::Cancelled) => (Truth::False, "Cancelled", "cancelled before it started".to_owned()),
        State::Ended(End::Attempt(attempt)) => {
            let reason = attempt.reason.unwrap_or(AttemptReason::NodeLost);
            let truth = if reason == AttemptReason::Succeeded {
                Truth::True
            } else {
                Truth::False
            };
            let tries = if attempt.number > 1 {
                format!(" (attempt {})", attempt.number)
            } else {
                String::new()
            };
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
    let Some(reason) = reason.retry_reason() else {
        return false;
    };
    if !retry.reasons.is_empty() && !retry.reasons.contains(&reason) {
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

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn attempt(number: u32, reason: Option<AttemptReason>) -> Attempt {
        Attempt {
            number,
            node: "n".to_owned(),
            token: "t".to_owned(),
            boot_id: "b".to_owned(),
            claim_time: MicroTime(Timestamp::UNIX_EPOCH),
            start_time: None,
            finish_time: reason.map(|_| MicroTime(Timestamp::UNIX_EPOCH)),
            reason,
            message: None,
            exit_code: (reason == Some(AttemptReason::Failed)).then_some(3),
            signal: None,
            usage: None,
            log: None,
        }
    }

    fn status(attempts: Vec<Attempt>) -> JobStatus {
        JobStatus {
            attempts,
            ..JobStatus::default()
        }
    }

    fn retry(limit: u32) -> Retry {
        let backoff = Backoff {
            initial: Duration::from_secs(10),
            factor: 2,
            max: Some(Duration::from_secs(15)),
        };
        Retry {
            limit,
            reasons: Vec::new(),
            exit_codes: Vec::new(),
            backoff: Some(backoff),
        }
    }

    #[test]
    fn a_failed_attempt_is_tried_again_until_the_limit() {
        let mut spec = JobSpec {
            attempt: 1,
            retry: Some(retry(1)),
            ..JobSpec::default()
        };
        let first = status(vec![attempt(1, Some(AttemptReason::Failed))]);
        let State::RetryAt { next: 2, at, .. } = state(&spec, Some(&first)) else {
            panic!("no retry")
        };
        assert_eq!(at, Timestamp::from_second(10).unwrap());
        spec.attempt = 2;
        assert_eq!(state(&spec, Some(&first)), State::Waiting);
        let second = status(vec![
            attempt(1, Some(AttemptReason::Failed)),
            attempt(2, Some(AttemptReason::NodeLost)),
        ]);
        assert!(matches!(state(&spec, Some(&second)), State::Ended(End::Attempt(a)) if a.number == 2));
    }

    #[test]
    fn only_the_reasons_and_codes_named_are_tried_again() {
        let on = |reasons: Vec<RetryReason>, codes: Vec<i32>| Retry {
            reasons,
            exit_codes: codes,
            backoff: None,
            ..retry(3)
        };
        for (retry, again) in [
            (on(vec![RetryReason::NodeLost], vec![]), false),
            (on(vec![RetryReason::Failed], vec![3]), true),
            (on(vec![], vec![4]), false),
        ] {
            let spec = JobSpec {
                attempt: 1,
                retry: Some(retry),
                ..JobSpec::default()
            };
            let status = status(vec![attempt(1, Some(AttemptReason::Failed))]);
            assert_eq!(matches!(state(&spec, Some(&status)), State::RetryAt { .. }), again);
        }
    }

    #[test]
    fn a_cancelled_job_is_never_tried_again() {
        let spec = JobSpec {
            attempt: 1,
            cancel: true,
            retry: Some(retry(5)),
            ..JobSpec::default()
        };
        assert_eq!(state(&spec, None), State::Ended(End::Cancelled));
        let status = status(vec![attempt(1, Some(AttemptReason::NodeLost))]);
        assert!(matches!(state(&spec, Some(&status)), State::Ended(End::Attempt(_))));
    }

    #[test]
    fn backoff_grows_by_its_factor_up_to_its_maximum() {
        let backoff = retry(9).backoff.unwrap();
        assert_eq!([1, 2, 30].map(|failed| wait(&backoff, failed).as_secs()), [10, 15, 15]);
    }

    #[test]
    fn what_is_concluded_is_concluded_once() {
        let spec = JobSpec {
            attempt: 1,
            ..JobSpec::default()
        };
        let mut status = status(vec![attempt(1, Some(AttemptReason::Succeeded))]);
        assert!(conclude(&spec, &mut status, Some(1), Timestamp::UNIX_EPOCH));
        let ended = status.clone();
        status.attempts[0].reason = Some(AttemptReason::Failed);
        assert!(!conclude(&spec, &mut status, Some(2), Timestamp::MAX));
        assert_eq!(status.conditions, ended.conditions);
    }
}
