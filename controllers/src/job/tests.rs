//! The job plan, and a small world in which agents, the scheduler and the controller act in any order.

use std::time::Duration;

use breakbulk_schemas::condition::{self, SUCCEEDED};
use breakbulk_schemas::job::outcome::{self, State};
use breakbulk_schemas::job::{Attempt, AttemptReason, Job, JobSpec, JobStatus};
use breakbulk_schemas::pipeline::Retry;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use proptest::prelude::*;

use super::plan::{Plan, plan};
use crate::config::Settings;
use crate::runtime::Next;

fn job(limit: u32) -> Job {
    let retry = Retry {
        limit,
        reasons: Vec::new(),
        exit_codes: Vec::new(),
        backoff: None,
    };
    Job::new(
        "j",
        JobSpec {
            script: "true".to_owned(),
            retry: Some(retry),
            attempt: 1,
            ..JobSpec::default()
        },
    )
}

fn settings() -> Settings {
    Settings::new("/nowhere")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn claimed(job: &mut Job, now: Timestamp) {
    let number = job.spec.attempt;
    let status = job.status.get_or_insert_default();
    status.attempts.push(Attempt {
        number,
        node: job.spec.node_name.clone().unwrap(),
        token: "t".to_owned(),
        boot_id: "b".to_owned(),
        claim_time: MicroTime(now),
        start_time: None,
        finish_time: None,
        reason: None,
        message: None,
        exit_code: None,
        signal: None,
        usage: None,
        log: None,
    });
}

fn ended(job: &mut Job, reason: AttemptReason, now: Timestamp) {
    let status: &mut JobStatus = job.status.as_mut().unwrap();
    let last = status.attempts.last_mut().unwrap();
    last.reason = Some(reason);
    last.finish_time = Some(MicroTime(now));
}

const HEARD: fn(&str) -> Duration = |_| Duration::ZERO;

#[test]
fn a_job_cancelled_before_anybody_claimed_it_ends_as_cancelled() {
    let mut job = job(0);
    job.spec.cancel = true;
    let Plan::Write { status, .. } = plan(&job, HEARD, &settings(), at(9)) else {
        panic!()
    };
    let told = condition::find(&status.conditions, SUCCEEDED).unwrap();
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "Cancelled"));
}

#[test]
fn a_job_bound_to_a_silent_node_is_taken_back_only_when_nobody_claimed_it() {
    let mut job = job(0);
    job.spec.node_name = Some("n".to_owned());
    let silent = |_: &str| Duration::from_secs(20);
    assert!(matches!(plan(&job, silent, &settings(), at(9)), Plan::Unbind { .. }));
    claimed(&mut job, at(1));
    assert_eq!(
        plan(&job, silent, &settings(), at(9)),
        Plan::Wait(Next::After(Duration::from_secs(25)))
    );
}

#[test]
fn an_attempt_on_a_lost_node_ends_as_lost_and_never_with_an_exit_code() {
    let mut job = job(0);
    job.spec.node_name = Some("n".to_owned());
    claimed(&mut job, at(1));
    let Plan::Write { status, told } = plan(&job, |_| Duration::from_secs(46), &settings(), at(50)) else {
        panic!()
    };
    assert_eq!(status.attempts[0].reason, Some(AttemptReason::NodeLost));
    assert_eq!(status.attempts[0].exit_code, None);
    assert_eq!(
        condition::find(&status.conditions, SUCCEEDED).unwrap().reason,
        "NodeLost"
    );
    assert!(told.is_some());
}

#[test]
fn the_next_attempt_is_asked_for_when_its_time_has_come() {
    let mut job = job(1);
    job.spec.node_name = Some("n".to_owned());
    claimed(&mut job, at(1));
    ended(&mut job, AttemptReason::Failed, at(5));
    assert_eq!(plan(&job, HEARD, &settings(), at(5)), Plan::Again { attempt: 2 });
}

