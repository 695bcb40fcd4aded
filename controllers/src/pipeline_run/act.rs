//! Carries a run's plan out. The order is such that being killed between any two writes is harmless: what is frozen is
//! written before anything is made of it, Jobs have names that follow from the run, and the status speaks of a Job
//! only after it was seen.

use std::collections::BTreeMap;

use breakbulk_schemas::job::Job;
use breakbulk_schemas::pipeline_run::{JobSummaryState as State, PipelineRun, PipelineRunStatus};
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::ResourceExt;
use serde_json::json;

use super::observe;
use super::plan::Plan;
use crate::concurrency_group;
use crate::runtime::{ApiError, Key};
use crate::world::World;

/// How many Jobs of one run are created at the same time; the world has a bound for all runs together.
const AT_ONCE: usize = 16;

/// Jobs that cannot be created, by the name of their entry, with the reason and the words for it.
pub(super) type Refused = BTreeMap<String, (&'static str, String)>;

/// Creates and cancels Jobs.
///
/// # Errors
/// What may go better the next time.
pub(super) async fn jobs(world: &World, run: &PipelineRun, plan: &Plan) -> Result<Refused, ApiError> {
    groups(world, run, &plan.create).await?;
    let creations: Vec<_> = plan.create.iter().map(|(_, job)| create(world, run, job)).collect();
    let results: Vec<_> = stream::iter(creations).buffered(AT_ONCE).try_collect().await?;
    let entries = plan.create.iter().map(|(entry, _)| entry.clone());
    let refused = entries
        .zip(results)
        .filter_map(|(entry, why)| Some((entry, why?)))
        .collect();
    for job in &plan.cancel {
        match world.jobs.patch(job, json!({ "spec": { "cancel": true } })).await {
            Err(error) if error.is_not_found() => {}
            other => _ = other?,
        }
    }
    Ok(refused)
}

async fn groups(world: &World, run: &PipelineRun, create: &[(String, Job)]) -> Result<(), ApiError> {
    for (_, job) in create {
        let Some(wanted) = &job.spec.concurrency else { continue };
        let text = job
            .annotations()
            .get(concurrency_group::GROUP)
            .map_or(wanted.group.as_str(), String::as_str);
        concurrency_group::ensure(world, &Key::of(run), wanted, text).await?;
    }
    Ok(())
}

/// Creates one Job. `Some`: it cannot be, for this reason.
async fn create(world: &World, run: &PipelineRun, job: &Job) -> Result<Option<(&'static str, String)>, ApiError> {
    // Never closed: the world outlives its reconcilers.
    let _permit = world.creating.acquire().await;
    let error = match world.jobs.create(job).await {
        Ok(_) => return Ok(None),
        Err(error) => error,
    };
    if error.is_already_exists() {
        return match world.jobs.fetch(&Key::of(job)).await? {
            Some(there) if observe::owned(&there, run.uid().as_deref()) => {
                world.jobs.cache().written(there);
                Ok(None)
            }
            Some(_) => {
                let message = format!("a Job `{}` that belongs to somebody else is in the way", job.name_any());
                Ok(Some(("NameConflict", message)))
            }
            None => Err(error),
        };
    }
    match error.refused() {
        Some(words) => Ok(Some(("Refused", format!("the server refused its Job: {words}")))),
        None => Err(error),
    }
}

/// Writes the refusals into a status.
pub(super) fn tell_refused(status: &mut PipelineRunStatus, refused: &Refused) {
    for entry in &mut status.jobs {
        if let Some((reason, message)) = refused.get(&entry.name) {
            entry.state = State::Failed;
            entry.reason = Some((*reason).to_owned());
            entry.message = Some(message.clone());
        }
    }
}
