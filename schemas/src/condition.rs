//! Conditions: the public form of state. One rule for `lastTransitionTime`, written once.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The condition of a thing that ends: unset or `Unknown` while it goes on, `True` or `False` for good.
pub const SUCCEEDED: &str = "Succeeded";
/// The condition of a thing that stays.
pub const READY: &str = "Ready";
/// On a Job: a node was chosen for it.
pub const SCHEDULED: &str = "Scheduled";
/// On a Job: the log of its latest attempt is complete and closed by its digest.
pub const LOGS_SEALED: &str = "LogsSealed";

/// A condition's `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told yet.
    Unknown,
}

impl Truth {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads the word; anything else is `Unknown`.
    pub fn of(word: &str) -> Self {
        match word {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// What a condition is to say. `reason` is CamelCase, `message` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The condition's type.
    pub kind: &'a str,
    /// Whether it holds.
    pub truth: Truth,
    /// One CamelCase word.
    pub reason: &'a str,
    /// For people.
    pub message: String,
}

/// Finds a condition by type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == kind)
}

/// The truth of a condition; absent is `Unknown`.
pub fn truth(conditions: &[Condition], kind: &str) -> Truth {
    find(conditions, kind).map_or(Truth::Unknown, |c| Truth::of(&c.status))
}

/// Sets a condition. `lastTransitionTime` moves only when the status does (api-conventions). Returns whether
/// anything changed.
pub fn set(conditions: &mut Vec<Condition>, wanted: Wanted<'_>, generation: Option<i64>, now: Timestamp) -> bool {
    let status = wanted.truth.as_str();
    match conditions.iter_mut().find(|c| c.type_ == wanted.kind) {
        Some(c) if c.status == status && c.reason == wanted.reason && c.message == wanted.message => {
            let moved = c.observed_generation != generation;
            c.observed_generation = generation;
            moved
        }
        Some(c) => {
            if c.status != status {
                c.last_transition_time = Time(now);
            }
            c.status = status.to_owned();
            c.reason = wanted.reason.to_owned();
            c.message = wanted.message;
            c.observed_generation = generation;
            true
        }
        None => {
            conditions.push(Condition {
                type_: wanted.kind.to_owned(),
                status: status.to_owned(),
                reason: wanted.reason.to_owned(),
                message: wanted.message,
                observed_generation: generation,
                last_transition_time: Time(now),
            });
            true
        }
    }
}
