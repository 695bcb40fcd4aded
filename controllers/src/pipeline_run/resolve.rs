//! From what a run refers to, to what it carries out: the pipeline frozen, the parameters filled in, the commit
//! decided. Done once in a run's life; pure, like every plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use breakbulk_schemas::field::Path;
use breakbulk_schemas::graph::Graph;
use breakbulk_schemas::job::Job;
use breakbulk_schemas::pipeline::{ParamSpec, ParamType};
use breakbulk_schemas::pipeline_run::{
    JobSummary, JobSummaryState as State, PipelineRun, PipelineRunStatus, RerunJobs, Source,
};
use breakbulk_schemas::{GitRepository, Pipeline, PipelineSpec, Scalar};
use kube::ResourceExt;

/// What a run refers to, as far as it is there.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// The pipeline named by `pipelineRef`.
    pub pipeline: Option<Pipeline>,
    /// The run named by `rerunOf`.
    pub before: Option<Before>,
    /// The repository, if one is named.
    pub repository: Option<GitRepository>,
}

/// A run that is done again.
#[derive(Clone, Debug)]
pub struct Before {
    /// Itself.
    pub run: Arc<PipelineRun>,
    /// Those of its Jobs that are still there, by name.
    pub jobs: BTreeMap<String, Arc<Job>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// The status to start from.
    Frozen(Box<PipelineRunStatus>),
    /// Something is not there yet.
    Wait(String),
    /// It will never be.
    Invalid(String),
}

/// The name of the repository a run works on, once its pipeline is known.
pub fn repository_name(run: &PipelineRun, pipeline: Option<&Pipeline>) -> Option<String> {
    let own = run.spec.source.as_ref().and_then(|source| source.repository.clone());
    let inline = run.spec.pipeline_spec.as_ref();
    own.or_else(|| {
        pipeline
            .map(|p| &p.spec)
            .or(inline)
            .and_then(|spec| spec.repository.clone())
    })
}

/// Resolves a run.
pub fn resolve(run: &PipelineRun, found: &References) -> Resolution {
    match (&run.spec.rerun_of, &run.spec.pipeline_ref, &run.spec.pipeline_spec) {
        (Some(again), _, _) => match &found.before {
            Some(before) => rerun(&before.run, again.jobs, &before.jobs),
            None => Resolution::Invalid(format!("there is no run `{}` to do again", again.name)),
        },
        (None, Some(reference), _) => match &found.pipeline {
            Some(pipeline) => fresh(run, &pipeline.spec, found),
            None => Resolution::Invalid(format!("there is no pipeline `{}`", reference.name)),
        },
        (None, None, Some(spec)) => fresh(run, spec, found),
        (None, None, None) => Resolution::Invalid("names neither a pipeline nor a run to do again".to_owned()),
    }
}

fn fresh(run: &PipelineRun, spec: &PipelineSpec, found: &References) -> Resolution {
    if let Err(errors) = Graph::build(spec, &Path::root("spec")) {
        let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
        return Resolution::Invalid(all.join("; "));
    }
    let params = match params(&spec.params, &run.spec.params) {
        Ok(params) => params,
        Err(errors) => return Resolution::Invalid(errors.join("; ")),
    };
    let source = match source(run, spec, found.repository.as_ref()) {
        Ok(source) => source,
        Err(resolution) => return resolution,
    };
    let frozen = PipelineRunStatus {
        pipeline_spec: Some(spec.clone()),
        params,
        source,
        ..PipelineRunStatus::default()
    };
    Resolution::Frozen(Box::new(frozen))
}

fn params(
    declared: &BTreeMap<String, ParamSpec>,
    given: &BTreeMap<String, Scalar>,
) -> Result<BTreeMap<String, Scalar>, Vec<String>> {
    let mut errors = Vec::new();
    let mut params = BTreeMap::new();
    for name in given.keys().filter(|name| !declared.contains_key(*name)) {
        let known: Vec<_> = declared.keys().map(String::as_str).collect();
        errors.push(format!(
            "there is no parameter `{name}`; there are: {}",
            known.join(", ")
        ));
    }
    for (name, spec) in declared {
        let Some(value) = given.get(name).or(spec.default.as_ref()) else {
            errors.push(format!("the parameter `{name}` has no default and must be given"));
            continue;
        };
        match typed(value, spec.type_) {
            None => errors.push(format!(
                "the parameter `{name}` must be {}, and is `{value}`",
                kind(spec.type_)
            )),
            Some(value) if !spec.options.is_empty() && !spec.options.contains(&value) => {
                let options: Vec<_> = spec.options.iter().map(ToString::to_string).collect();
                errors.push(format!(
                    "the parameter `{name}` must be one of {}, and is `{value}`",
                    options.join(", ")
                ));
            }
            Some(value) => _ = params.insert(name.clone(), value),
        }
    }
    if errors.is_empty() { Ok(params) } else { Err(errors) }
}

