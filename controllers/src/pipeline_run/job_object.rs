//! The Job of an instance: everything decided, every expression rendered. The script itself is copied as it is.

use std::collections::BTreeMap;

use breakbulk_schemas::expression::{Context, EvalError, ExpressionError, Template};
use breakbulk_schemas::job::{EnvVar, Job, JobCheckout, JobConcurrency, JobSpec};
use breakbulk_schemas::pipeline::{Concurrency, Resources};
use breakbulk_schemas::pipeline_run::PipelineRun;
use breakbulk_schemas::{GitRepository, PipelineSpec, Scalar, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::instances::Instance;
use super::plan::{self, Observed};
use super::summary;
use crate::concurrency_group;

/// How much of a commit id people are shown.
const SHORT: usize = 8;

/// Why a field has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It does not parse: the server lets no such thing in.
    #[error("{field}: {source}")]
    Parse {
        /// Which field.
        field: String,
        /// The parser's words.
        source: ExpressionError,
    },
    /// It has no value in this run.
    #[error("{field}: {source}")]
    Evaluate {
        /// Which field.
        field: String,
        /// The evaluator's words.
        source: EvalError,
    },
}

/// Renders a text.
pub fn render(field: &str, text: &str, context: &Context) -> Result<String, RenderError> {
    if !text.contains("${{") {
        return Ok(text.to_owned());
    }
    let template = Template::parse(text).map_err(|source| RenderError::Parse {
        field: field.to_owned(),
        source,
    })?;
    template.render(context).map_err(|source| RenderError::Evaluate {
        field: field.to_owned(),
        source,
    })
}

/// Builds an instance's Job.
///
/// # Errors
/// An expression that has no value in this run.
pub fn build(
    seen: &Observed,
    spec: &PipelineSpec,
    instance: &Instance<'_>,
    context: &Context,
) -> Result<Job, RenderError> {
    let template = instance.template;
    let defaults = spec.defaults.clone().unwrap_or_default();
    let mut node_selector = defaults.node_selector;
    node_selector.extend(template.node_selector.clone());
    let mut tolerations = defaults.tolerations;
    tolerations.extend(template.tolerations.iter().cloned());
    let concurrency = template
        .concurrency
        .as_ref()
        .map(|wanted| concurrency(wanted, context))
        .transpose()?;
    let (group, concurrency) = concurrency.unzip();
    let job = JobSpec {
        script: template.run.clone(),
        shell: template.shell.clone().or(defaults.shell).unwrap_or_default(),
        env: environment(seen, spec, instance, context)?,
        secrets: template.secrets.clone(),
        resources: resources(template.resources.clone(), defaults.resources),
        node_selector,
        tolerations,
        timeout: template.timeout.or(defaults.timeout),
        retry: template.retry.clone().or(defaults.retry),
        concurrency,
        checkout: checkout(&seen.run, instance),
        network: template.network,
        priority: seen.run.spec.priority,
        cancel: false,
        node_name: None,
        attempt: 1,
    };
    Ok(Job {
        metadata: metadata(&seen.run, instance, group),
        spec: job,
        status: None,
    })
}

