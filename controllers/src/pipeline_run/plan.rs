//! What is to be done about a run that has been resolved: which Jobs to create, which to cancel, what to say. A pure
//! function of what was observed and the time; doing what it says twice is doing it once.
//!
//! Decisions that no Job object carries (skipped, refused, cancelled before creation) are kept in the run's own
//! status: an entry there that has ended is taken as it is and never decided again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use breakbulk_schemas::expression::{Context, Event, Expression, Git, Need, Run};
use breakbulk_schemas::job::Job;
use breakbulk_schemas::pipeline::JobTemplate;
use breakbulk_schemas::pipeline_run::{JobSummary, JobSummaryState as State, PipelineRun, PipelineRunStatus, Source};
use breakbulk_schemas::{GitRepository, PipelineSpec};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conclusion::{self, Stop};
use super::instances::{self, Instance};
use super::{job_object, summary};

/// What was observed of a resolved run.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The run; its status holds the frozen pipeline.
    pub run: Arc<PipelineRun>,
    /// Its Jobs by name, and those of earlier runs that its status refers to.
    pub jobs: BTreeMap<String, Arc<Job>>,
    /// Names that Jobs of this run should have and Jobs of somebody else do have.
    pub foreign: BTreeSet<String>,
    /// Jobs that the status refers to and that are no more.
    pub gone: BTreeSet<String>,
    /// Whether it may start.
    pub place: Place,
    /// Its repository, for the environment of its jobs.
    pub repository: Option<Arc<GitRepository>>,
}

/// A run's place in its concurrency group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It holds one, or needs none.
    Holds,
    /// It waits; for whom, in words.
    Waits(String),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The status to be.
    pub status: PipelineRunStatus,
    /// Jobs to create, each with the name of its entry in the status.
    pub create: Vec<(String, Job)>,
    /// Jobs to cancel.
    pub cancel: Vec<Arc<Job>>,
    /// When to look again, whatever happens.
    pub after: Option<Duration>,
}

/// What a job's dependants see of it.
struct Outcome {
    /// All its instances have ended.
    ended: bool,
    need: Need,
}

struct Planner<'a> {
    seen: &'a Observed,
    spec: &'a PipelineSpec,
    before: BTreeMap<&'a str, &'a JobSummary>,
    stop: Stop,
    context: Context,
    outcomes: BTreeMap<&'a str, Outcome>,
    entries: Vec<JobSummary>,
    create: Vec<(String, Job)>,
    cancel: Vec<Arc<Job>>,
}

/// Plans a run whose status holds its frozen pipeline.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let old = seen.run.status.clone().unwrap_or_default();
    let Some(spec) = old.pipeline_spec.clone() else {
        return Plan {
            status: old,
            create: Vec::new(),
            cancel: Vec::new(),
            after: None,
        };
    };
    let all = instances::of(&seen.run, &spec);
    let mut status = old.clone();
    if status.start_time.is_none() && !seen.run.spec.cancel {
        if let Place::Waits(why) = &seen.place {
            conclusion::queued(&mut status, &all, why, seen.run.metadata.generation, now);
            return Plan {
                status,
                create: Vec::new(),
                cancel: Vec::new(),
                after: None,
            };
        }
        status.start_time = Some(Time(now));
    }
    let stop = Stop::of(&seen.run, &status, &spec, now);
    let mut planner = Planner {
        seen,
        spec: &spec,
        before: old.jobs.iter().map(|entry| (entry.name.as_str(), entry)).collect(),
        stop,
        context: context(&seen.run, &status),
        outcomes: BTreeMap::new(),
        entries: Vec::new(),
        create: Vec::new(),
        cancel: Vec::new(),
    };
    planner.section(&all, Section::Main, status.start_time.is_some());
    planner.section(&all, Section::Finally, status.start_time.is_some());
    let Planner {
        entries,
        create,
        cancel,
        stop,
        ..
    } = planner;
    status.jobs = entries;
    conclusion::conclude(&mut status, stop, seen.run.metadata.generation, now);
    let after = stop
        .deadline()
        .filter(|_| status.completion_time.is_none())
        .and_then(|deadline| {
            let left = deadline.duration_since(now);
            (!left.is_negative()).then(|| left.unsigned_abs() + Duration::from_millis(1))
        });
    Plan {
        status,
        create,
        cancel,
        after,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Main,
    Finally,
}

