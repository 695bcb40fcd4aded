//! What a Job asks of a node, case by case.

use breakbulk_schemas::JobSpec;
use breakbulk_schemas::job::{Attempt, AttemptReason, JobStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use super::*;

fn job(attempts: &[(&str, Option<AttemptReason>)], attempt: u32) -> Job {
    let made = |(index, (node, reason)): (usize, &(&str, Option<AttemptReason>))| Attempt {
        number: u32::try_from(index).unwrap() + 1,
        node: (*node).to_owned(),
        token: "t".to_owned(),
        boot_id: "b".to_owned(),
        claim_time: MicroTime(Timestamp::UNIX_EPOCH),
        start_time: None,
        finish_time: reason.map(|_| MicroTime(Timestamp::UNIX_EPOCH)),
        reason: *reason,
        message: None,
        exit_code: None,
        signal: None,
        usage: None,
        log: None,
    };
    let spec = JobSpec {
        script: "true".to_owned(),
        node_name: Some("me".to_owned()),
        attempt,
        ..JobSpec::default()
    };
    let mut job = Job::new("j", spec);
    job.metadata.uid = Some("u".to_owned());
    job.status = Some(JobStatus {
        attempts: attempts.iter().enumerate().map(made).collect(),
        ..JobStatus::default()
    });
    job
}

fn id(number: u32) -> AttemptId {
    AttemptId::new("u", number).unwrap()
}

fn unknown(job: &Job) -> Decision {
    decide(job, "me", |_| false)
}

fn known(job: &Job) -> Decision {
    decide(job, "me", |_| true)
}

#[test]
fn only_the_attempt_that_is_bound_here_and_next_is_claimed() {
    assert_eq!(unknown(&job(&[], 1)), Decision::Claim(id(1)));
    assert_eq!(known(&job(&[], 1)), Decision::Ignore);
    assert_eq!(unknown(&job(&[], 2)), Decision::Ignore, "attempt 2 without a first");
    let failed = ("other", Some(AttemptReason::Failed));
    assert_eq!(unknown(&job(&[failed], 2)), Decision::Claim(id(2)));
    assert_eq!(unknown(&job(&[failed], 1)), Decision::Ignore, "it has ended");
    let mut elsewhere = job(&[], 1);
    elsewhere.spec.node_name = Some("other".to_owned());
    assert_eq!(unknown(&elsewhere), Decision::Ignore);
    let mut cancelled = job(&[], 1);
    cancelled.spec.cancel = true;
    assert_eq!(unknown(&cancelled), Decision::Ignore);
    let mut deleted = job(&[], 1);
    deleted.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(unknown(&deleted), Decision::Ignore);
}

#[test]
fn what_this_node_claimed_and_does_not_know_is_lost_and_never_started() {
    assert_eq!(unknown(&job(&[("me", None)], 1)), Decision::Lost(id(1)));
    assert_eq!(unknown(&job(&[("other", None)], 1)), Decision::Ignore);
    assert_eq!(known(&job(&[("me", None)], 1)), Decision::Ignore);
}

#[test]
fn what_runs_here_is_stopped_when_its_job_is_cancelled_or_being_deleted() {
    let mut cancelled = job(&[("me", None)], 1);
    cancelled.spec.cancel = true;
    assert_eq!(known(&cancelled), Decision::Stop(id(1)));
    let mut deleted = job(&[("me", None)], 1);
    deleted.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(known(&deleted), Decision::Stop(id(1)));
}

#[test]
fn a_job_whose_uid_would_leave_the_data_directory_is_ignored() {
    let mut odd = job(&[], 1);
    odd.metadata.uid = Some("../../etc".to_owned());
    assert_eq!(unknown(&odd), Decision::Ignore);
}