/// A value as its type: a command line gives everything as text.
fn typed(value: &Scalar, type_: ParamType) -> Option<Scalar> {
    match (type_, value) {
        (ParamType::String, value) => Some(Scalar::String(value.to_string())),
        (ParamType::Int, Scalar::Int(_)) | (ParamType::Bool, Scalar::Bool(_)) => Some(value.clone()),
        (ParamType::Int, Scalar::String(text)) => text.parse().ok().map(Scalar::Int),
        (ParamType::Bool, Scalar::String(text)) => text.parse().ok().map(Scalar::Bool),
        _ => None,
    }
}

const fn kind(type_: ParamType) -> &'static str {
    match type_ {
        ParamType::String => "a text",
        ParamType::Int => "a whole number",
        ParamType::Bool => "`true` or `false`",
    }
}

/// The commit. A run without a repository has none.
fn source(
    run: &PipelineRun,
    spec: &PipelineSpec,
    repository: Option<&GitRepository>,
) -> Result<Option<Source>, Resolution> {
    let given = run.spec.source.clone().unwrap_or_default();
    let Some(name) = given.repository.clone().or_else(|| spec.repository.clone()) else {
        return Ok(run.spec.source.clone());
    };
    let Some(repository) = repository else {
        return Err(Resolution::Invalid(format!("there is no repository `{name}`")));
    };
    let status = repository.status.clone().unwrap_or_default();
    let default = repository
        .spec
        .default_branch
        .as_ref()
        .map(|branch| format!("refs/heads/{branch}"))
        .or(status.default_ref);
    // A commit given without a ref stands for itself; otherwise it is where the ref points now.
    let ref_ = given
        .ref_
        .clone()
        .or_else(|| default.filter(|_| given.revision.is_none()));
    let revision = match (&given.revision, &ref_) {
        (Some(revision), _) => revision.clone(),
        (None, Some(ref_)) => match status.refs.get(ref_) {
            Some(revision) => revision.clone(),
            None if status.last_check_time.is_none() => return Err(unread(&name)),
            None => return Err(Resolution::Invalid(format!("the repository `{name}` has no `{ref_}`"))),
        },
        (None, None) if status.last_check_time.is_none() => return Err(unread(&name)),
        (None, None) => {
            return Err(Resolution::Invalid(format!(
                "the repository `{name}` has no default branch: name a ref"
            )));
        }
    };
    Ok(Some(Source {
        repository: Some(name),
        revision: Some(revision),
        ref_,
        event: given.event,
    }))
}

fn unread(repository: &str) -> Resolution {
    Resolution::Wait(format!(
        "waits for the repository `{repository}` to be read for the first time"
    ))
}

fn rerun(before: &PipelineRun, which: RerunJobs, jobs: &BTreeMap<String, Arc<Job>>) -> Resolution {
    let name = before.name_any();
    let Some(status) = before.status.as_ref().filter(|status| status.completion_time.is_some()) else {
        return Resolution::Invalid(format!("the run `{name}` has not ended yet"));
    };
    let Some(spec) = &status.pipeline_spec else {
        return Resolution::Invalid(format!(
            "the run `{name}` never started, so there is nothing to do again"
        ));
    };
    let carried = match which {
        RerunJobs::All => Vec::new(),
        RerunJobs::Failed => carried(spec, &status.jobs, jobs),
    };
    Resolution::Frozen(Box::new(PipelineRunStatus {
        pipeline_spec: Some(spec.clone()),
        params: status.params.clone(),
        source: status.source.clone(),
        jobs: carried,
        ..PipelineRunStatus::default()
    }))
}

/// The entries whose results stay: those that succeeded, whose Job is still there, and all of whose needs stay too.
/// What stands under `finally` is done again, as it is in every run.
fn carried(spec: &PipelineSpec, entries: &[JobSummary], jobs: &BTreeMap<String, Arc<Job>>) -> Vec<JobSummary> {
    let Ok(graph) = Graph::build(spec, &Path::root("spec")) else {
        return Vec::new();
    };
    let stays = |entry: &JobSummary| {
        entry.state == State::Succeeded && entry.job_ref.as_ref().is_some_and(|name| jobs.contains_key(name))
    };
    let mut whole: BTreeSet<&str> = BTreeSet::new();
    let mut kept = Vec::new();
    for job in graph.order() {
        if !graph.needs(job).all(|need| whole.contains(need)) {
            continue;
        }
        let own: Vec<_> = entries
            .iter()
            .filter(|entry| entry.job == *job && !entry.finally)
            .collect();
        if !own.is_empty() && own.iter().all(|entry| stays(entry)) {
            whole.insert(job);
        }
        kept.extend(own.into_iter().filter(|entry| stays(entry)).cloned());
    }
    kept
}