/// What becomes of an instance that has no Job yet.
enum Gate {
    Wait(String),
    Skip { reason: &'static str, message: String },
    Go,
}

impl<'a> Planner<'a> {
    fn section(&mut self, all: &'a [Instance<'a>], section: Section, started: bool) {
        let members = all
            .iter()
            .filter(|instance| instance.finally == (section == Section::Finally));
        let mut by_job: Vec<(&'a str, Vec<&'a Instance<'a>>)> = Vec::new();
        for instance in members {
            match by_job.last_mut() {
                Some((job, list)) if *job == instance.job => list.push(instance),
                _ => by_job.push((instance.job, vec![instance])),
            }
        }
        let stopping = match section {
            Section::Main => self.stop.is_now(),
            // A run that never started has nothing to clean up after.
            Section::Finally => self.stop.is_now() && !started,
        };
        let open = section == Section::Main || !started || self.entries.iter().all(|entry| entry.state.is_ended());
        let mut done = Vec::new();
        for (job, list) in by_job {
            self.job(&list, stopping, open);
            done.push(job);
        }
    }

    /// All instances of one job. What it needs was looked at before.
    fn job(&mut self, list: &[&'a Instance<'a>], stopping: bool, open: bool) {
        let Some(first) = list.first() else { return };
        let template = first.template;
        let gate = if open {
            self.gate(template)
        } else {
            Gate::Wait("waits for all other jobs to end".to_owned())
        };
        let needs = self.visible(first.finally, template);
        let mut active = list.iter().filter(|instance| self.is_active(instance)).count();
        let limit = template
            .matrix
            .as_ref()
            .and_then(|matrix| matrix.max_parallel)
            .map_or(usize::MAX, |n| n as usize);
        let mut entries = Vec::with_capacity(list.len());
        for instance in list {
            let entry = match self.known(instance, stopping) {
                Some(entry) => entry,
                None if stopping => {
                    instance.entry(State::Cancelled, "Cancelled", "the run was stopped before it started")
                }
                None => match &gate {
                    Gate::Wait(message) => instance.entry(State::Waiting, "Needs", message),
                    Gate::Skip { reason, message } => instance.entry(State::Skipped, reason, message),
                    Gate::Go if active >= limit => {
                        let message = format!("waits for one of the {limit} that may run at the same time");
                        // It may still be skipped: that is decided when its turn comes.
                        instance.entry(State::Waiting, "MaxParallel", &message)
                    }
                    Gate::Go => self.start(instance, &needs, &mut active),
                },
            };
            entries.push(entry);
        }
        let outcome = self.outcome(&entries);
        self.outcomes.insert(first.job, outcome);
        self.entries.extend(entries);
    }

    fn is_active(&self, instance: &Instance<'_>) -> bool {
        let ended = self
            .before
            .get(instance.name.as_str())
            .is_some_and(|entry| entry.state.is_ended());
        !ended && self.seen.jobs.get(&instance.object).is_some_and(|job| !job.is_ended())
    }

    /// What is decided already, or told by the Job.
    fn known(&mut self, instance: &Instance<'_>, stopping: bool) -> Option<JobSummary> {
        let before = self.before.get(instance.name.as_str()).copied();
        if let Some(entry) = before.filter(|entry| entry.state.is_ended()) {
            return Some(entry.clone());
        }
        if let Some(job) = self.seen.jobs.get(&instance.object) {
            if stopping && !job.is_ended() && !job.spec.cancel {
                self.cancel.push(Arc::clone(job));
            }
            return Some(summary::of(instance, job));
        }
        if self.seen.foreign.contains(&instance.object) {
            let message = format!(
                "a Job `{}` that belongs to somebody else is in the way",
                instance.object
            );
            return Some(instance.entry(State::Failed, "NameConflict", &message));
        }
        let reference = before.and_then(|entry| entry.job_ref.as_ref())?;
        self.seen.gone.contains(reference).then(|| JobSummary {
            state: State::Cancelled,
            reason: Some("Deleted".to_owned()),
            message: Some("its Job was deleted before it ended".to_owned()),
            ..before.cloned().unwrap_or_default()
        })
    }

    fn gate(&self, template: &JobTemplate) -> Gate {
        let mut waits = Vec::new();
        let mut bad = Vec::new();
        for need in &template.needs {
            match self.outcomes.get(need.as_str()) {
                Some(outcome) if !outcome.ended => waits.push(format!("`{need}`")),
                Some(outcome) if matches!(outcome.need.result.as_str(), "Succeeded" | "Warned") => {}
                Some(outcome) => bad.push(format!("`{need}` {}", words(&outcome.need.result))),
                None => bad.push(format!("`{need}` does not exist")),
            }
        }
        if !waits.is_empty() {
            return Gate::Wait(format!("waits for {}", waits.join(", ")));
        }
        if bad.is_empty() || template.if_.as_deref().is_some_and(asks_results) {
            return Gate::Go;
        }
        Gate::Skip {
            reason: "NeedNotMet",
            message: bad.join(", "),
        }
    }

    /// The results that expressions of a job may read.
    fn visible(&self, finally: bool, template: &JobTemplate) -> BTreeMap<String, Need> {
        let all = self.outcomes.iter();
        all.filter(|(job, _)| {
            template.needs.iter().any(|need| need == *job) || (finally && self.spec.jobs.contains_key(**job))
        })
        .map(|(job, outcome)| ((*job).to_owned(), outcome.need.clone()))
        .collect()
    }

    fn start(&mut self, instance: &Instance<'_>, needs: &BTreeMap<String, Need>, active: &mut usize) -> JobSummary {
        let context = Context {
            needs: needs.clone(),
            matrix: instance.matrix.clone(),
            ..self.context.clone()
        };
        if let Some(text) = &instance.template.if_ {
            let asked = Expression::parse(text).map_err(|e| e.to_string());
            match asked.and_then(|e| e.evaluate_bool(&context).map_err(|e| e.to_string())) {
                Ok(true) => {}
                Ok(false) => return instance.entry(State::Skipped, "ConditionFalse", &format!("`{text}` is false")),
                Err(error) => return instance.entry(State::Failed, "BadExpression", &format!("if: {error}")),
            }
        }
        match job_object::build(self.seen, self.spec, instance, &context) {
            Ok(job) => {
                *active += 1;
                self.create.push((instance.name.clone(), job));
                instance.entry(State::Waiting, "Creating", "its Job is being created")
            }
            Err(error) => instance.entry(State::Failed, "BadExpression", &error.to_string()),
        }
    }

    fn outcome(&self, entries: &[JobSummary]) -> Outcome {
        let jobs = entries
            .iter()
            .filter_map(|entry| self.seen.jobs.get(entry.job_ref.as_ref()?));
        let outputs = jobs
            .filter_map(|job| job.status.as_ref())
            .flat_map(|status| status.outputs.clone())
            .collect();
        Outcome {
            ended: entries.iter().all(|entry| entry.state.is_ended()),
            need: Need {
                result: conclusion::worst(entries).to_owned(),
                outputs,
            },
        }
    }
}

/// Whether a condition reads how needs ended, and so is to be asked also when they failed.
fn asks_results(condition: &str) -> bool {
    condition.contains("needs") && condition.contains("result")
}

fn words(result: &str) -> &'static str {
    match result {
        "Failed" => "failed",
        "Cancelled" => "was cancelled",
        "Skipped" => "was skipped",
        _ => "did not succeed",
    }
}

