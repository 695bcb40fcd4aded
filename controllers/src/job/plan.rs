//! What is to be done about a Job: a pure function of the Job, of how long its node has been silent, and of the time.

use std::time::Duration;

use breakbulk_schemas::job::outcome::{self, State};
use breakbulk_schemas::job::{AttemptReason, Job, JobStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::config::Settings;
use crate::runtime::Next;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// Nothing, for now.
    Wait(Next),
    /// Take the Job from a node that has not claimed it and is not heard of.
    Unbind {
        /// In words.
        why: String,
    },
    /// Ask for the next attempt.
    Again {
        /// Its number.
        attempt: u32,
    },
    /// Write a status.
    Write {
        /// The status.
        status: Box<JobStatus>,
        /// What people should be told besides.
        told: Option<String>,
    },
}

/// Plans a Job. `silence` says for how long a node has not been heard of.
pub(super) fn plan(job: &Job, silence: impl Fn(&str) -> Duration, settings: &Settings, now: Timestamp) -> Plan {
    if job.is_ended() {
        return Plan::Wait(Next::OnChange);
    }
    match outcome::state(&job.spec, job.status.as_ref()) {
        State::Ended(_) => conclude(job, job.status.clone().unwrap_or_default(), None, now),
        State::RetryAt { next, at, .. } => {
            let left = at.duration_since(now);
            if left.is_positive() {
                Plan::Wait(Next::After(left.unsigned_abs()))
            } else {
                Plan::Again { attempt: next }
            }
        }
        State::Active(attempt) => {
            let silent = silence(&attempt.node);
            match settings.node_lost_after.checked_sub(silent) {
                Some(left) if !left.is_zero() => Plan::Wait(Next::After(left)),
                _ => lost(job, now),
            }
        }
        State::Waiting => match &job.spec.node_name {
            None => Plan::Wait(Next::OnChange),
            Some(node) => match settings.node_silent_after.checked_sub(silence(node)) {
                Some(left) if !left.is_zero() => Plan::Wait(Next::After(left)),
                _ => Plan::Unbind {
                    why: format!("the node {node} has not been heard of and did not start it"),
                },
            },
        },
    }
}

/// Ends the last attempt, whose node is lost: by now the node's own fence has killed what was left of it.
fn lost(job: &Job, now: Timestamp) -> Plan {
    let mut status = job.status.clone().unwrap_or_default();
    let mut told = None;
    if let Some(attempt) = status.attempts.last_mut() {
        // Read as the predicate of a sentence: "attempt 1 was lost with …".
        let message = format!("was lost with its node {}", attempt.node);
        attempt.finish_time = Some(MicroTime(now));
        attempt.reason = Some(AttemptReason::NodeLost);
        told = Some(format!("attempt {} {message}", attempt.number));
        attempt.message = Some(message);
    }
    conclude(job, status, told, now)
}

fn conclude(job: &Job, mut status: JobStatus, told: Option<String>, now: Timestamp) -> Plan {
    outcome::conclude(&job.spec, &mut status, job.metadata.generation, now);
    status.observed_generation = job.metadata.generation;
    Plan::Write {
        status: Box::new(status),
        told,
    }
}