fn metadata(run: &PipelineRun, instance: &Instance<'_>, group: Option<String>) -> ObjectMeta {
    let mut labels = BTreeMap::from([
        (labels::RUN.to_owned(), run.name_any()),
        (labels::JOB.to_owned(), instance.job.to_owned()),
    ]);
    let pipeline = summary::pipeline_name(run);
    if !pipeline.is_empty() {
        labels.insert(labels::PIPELINE.to_owned(), pipeline);
    }
    ObjectMeta {
        name: Some(instance.object.clone()),
        namespace: run.namespace(),
        labels: Some(labels),
        annotations: group.map(|group| BTreeMap::from([(concurrency_group::GROUP.to_owned(), group)])),
        owner_references: run.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn resources(own: Option<Resources>, default: Option<Resources>) -> Resources {
    let own = own.unwrap_or_default();
    let default = default.unwrap_or_default();
    Resources {
        cpu: own.cpu.or(default.cpu),
        memory: own.memory.or(default.memory),
    }
}

/// A place in a group, behind the group's name as people know it.
///
/// # Errors
/// A name that has no value in this run.
pub fn concurrency(wanted: &Concurrency, context: &Context) -> Result<(String, JobConcurrency), RenderError> {
    let name = render("concurrency.group", &wanted.group, context)?;
    let group = concurrency_group::object_name(&name);
    Ok((
        name,
        JobConcurrency {
            group,
            limit: wanted.limit,
            policy: wanted.policy,
        },
    ))
}

fn checkout(run: &PipelineRun, instance: &Instance<'_>) -> Option<JobCheckout> {
    let source = run.status.as_ref()?.source.as_ref()?;
    let wanted = instance.template.checkout.clone().unwrap_or_default();
    if wanted.skip {
        return None;
    }
    Some(JobCheckout {
        repository: source.repository.clone()?,
        revision: source.revision.clone()?,
        ref_: source.ref_.clone(),
        depth: wanted.depth.unwrap_or(1),
        path: wanted.path,
    })
}

/// What the system says of the run, then what the pipeline and the job set.
fn environment(
    seen: &Observed,
    spec: &PipelineSpec,
    instance: &Instance<'_>,
    context: &Context,
) -> Result<Vec<EnvVar>, RenderError> {
    let mut env = system(seen, instance, context);
    let mut own: BTreeMap<&String, (String, &Scalar)> = BTreeMap::new();
    own.extend(
        spec.env
            .iter()
            .map(|(name, value)| (name, (format!("env.{name}"), value))),
    );
    own.extend(
        instance
            .template
            .env
            .iter()
            .map(|(name, value)| (name, (format!("jobs.{}.env.{name}", instance.job), value))),
    );
    for (name, (field, value)) in own {
        let value = render(&field, &value.to_string(), context)?;
        env.push(EnvVar {
            name: name.clone(),
            value,
        });
    }
    Ok(env)
}

/// Always all of them, empty where the run has no such thing: a script under `bash -u` may ask for each.
fn system(seen: &Observed, instance: &Instance<'_>, context: &Context) -> Vec<EnvVar> {
    let git = &context.git;
    let short: String = git.sha.chars().take(SHORT).collect();
    let repository = seen.repository.as_deref();
    let default = repository.and_then(default_branch).unwrap_or_default();
    let url = repository
        .map(|repository| repository.spec.url.clone())
        .unwrap_or_default();
    let source = seen
        .run
        .status
        .as_ref()
        .and_then(|status| status.source.clone())
        .unwrap_or_default();
    [
        ("CI_RUN_ID", context.run.name.clone()),
        ("CI_PIPELINE", context.run.pipeline.clone()),
        ("CI_JOB_NAME", instance.name.clone()),
        ("CI_EVENT", plan::event_kind(&source).to_owned()),
        ("CI_COMMIT_SHA", git.sha.clone()),
        ("CI_COMMIT_SHORT_SHA", short),
        ("CI_COMMIT_REF", git.ref_.clone()),
        ("CI_COMMIT_BRANCH", git.branch.clone()),
        ("CI_COMMIT_TAG", git.tag.clone()),
        ("CI_DEFAULT_BRANCH", default),
        ("CI_REPO", git.repository.clone()),
        ("CI_REPO_URL", url),
    ]
    .into_iter()
    .map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value,
    })
    .collect()
}

fn default_branch(repository: &GitRepository) -> Option<String> {
    let found = repository
        .status
        .as_ref()
        .and_then(|status| status.default_ref.as_ref());
    let found = found
        .and_then(|ref_| ref_.strip_prefix("refs/heads/"))
        .map(str::to_owned);
    repository.spec.default_branch.clone().or(found)
}
