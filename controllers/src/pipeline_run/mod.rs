//! The pipeline run controller: resolves a run once, then keeps creating the Jobs whose needs are met until all have
//! ended, and sums them up.
//!
//! ```text
//! Resolving ──▶ Queued ──▶ Running ──▶ Succeeded | Failed | Cancelled | TimedOut | …
//! ```
//!
//! It does not choose nodes, run scripts or try again: those are the scheduler's, the agents' and the job controller's.

mod act;
pub mod conclusion;
pub mod instances;
pub mod job_object;
mod observe;
pub mod plan;
pub mod resolve;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breakbulk_schemas::condition::{self, SUCCEEDED, Truth};
use breakbulk_schemas::job::JobConcurrency;
use breakbulk_schemas::labels;
use breakbulk_schemas::pipeline_run::{PipelineRun, PipelineRunStatus, RunReason};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use tokio::time::Instant;

use self::job_object::RenderError;
use self::resolve::Resolution;
use crate::concurrency_group;
use crate::runtime::{ApiError, Key, Next, Queue};
use crate::world::World;

/// Progress of the jobs is written at most this often. What matters (start, end, waiting) is written at once; who
/// wants every step watches the Jobs.
const PROGRESS: Duration = Duration::from_millis(300);

/// How long to wait for what is not there yet, if nothing tells us earlier.
const PATIENCE: Duration = Duration::from_secs(2);

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    /// When the status of a run was last written: a bound on how often, nothing more. Entries go with their runs.
    written: Mutex<HashMap<Key, Instant>>,
    /// Runs that wait for something they refer to.
    resolving: Mutex<HashSet<Key>>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            written: Mutex::default(),
            resolving: Mutex::default(),
        }
    }

    /// Asks to look at the runs that may wait for a repository of this namespace.
    pub fn repository_changed(&self, repository: &Key, queue: &Queue) {
        let resolving = self.resolving.lock().unwrap_or_else(PoisonError::into_inner);
        let near = resolving.iter().filter(|run| run.namespace == repository.namespace);
        near.for_each(|run| queue.add(run.clone()));
    }

    /// Moves one run on.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let run = self
            .world
            .runs
            .get(&key)
            .filter(|run| run.metadata.deletion_timestamp.is_none());
        let Some(run) = run.filter(|run| !is_ended(run)) else {
            self.lock().remove(&key);
            self.resolving
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
            return Ok(Next::OnChange);
        };
        let run = match run.status.as_ref().and_then(|status| status.pipeline_spec.as_ref()) {
            Some(_) => run,
            None => {
                let resolved = self.resolve(&self.labelled(run).await?).await?;
                let mut resolving = self.resolving.lock().unwrap_or_else(PoisonError::into_inner);
                match resolved {
                    Some(run) => {
                        resolving.remove(&key);
                        run
                    }
                    None => {
                        resolving.insert(key);
                        return Ok(Next::After(PATIENCE));
                    }
                }
            }
        };
        self.carry_on(run).await
    }

    /// A run that does another again belongs to that one's pipeline: its label says so.
    async fn labelled(&self, run: Arc<PipelineRun>) -> Result<Arc<PipelineRun>, ApiError> {
        let Some(again) = run
            .spec
            .rerun_of
            .as_ref()
            .filter(|_| !run.labels().contains_key(labels::PIPELINE))
        else {
            return Ok(run);
        };
        let before = self.world.runs.get(&Key::of(&*run).sibling(&again.name));
        match before
            .map(|before| summary::pipeline_name(&before))
            .filter(|name| !name.is_empty())
        {
            Some(name) => {
                let patch = json!({ "metadata": { "labels": { labels::PIPELINE: name } } });
                self.world.runs.patch(&run, patch).await
            }
            None => Ok(run),
        }
    }

    /// Freezes what a run refers to. `None`: it has to wait, or has ended.
    async fn resolve(&self, run: &Arc<PipelineRun>) -> Result<Option<Arc<PipelineRun>>, ApiError> {
        let found = observe::references(&self.world, run).await?;
        let mut status = run.status.clone().unwrap_or_default();
        let generation = run.metadata.generation;
        let now = Timestamp::now();
        if run.spec.cancel {
            self.finish(run, RunReason::Cancelled, "cancelled before it started".to_owned())
                .await?;
            return Ok(None);
        }
        match resolve::resolve(run, &found) {
            Resolution::Frozen(frozen) => {
                let conditions = status.conditions;
                let frozen = PipelineRunStatus { conditions, ..*frozen };
                // Not written yet: it goes out together with the start, or with the place in the queue.
                Ok(Some(Arc::new(PipelineRun {
                    status: Some(frozen),
                    ..(**run).clone()
                })))
            }
            Resolution::Wait(message) => {
                conclusion::say(
                    &mut status,
                    Truth::Unknown,
                    RunReason::Resolving,
                    message,
                    generation,
                    now,
                );
                self.write(run, &status).await?;
                Ok(None)
            }
            Resolution::Invalid(message) => {
                self.finish(run, RunReason::Invalid, message).await?;
                Ok(None)
            }
        }
    }

    /// Ends a run that cannot go on.
    async fn finish(&self, run: &PipelineRun, reason: RunReason, message: String) -> Result<(), ApiError> {
        let mut status = run.status.clone().unwrap_or_default();
        let now = Timestamp::now();
        conclusion::finish(&mut status, Truth::False, reason, message, run.metadata.generation, now);
        self.write(run, &status).await?;
        Ok(())
    }

    async fn carry_on(&self, run: Arc<PipelineRun>) -> Result<Next, ApiError> {
        let key = Key::of(&*run);
        match run_group(&run) {
            Some(Ok((text, wanted))) if run.status.as_ref().is_some_and(|status| status.start_time.is_none()) => {
                concurrency_group::ensure(&self.world, &key, &wanted, &text).await?;
            }
            Some(Err(error)) => {
                self.finish(&run, RunReason::Invalid, error.to_string()).await?;
                return Ok(Next::OnChange);
            }
            _ => {}
        }
        let seen = observe::observe(&self.world, &run).await?;
        let mut plan = plan::plan(&seen, Timestamp::now());
        let stored = self.world.runs.get(&key);
        let old = stored.as_ref().and_then(|run| run.status.clone()).unwrap_or_default();
        let ends = plan.status.completion_time.is_some();
        // Frozen and started first, so that Jobs are only ever made of what is written down.
        let first = old.start_time != plan.status.start_time || old.pipeline_spec.is_none();
        if first && !ends && !self.write(&run, &plan.status).await? {
            return Ok(Next::OnChange);
        }
        let refused = act::jobs(&self.world, &run, &plan).await?;
        if !refused.is_empty() {
            act::tell_refused(&mut plan.status, &refused);
        } else if first && !ends {
            return Ok(next(plan.after, None));
        }
        let pause = self
            .progress_pause(&key, &old, &plan.status)
            .filter(|_| refused.is_empty());
        if pause.is_none() {
            self.write(&run, &plan.status).await?;
        }
        Ok(next(plan.after, pause))
    }

    /// How long a status that tells of nothing but progress has to wait until it is written.
    fn progress_pause(&self, key: &Key, old: &PipelineRunStatus, new: &PipelineRunStatus) -> Option<Duration> {
        if old == new {
            return None;
        }
        let told = |status: &PipelineRunStatus| {
            condition::find(&status.conditions, SUCCEEDED).map(|c| (c.status.clone(), c.reason.clone()))
        };
        if told(old) != told(new) {
            return None;
        }
        let since = self.lock().get(key).map(Instant::elapsed)?;
        PROGRESS.checked_sub(since).filter(|pause| !pause.is_zero())
    }

    /// Writes a status. False: what it was planned on is out of date, so it was not written, and a new look is due.
    async fn write(&self, run: &PipelineRun, status: &PipelineRunStatus) -> Result<bool, ApiError> {
        let key = Key::of(run);
        // What is stored, not what was resolved in memory: the difference is taken against that.
        let stored = self
            .world
            .runs
            .get(&key)
            .filter(|stored| stored.resource_version() == run.resource_version());
        let Some(stored) = stored else { return Ok(false) };
        let old = stored.status.clone().unwrap_or_default();
        if old != *status {
            self.world.runs.patch_status(&stored, &old, status).await?;
            self.lock().insert(key, Instant::now());
        }
        Ok(true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Instant>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next(after: Option<Duration>, pause: Option<Duration>) -> Next {
    match after.into_iter().chain(pause).min() {
        Some(wait) => Next::After(wait),
        None => Next::OnChange,
    }
}

/// Whether a run has ended for good.
pub fn is_ended(run: &PipelineRun) -> bool {
    run.status
        .as_ref()
        .is_some_and(|status| condition::truth(&status.conditions, SUCCEEDED) != Truth::Unknown)
}

/// The group a resolved run needs a place in: its name as people know it, and the place.
pub fn run_group(run: &PipelineRun) -> Option<Result<(String, JobConcurrency), RenderError>> {
    let status = run.status.as_ref()?;
    let wanted = status.pipeline_spec.as_ref()?.concurrency.as_ref()?;
    let context = plan::context(run, status);
    Some(job_object::concurrency(wanted, &context))
}
