//! The run plan: what it decides in single cases, and a small world in which it is carried out in pieces, twice, on old
//! views and with kills in between.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use breakbulk_schemas::condition::{self, SUCCEEDED, Truth, Wanted};
use breakbulk_schemas::job::Job;
use breakbulk_schemas::pipeline::{JobTemplate, Matrix, ParamSpec, ParamType};
use breakbulk_schemas::pipeline_run::{
    JobSummaryState as State, PipelineRun, PipelineRunSpec, PipelineRunStatus, RerunJobs, RerunOf,
};
use breakbulk_schemas::{PipelineSpec, Scalar};
use jiff::Timestamp;
use kube::ResourceExt;
use proptest::prelude::*;

use super::plan::{Observed, Place, Plan, plan};
use super::resolve::{self, Before, References, Resolution};
use super::{instances, is_ended};

fn template(needs: &[&str]) -> JobTemplate {
    let needs = needs.iter().map(|need| (*need).to_owned()).collect();
    JobTemplate {
        run: "true".to_owned(),
        needs,
        ..JobTemplate::default()
    }
}

fn spec(jobs: &[(&str, JobTemplate)]) -> PipelineSpec {
    let jobs = jobs
        .iter()
        .map(|(name, job)| ((*name).to_owned(), job.clone()))
        .collect();
    PipelineSpec {
        jobs,
        ..PipelineSpec::default()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A run of `spec` with its Jobs: what the server would hold.
struct World {
    run: PipelineRun,
    jobs: BTreeMap<String, Job>,
    created: usize,
    now: i64,
}

impl World {
    fn new(spec: PipelineSpec) -> Self {
        let mut run = PipelineRun::new(
            "r",
            PipelineRunSpec {
                pipeline_spec: Some(spec),
                ..PipelineRunSpec::default()
            },
        );
        run.metadata.uid = Some("run-uid".to_owned());
        run.metadata.namespace = Some("ns".to_owned());
        let Resolution::Frozen(status) = resolve::resolve(&run, &References::default()) else {
            panic!("resolves")
        };
        run.status = Some(*status);
        Self {
            run,
            jobs: BTreeMap::new(),
            created: 0,
            now: 0,
        }
    }

    fn observe(&self) -> Observed {
        Observed {
            run: Arc::new(self.run.clone()),
            jobs: self
                .jobs
                .iter()
                .map(|(name, job)| (name.clone(), Arc::new(job.clone())))
                .collect(),
            foreign: BTreeSet::new(),
            gone: BTreeSet::new(),
            place: Place::Holds,
            repository: None,
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.observe(), at(self.now))
    }

    fn create(&mut self, mut job: Job) {
        let name = job.name_any();
        if let Entry::Vacant(free) = self.jobs.entry(name) {
            job.metadata.uid = Some(format!("uid-{}", free.key()));
            free.insert(job);
            self.created += 1;
        }
    }

    /// Carries a whole plan out.
    fn step(&mut self) {
        self.now += 1;
        let plan = self.plan();
        self.run.status = Some(plan.status);
        plan.create.into_iter().for_each(|(_, job)| self.create(job));
        for job in plan.cancel {
            self.jobs.get_mut(&job.name_any()).unwrap().spec.cancel = true;
        }
    }

    fn end(&mut self, name: &str, truth: Truth, reason: &str) {
        let now = at(self.now);
        let job = self
            .jobs
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is a Job {name}"));
        let status = job.status.get_or_insert_default();
        let wanted = Wanted {
            kind: SUCCEEDED,
            truth,
            reason,
            message: String::new(),
        };
        condition::set(&mut status.conditions, wanted, None, now);
        status.completion_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    }

    fn succeed(&mut self, name: &str) {
        self.end(name, Truth::True, "Succeeded");
    }

    fn status(&self) -> PipelineRunStatus {
        self.run.status.clone().unwrap()
    }

    fn state(&self, name: &str) -> State {
        self.status()
            .jobs
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.state)
            .unwrap_or_default()
    }

    fn reason(&self) -> String {
        condition::find(&self.status().conditions, SUCCEEDED)
            .map(|c| c.reason.clone())
            .unwrap_or_default()
    }

    fn names(&self) -> Vec<&str> {
        self.jobs.keys().map(String::as_str).collect()
    }
}

#[test]
fn a_job_is_created_when_its_needs_have_succeeded_and_not_before() {
    let mut world = World::new(spec(&[("a", template(&[])), ("b", template(&["a"]))]));
    world.step();
    assert_eq!(world.names(), ["r-a"]);
    world.step();
    assert_eq!((world.state("a"), world.state("b")), (State::Pending, State::Waiting));
    world.succeed("r-a");
    world.step();
    assert_eq!(world.names(), ["r-a", "r-b"]);
    world.succeed("r-b");
    world.step();
    assert_eq!(
        (world.reason().as_str(), world.status().summary.as_deref()),
        ("Succeeded", Some("2/2"))
    );
}

#[test]
fn what_needs_a_failed_job_is_skipped_and_what_asks_for_results_is_not() {
    let mut asks = template(&["a"]);
    asks.if_ = Some("needs.a.result == 'Failed'".to_owned());
    let mut world = World::new(spec(&[
        ("a", template(&[])),
        ("b", template(&["a"])),
        ("c", template(&["b"])),
        ("report", asks),
    ]));
    world.step();
    world.end("r-a", Truth::False, "Failed");
    world.step();
    assert_eq!(world.names(), ["r-a", "r-report"]);
    world.succeed("r-report");
    world.step();
    assert_eq!((world.state("b"), world.state("c")), (State::Skipped, State::Skipped));
    assert_eq!(world.reason(), "Failed");
}

#[test]
fn a_job_that_may_fail_does_not_stop_the_others() {
    let mut may = template(&[]);
    may.allow_failure = true;
    let mut world = World::new(spec(&[("a", may), ("b", template(&["a"]))]));
    world.step();
    world.end("r-a", Truth::False, "Failed");
    world.step();
    world.succeed("r-b");
    world.step();
    assert_eq!(
        (world.state("a"), world.reason().as_str()),
        (State::Warned, "Succeeded")
    );
}

#[test]
fn outputs_and_parameters_reach_the_environment_and_the_script_stays_as_it_is() {
    let mut user = template(&["a"]);
    user.run = "echo $V ${X:-}".to_owned();
    user.env = BTreeMap::from([("V".to_owned(), Scalar::from("v${{ needs.a.outputs.version }}"))]);
    let mut spec = spec(&[("a", template(&[])), ("b", user)]);
    spec.env = BTreeMap::from([
        ("V".to_owned(), Scalar::from("other")),
        ("P".to_owned(), Scalar::from("x")),
    ]);
    let mut world = World::new(spec);
    world.step();
    world.succeed("r-a");
    world.jobs.get_mut("r-a").unwrap().status.as_mut().unwrap().outputs =
        BTreeMap::from([("version".to_owned(), "7".to_owned())]);
    world.step();
    let job = &world.jobs["r-b"].spec;
    let value = |name: &str| {
        job.env
            .iter()
            .filter(|var| var.name == name)
            .map(|var| var.value.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (value("V"), value("P"), value("CI_JOB_NAME")),
        (vec!["v7"], vec!["x"], vec!["b"])
    );
    assert_eq!(job.script, "echo $V ${X:-}");
}

#[test]
fn finally_runs_after_everything_also_after_a_cancel() {
    let mut pipeline = spec(&[("a", template(&[])), ("b", template(&["a"]))]);
    pipeline.finally = BTreeMap::from([("clean".to_owned(), template(&[]))]);
    let mut world = World::new(pipeline);
    world.step();
    world.run.spec.cancel = true;
    world.step();
    assert!(world.jobs["r-a"].spec.cancel);
    assert_eq!(
        (world.state("b"), world.reason().as_str()),
        (State::Cancelled, "Cancelling")
    );
    assert_eq!(world.names(), ["r-a"], "the job is still being stopped");
    world.end("r-a", Truth::False, "Cancelled");
    world.step();
    assert_eq!(world.names(), ["r-a", "r-clean"]);
    assert!(!world.jobs["r-clean"].spec.cancel);
    world.succeed("r-clean");
    world.step();
    assert_eq!(
        (world.reason().as_str(), world.state("clean")),
        ("Cancelled", State::Succeeded)
    );
}

#[test]
fn a_run_cancelled_before_it_started_runs_nothing() {
    let mut pipeline = spec(&[("a", template(&[]))]);
    pipeline.finally = BTreeMap::from([("clean".to_owned(), template(&[]))]);
    let mut world = World::new(pipeline);
    world.run.spec.cancel = true;
    world.step();
    assert_eq!((world.names().len(), world.reason().as_str()), (0, "Cancelled"));
}

#[test]
fn a_run_that_takes_too_long_is_stopped_and_says_so() {
    let mut pipeline = spec(&[("a", template(&[])), ("b", template(&["a"]))]);
    pipeline.timeout = Some(breakbulk_schemas::Duration::from_secs(10));
    let mut world = World::new(pipeline);
    world.step();
    assert!(world.plan().after.is_some_and(|after| after <= Duration::from_secs(11)));
    world.now += 20;
    world.step();
    assert!(world.jobs["r-a"].spec.cancel);
    world.end("r-a", Truth::False, "Cancelled");
    world.step();
    assert_eq!(
        (world.reason().as_str(), world.state("b")),
        ("TimedOut", State::Cancelled)
    );
}

#[test]
fn a_matrix_becomes_one_job_for_each_combination_and_no_more_than_allowed_at_once() {
    let mut matrix = template(&[]);
    let axis = vec![Scalar::from("1"), Scalar::from("2"), Scalar::from("3")];
    matrix.matrix = Some(Matrix {
        axes: BTreeMap::from([("v".to_owned(), axis)]),
        max_parallel: Some(2),
        ..Matrix::default()
    });
    let mut world = World::new(spec(&[("m", matrix), ("after", template(&["m"]))]));
    world.step();
    assert_eq!(world.names(), ["r-m-0", "r-m-1"]);
    world.step();
    assert_eq!(world.names().len(), 2);
    world.succeed("r-m-0");
    world.step();
    assert_eq!(world.names().len(), 3);
    world.succeed("r-m-1");
    world.succeed("r-m-2");
    world.step();
    assert_eq!(
        (world.state("m (2)"), world.names().contains(&"r-after")),
        (State::Succeeded, true)
    );
}

#[test]
fn a_job_of_somebody_else_in_the_way_is_reported_and_not_taken_over() {
    let world = World::new(spec(&[("a", template(&[]))]));
    let mut seen = world.observe();
    seen.foreign.insert("r-a".to_owned());
    let plan = plan(&seen, at(1));
    assert!(plan.create.is_empty());
    assert_eq!(plan.status.jobs[0].reason.as_deref(), Some("NameConflict"));
}

#[test]
fn an_expression_without_a_value_fails_its_job_and_not_the_controller() {
    let mut bad = template(&[]);
    bad.env = BTreeMap::from([("V".to_owned(), Scalar::from("${{ params.none }}"))]);
    let mut world = World::new(spec(&[("a", bad)]));
    world.step();
    world.step();
    assert_eq!((world.state("a"), world.reason().as_str()), (State::Failed, "Failed"));
}

#[test]
fn a_run_without_a_place_waits_and_says_for_whom() {
    let world = World::new(spec(&[("a", template(&[]))]));
    let seen = Observed {
        place: Place::Waits("held by run/x".to_owned()),
        ..world.observe()
    };
    let plan = plan(&seen, at(1));
    assert!(plan.create.is_empty() && plan.status.start_time.is_none());
    assert_eq!(
        condition::find(&plan.status.conditions, SUCCEEDED).unwrap().message,
        "held by run/x"
    );
}

#[test]
fn parameters_are_typed_and_every_mistake_is_told() {
    let param = |type_: ParamType, default: Option<&str>| ParamSpec {
        type_,
        default: default.map(Scalar::from),
        ..ParamSpec::default()
    };
    let mut pipeline = spec(&[("a", template(&[]))]);
    pipeline.params = BTreeMap::from([
        ("n".to_owned(), param(ParamType::Int, None)),
        ("flag".to_owned(), param(ParamType::Bool, Some("true"))),
        ("must".to_owned(), param(ParamType::String, None)),
    ]);
    let mut run = PipelineRun::new(
        "r",
        PipelineRunSpec {
            pipeline_spec: Some(pipeline),
            ..PipelineRunSpec::default()
        },
    );
    run.spec.params = BTreeMap::from([
        ("n".to_owned(), Scalar::from("x")),
        ("odd".to_owned(), Scalar::from("1")),
    ]);
    let Resolution::Invalid(message) = resolve::resolve(&run, &References::default()) else {
        panic!()
    };
    for part in ["`odd`", "`must` has no default", "`n` must be a whole number"] {
        assert!(message.contains(part), "{message}");
    }
    run.spec.params = BTreeMap::from([("n".to_owned(), Scalar::from("7")), ("must".to_owned(), Scalar::Int(1))]);
    let Resolution::Frozen(status) = resolve::resolve(&run, &References::default()) else {
        panic!()
    };
    assert_eq!(status.params["n"], Scalar::Int(7));
    assert_eq!(
        (&status.params["flag"], &status.params["must"]),
        (&Scalar::Bool(true), &Scalar::from("1"))
    );
}

#[test]
fn a_rerun_keeps_what_succeeded_and_does_the_rest_again() {
    let mut first = World::new(spec(&[
        ("a", template(&[])),
        ("b", template(&["a"])),
        ("c", template(&["b"])),
    ]));
    first.step();
    first.succeed("r-a");
    first.step();
    first.end("r-b", Truth::False, "Failed");
    first.step();
    assert_eq!(first.reason(), "Failed");
    let jobs: BTreeMap<_, _> = first
        .jobs
        .iter()
        .map(|(name, job)| (name.clone(), Arc::new(job.clone())))
        .collect();
    let mut run = PipelineRun::new("again", PipelineRunSpec::default());
    run.metadata.uid = Some("again-uid".to_owned());
    run.spec.rerun_of = Some(RerunOf {
        name: "r".to_owned(),
        jobs: RerunJobs::Failed,
    });
    let found = References {
        before: Some(Before {
            run: Arc::new(first.run.clone()),
            jobs,
        }),
        ..References::default()
    };
    let Resolution::Frozen(status) = resolve::resolve(&run, &found) else {
        panic!()
    };
    run.status = Some(*status);
    let mut again = World {
        run,
        jobs: first.jobs.clone(),
        created: 0,
        now: 100,
    };
    again.step();
    assert_eq!((again.state("a"), again.created), (State::Succeeded, 1));
    assert!(again.jobs.contains_key("again-b") && !again.jobs.contains_key("again-a"));
    again.succeed("again-b");
    again.step();
    again.succeed("again-c");
    again.step();
    assert_eq!(again.reason(), "Succeeded");
}

/// A random graph: each job may need any before it.
fn graph() -> impl Strategy<Value = PipelineSpec> {
    let job = (any::<u8>(), any::<bool>(), 0..3usize);
    (prop::collection::vec(job, 1..7), any::<bool>()).prop_map(|(jobs, finally)| {
        let mut all: Vec<(String, JobTemplate)> = Vec::new();
        for (index, (mask, may_fail, width)) in jobs.into_iter().enumerate() {
            let needs: Vec<String> = (0..index)
                .filter(|n| mask & (1 << n) != 0)
                .map(|n| format!("j{n}"))
                .collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            let mut job = template(&needs);
            job.allow_failure = may_fail;
            if width > 0 {
                let values = (0..width).map(|n| Scalar::from(n.to_string())).collect();
                job.matrix = Some(Matrix {
                    axes: BTreeMap::from([("v".to_owned(), values)]),
                    max_parallel: Some(1),
                    ..Matrix::default()
                });
            }
            all.push((format!("j{index}"), job));
        }
        let finally = finally
            .then(|| ("last".to_owned(), template(&[])))
            .into_iter()
            .collect();
        PipelineSpec {
            jobs: all.into_iter().collect(),
            finally,
            ..PipelineSpec::default()
        }
    })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Everything that is planned is done.
    Whole,
    /// Killed after so many of the creations, before the status.
    Killed(usize),
    /// Planned on an old view: its creations meet names that exist, its status an old version.
    Stale,
    /// A view is kept, to be planned on later.
    Look,
    End(u8, bool),
    Cancel,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Whole),
        3 => (0..3usize).prop_map(Step::Killed),
        2 => Just(Step::Stale),
        2 => Just(Step::Look),
        5 => (any::<u8>(), prop::bool::weighted(0.8)).prop_map(|(which, well)| Step::End(which, well)),
        1 => Just(Step::Cancel),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// However the plan is carried out: no job is created twice or before its needs, limits hold, what has ended never
    /// changes, and in the end the run ends, truthfully.
    #[test]
    fn a_run_converges_whatever_happens_between_two_writes(spec in graph(), steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(spec.clone());
        let mut old = world.observe();
        let mut ended: BTreeMap<String, State> = BTreeMap::new();
        let mut made = BTreeSet::new();
        for step in steps.into_iter().chain(std::iter::repeat_n(Step::Whole, 2)) {
            world.now += 1;
            carry_out(&mut world, step, &mut old);
            check(&world, &spec, &mut ended, &mut made)?;
        }
        for _ in 0..100 {
            if is_ended(&world.run) {
                break;
            }
            world.step();
            let open: Vec<_> = world.jobs.iter().filter(|(_, job)| !job.is_ended()).map(|(name, job)| (name.clone(), job.spec.cancel)).collect();
            for (name, cancel) in open {
                let truth = if cancel { Truth::False } else { Truth::True };
                world.end(&name, truth, if cancel { "Cancelled" } else { "Succeeded" });
            }
            check(&world, &spec, &mut ended, &mut made)?;
        }
        prop_assert!(is_ended(&world.run), "{:?}", world.status());
        let status = world.status();
        let failed = status.jobs.iter().any(|entry| entry.state == State::Failed);
        let truth = condition::truth(&status.conditions, SUCCEEDED);
        prop_assert!(truth == Truth::False || (!failed && truth == Truth::True));
        let before = world.status();
        world.step();
        prop_assert_eq!(before, world.status(), "what has ended never changes");
    }
}

fn carry_out(world: &mut World, step: Step, old: &mut Observed) {
    match step {
        Step::Whole => {
            world.now -= 1;
            world.step();
        }
        Step::Killed(after) => {
            let plan = world.plan();
            // The start is written before anything is created.
            if world.status().start_time.is_none() {
                world.run.status = Some(plan.status);
                return;
            }
            plan.create
                .into_iter()
                .take(after)
                .for_each(|(_, job)| world.create(job));
        }
        Step::Stale => {
            let plan = plan(old, at(world.now));
            if world.status().start_time.is_some()
                && old
                    .run
                    .status
                    .as_ref()
                    .is_some_and(|status| status.start_time.is_some())
            {
                plan.create.into_iter().for_each(|(_, job)| world.create(job));
            }
            *old = world.observe();
        }
        Step::Look => *old = world.observe(),
        Step::End(which, well) => {
            let open: Vec<_> = world
                .jobs
                .iter()
                .filter(|(_, job)| !job.is_ended())
                .map(|(name, _)| name.clone())
                .collect();
            if let Some(name) = (!open.is_empty()).then(|| open[usize::from(which) % open.len()].clone()) {
                let truth = if well { Truth::True } else { Truth::False };
                world.end(&name, truth, if well { "Succeeded" } else { "Failed" });
            }
        }
        Step::Cancel => world.run.spec.cancel = true,
    }
}

fn check(
    world: &World,
    spec: &PipelineSpec,
    ended: &mut BTreeMap<String, State>,
    made: &mut BTreeSet<String>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(world.created, world.jobs.len(), "nothing is created twice");
    for instance in instances::of(&world.run, spec) {
        let Some(job) = world.jobs.get(&instance.object) else {
            continue;
        };
        if made.insert(job.name_any()) {
            for need in &instance.template.needs {
                let met = instances::of(&world.run, spec)
                    .iter()
                    .filter(|other| other.job == need)
                    .all(|other| world.jobs.get(&other.object).is_some_and(|job| job.is_ended()));
                prop_assert!(met, "{} was created before {need} had ended", instance.name);
            }
        }
    }
    for (name, template) in &spec.jobs {
        let limit = template
            .matrix
            .as_ref()
            .and_then(|matrix| matrix.max_parallel)
            .unwrap_or(u32::MAX) as usize;
        let open = instances::of(&world.run, spec)
            .iter()
            .filter(|i| i.job == name && world.jobs.get(&i.object).is_some_and(|job| !job.is_ended()))
            .count();
        prop_assert!(open <= limit, "{name} runs {open} times at once");
    }
    for entry in world.status().jobs.iter().filter(|entry| entry.state.is_ended()) {
        let before = ended.entry(entry.name.clone()).or_insert(entry.state);
        prop_assert_eq!(*before, entry.state, "{} changed its end", entry.name);
    }
    Ok(())
}
