//! Pipelines from their spec to their end: what runs when, with what in its environment, and what is said about it.
//! Each of these tests runs over both stores.

mod bad_jobs;
mod concurrency;
mod dag;
mod data;
mod failure;
mod push;
mod rerun;

use breakbulk_schemas::Job;
use jiff::Timestamp;

/// From when to when the last attempt of a job ran.
pub(crate) fn span(job: &Job) -> (Timestamp, Timestamp) {
    let attempt = job.last_attempt().expect("the job was attempted");
    let start = attempt.start_time.as_ref().unwrap_or(&attempt.claim_time).0;
    (start, attempt.finish_time.as_ref().expect("the attempt has ended").0)
}

/// The largest number of spans that share a moment.
pub(crate) fn most_at_once(spans: &[(Timestamp, Timestamp)]) -> usize {
    let at = |moment: Timestamp| {
        spans
            .iter()
            .filter(|(start, end)| *start <= moment && moment < *end)
            .count()
    };
    spans.iter().map(|(start, _)| at(*start)).max().unwrap_or(0)
}