/// What expressions of the run see, before needs and matrix are filled in.
pub(super) fn context(run: &PipelineRun, status: &PipelineRunStatus) -> Context {
    let source = status.source.clone().unwrap_or_default();
    Context {
        params: status.params.clone(),
        git: git(&source),
        event: Event {
            kind: event_kind(&source).to_owned(),
        },
        run: Run {
            name: run.metadata.name.clone().unwrap_or_default(),
            pipeline: summary::pipeline_name(run),
        },
        ..Context::default()
    }
}

fn git(source: &Source) -> Git {
    let ref_ = source.ref_.clone().unwrap_or_default();
    Git {
        branch: ref_.strip_prefix("refs/heads/").unwrap_or_default().to_owned(),
        tag: ref_.strip_prefix("refs/tags/").unwrap_or_default().to_owned(),
        sha: source.revision.clone().unwrap_or_default(),
        repository: source.repository.clone().unwrap_or_default(),
        ref_,
    }
}

/// `push`, `tag` or `manual`.
pub(super) fn event_kind(source: &Source) -> &'static str {
    match (&source.event, &source.ref_) {
        (None, _) => "manual",
        (Some(_), Some(ref_)) if ref_.starts_with("refs/tags/") => "tag",
        (Some(_), _) => "push",
    }
}
