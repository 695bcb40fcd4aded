//! The table of kinds: one row each, from which the API server serves them like any CustomResourceDefinition.
//! A kind is added by its file and its row here.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::field::FieldError;
use crate::{ConcurrencyGroup, GitEvent, GitRepository, Job, Pipeline, PipelineRun};
use crate::{concurrency_group, git_event, git_repository, job, pipeline, pipeline_run};

/// The rules of a kind that its schema cannot say. `old` is there on updates. Both have passed the schema.
/// Returns every mistake found.
pub type Validate = fn(new: &Value, old: Option<&Value>) -> Vec<FieldError>;

/// A row: what there is to know about a kind.
#[derive(Clone, Debug)]
pub struct KindRow {
    /// The kind's name.
    pub kind: &'static str,
    /// Names, scope, columns, selectable fields, subresources and the schema.
    pub crd: fn() -> CustomResourceDefinition,
    /// Its own rules.
    pub validate: Validate,
}

/// All rows, in the order in which discovery shows them.
pub fn all() -> Vec<KindRow> {
    vec![
        KindRow {
            kind: "Pipeline",
            crd: Pipeline::crd,
            validate: pipeline::rules::validate,
        },
        KindRow {
            kind: "PipelineRun",
            crd: PipelineRun::crd,
            validate: pipeline_run::rules::validate,
        },
        KindRow {
            kind: "Job",
            crd: Job::crd,
            validate: job::rules::validate,
        },
        KindRow {
            kind: "GitRepository",
            crd: GitRepository::crd,
            validate: git_repository::rules::validate,
        },
        KindRow {
            kind: "GitEvent",
            crd: GitEvent::crd,
            validate: git_event::rules::validate,
        },
        KindRow {
            kind: "ConcurrencyGroup",
            crd: ConcurrencyGroup::crd,
            validate: concurrency_group::rules::validate,
        },
    ]
}
