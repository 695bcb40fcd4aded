//! What a run's reconciler looks at: caches first, the server where a cache may be behind and the difference counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use breakbulk_schemas::concurrency_group::MemberKind;
use breakbulk_schemas::job::Job;
use breakbulk_schemas::pipeline_run::PipelineRun;
use kube::ResourceExt;

use super::plan::{Observed, Place};
use super::resolve::{self, Before, References};
use super::{instances, run_group};
use crate::concurrency_group;
use crate::runtime::{ApiError, Key};
use crate::world::World;

/// What an unresolved run refers to. Asked of the server: a pipeline that was applied a moment before its run must be
/// the one that runs, and watches of different kinds are not in step.
pub(super) async fn references(world: &World, run: &PipelineRun) -> Result<References, ApiError> {
    let key = Key::of(run);
    let mut found = References::default();
    if let Some(again) = &run.spec.rerun_of {
        let before = key.sibling(&again.name);
        found.before = match world.runs.get(&before) {
            Some(before) => Some(before),
            None => world.runs.fetch(&before).await?.map(Arc::new),
        }
        .map(|before| {
            let jobs = referred(world, &before);
            Before { run: before, jobs }
        });
        return Ok(found);
    }
    if let Some(reference) = &run.spec.pipeline_ref {
        found.pipeline = world.pipelines.fetch(&key.sibling(&reference.name)).await?;
    }
    if let Some(name) = resolve::repository_name(run, found.pipeline.as_ref()) {
        found.repository = world.repositories.fetch(&key.sibling(name)).await?;
    }
    Ok(found)
}

/// The Jobs that a run's status refers to.
fn referred(world: &World, run: &PipelineRun) -> BTreeMap<String, Arc<Job>> {
    let key = Key::of(run);
    let entries = run.status.iter().flat_map(|status| &status.jobs);
    entries
        .filter_map(|entry| entry.job_ref.clone())
        .filter_map(|name| Some((name.clone(), world.jobs.get(&key.sibling(name))?)))
        .collect()
}

/// A resolved run with its Jobs.
pub(super) async fn observe(world: &World, run: &Arc<PipelineRun>) -> Result<Observed, ApiError> {
    let key = Key::of(&**run);
    let uid = run.uid();
    let mut jobs = referred(world, run);
    let mut foreign = BTreeSet::new();
    for job in world.jobs_by_run.get(&key) {
        if owned(&job, uid.as_deref()) {
            jobs.insert(job.name_any(), job);
        }
    }
    let status = run.status.clone().unwrap_or_default();
    if let Some(spec) = &status.pipeline_spec {
        for instance in instances::of(run, spec) {
            let taken = world.jobs.get(&key.sibling(&instance.object));
            if taken.is_some_and(|job| !owned(&job, uid.as_deref())) {
                foreign.insert(instance.object.clone());
                jobs.remove(&instance.object);
            }
        }
    }
    let mut gone = BTreeSet::new();
    for entry in status.jobs.iter().filter(|entry| !entry.state.is_ended()) {
        let Some(name) = entry.job_ref.as_ref().filter(|name| !jobs.contains_key(*name)) else {
            continue;
        };
        match world.jobs.fetch(&key.sibling(name)).await? {
            Some(job) => _ = jobs.insert(name.clone(), Arc::new(job)),
            None => _ = gone.insert(name.clone()),
        }
    }
    let repository = status.source.as_ref().and_then(|source| source.repository.clone());
    Ok(Observed {
        place: place(world, run),
        repository: repository.and_then(|name| world.repositories.get(&key.sibling(name))),
        run: Arc::clone(run),
        jobs,
        foreign,
        gone,
    })
}

/// Whether a Job belongs to the run of this uid: a run of the same name that was there before is somebody else.
pub(super) fn owned(job: &Job, run: Option<&str>) -> bool {
    job.owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == run)
}

fn place(world: &World, run: &PipelineRun) -> Place {
    let wanted = match run_group(run) {
        None => return Place::Holds,
        Some(Err(_)) => return Place::Holds,
        Some(Ok((_, wanted))) => wanted,
    };
    let key = Key::of(run);
    let uid = run.uid().unwrap_or_default();
    let group = world.groups.get(&key.sibling(&wanted.group));
    concurrency_group::waits(group.as_deref(), MemberKind::PipelineRun, &uid).map_or(Place::Holds, Place::Waits)
}