#[derive(Clone, Debug)]
enum Step {
    Reconcile,
    /// The controller acts on the view before the last change: the server refuses it.
    ReconcileStale,
    Bind,
    Claim,
    End(AttemptReason),
    Cancel,
    NodeSilent(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let reason = prop_oneof![
        Just(AttemptReason::Succeeded),
        Just(AttemptReason::Failed),
        Just(AttemptReason::TimedOut),
        Just(AttemptReason::Cancelled)
    ];
    prop_oneof![
        4 => Just(Step::Reconcile),
        1 => Just(Step::ReconcileStale),
        3 => Just(Step::Bind),
        3 => Just(Step::Claim),
        3 => reason.prop_map(Step::End),
        1 => Just(Step::Cancel),
        1 => any::<bool>().prop_map(Step::NodeSilent),
    ]
}

/// Does what the plan says, as the server would.
fn apply(job: &mut Job, plan: Plan) {
    match plan {
        Plan::Wait(_) => {}
        Plan::Unbind { .. } => job.spec.node_name = None,
        Plan::Again { attempt } => {
            job.spec.node_name = None;
            job.spec.attempt = attempt;
        }
        Plan::Write { status, .. } => job.status = Some(*status),
    }
}

proptest! {
    /// In whatever order everybody acts: attempts are numbered without gaps, one at a time, never more than allowed;
    /// what has ended never changes; and once everybody has gone quiet the Job ends.
    #[test]
    fn a_job_makes_one_attempt_at_a_time_and_ends_for_good(limit in 0u32..3, steps in prop::collection::vec(step(), 1..60)) {
        let settings = settings();
        let mut job = job(limit);
        let mut silent = false;
        let mut now = at(0);
        let mut end = None;
        let silence = |silent: bool| move |_: &str| if silent { Duration::from_secs(60) } else { Duration::ZERO };
        for step in steps {
            now = now.checked_add(SignedDuration::from_secs(1)).unwrap();
            let waiting = matches!(outcome::state(&job.spec, job.status.as_ref()), State::Waiting);
            let active = matches!(outcome::state(&job.spec, job.status.as_ref()), State::Active(_));
            match step {
                Step::Reconcile => {
                    let plan = plan(&job, silence(silent), &settings, now);
                    apply(&mut job, plan);
                }
                // A write on an old view meets another version and changes nothing.
                Step::ReconcileStale => _ = plan(&job.clone(), silence(silent), &settings, now),
                Step::Bind if waiting && job.spec.node_name.is_none() && !job.is_ended() => job.spec.node_name = Some("n".to_owned()),
                Step::Claim if waiting && job.spec.node_name.is_some() && !silent && !job.is_ended() => claimed(&mut job, now),
                Step::End(reason) if active && !silent => {
                    ended(&mut job, reason, now);
                    let spec = job.spec.clone();
                    outcome::conclude(&spec, job.status.as_mut().unwrap(), None, now);
                }
                Step::Cancel => job.spec.cancel = true,
                Step::NodeSilent(is) => silent = is,
                _ => {}
            }
            check(&job, limit, &mut end)?;
        }
        // Everybody is gone: the controller alone brings it to an end, or it waits for a node.
        for _ in 0..10 {
            now = now.checked_add(SignedDuration::from_secs(1)).unwrap();
            let plan = plan(&job, silence(true), &settings, now);
            apply(&mut job, plan);
            check(&job, limit, &mut end)?;
        }
        let waits = matches!(outcome::state(&job.spec, job.status.as_ref()), State::Waiting) && job.spec.node_name.is_none();
        prop_assert!(job.is_ended() || waits, "{job:?}");
        prop_assert!(job.is_ended() || !job.spec.cancel, "a cancel cancels");
    }
}

fn check(job: &Job, limit: u32, end: &mut Option<JobStatus>) -> Result<(), TestCaseError> {
    let attempts = job
        .status
        .as_ref()
        .map(|status| status.attempts.clone())
        .unwrap_or_default();
    prop_assert!(attempts.len() <= limit as usize + 1);
    for (index, attempt) in attempts.iter().enumerate() {
        prop_assert_eq!(attempt.number as usize, index + 1);
        prop_assert!(attempt.is_ended() || index + 1 == attempts.len());
    }
    if job.is_ended() {
        let status = job.status.clone().unwrap();
        let before = end.get_or_insert_with(|| status.clone());
        prop_assert_eq!(&*before, &status);
    }
    Ok(())
}
