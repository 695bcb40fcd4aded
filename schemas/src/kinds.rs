//! The table of kinds: one row each, from which the API server serves them like any CustomResourceDefinition.
//! A kind is added by its file and its row here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::field::FieldError;
use crate::{ConcurrencyGroup, GitEvent, GitRepository, Job, Pipeline, PipelineRun};
use crate::{concurrency_group, git_event, git_repository, job, pipeline, pipeline_run};

/// The rules of a kind that its schema cannot say. `old` is there on updates. Both have passed the schema.
/// Returns every mistake found.
pub type Validate = fn(new: &Value, old: Option<&Value>) -> Vec<FieldError>;

/// The definitions by kind, as JSON that `cargo xtask codegen` made of the types ([`derived`]).
static GENERATED: LazyLock<BTreeMap<&str, &RawValue>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("kinds.json")).expect("the generated document is an object of definitions")
});

/// A row: what there is to know about a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindRow {
    /// The kind's name.
    pub kind: &'static str,
    /// Its own rules.
    pub validate: Validate,
}

impl KindRow {
    /// Names, scope, columns, selectable fields, subresources and the schema.
    pub fn crd(&self) -> CustomResourceDefinition {
        let text = GENERATED
            .get(self.kind)
            .expect("every row has a definition: `cargo xtask codegen` makes it");
        serde_json::from_str(text.get()).expect("what was made of a definition is one")
    }
}

/// All rows, in the order in which discovery shows them.
pub const ALL: &[KindRow] = &[
    KindRow {
        kind: "Pipeline",
        validate: pipeline::rules::validate,
    },
    KindRow {
        kind: "PipelineRun",
        validate: pipeline_run::rules::validate,
    },
    KindRow {
        kind: "Job",
        validate: job::rules::validate,
    },
    KindRow {
        kind: "GitRepository",
        validate: git_repository::rules::validate,
    },
    KindRow {
        kind: "GitEvent",
        validate: git_event::rules::validate,
    },
    KindRow {
        kind: "ConcurrencyGroup",
        validate: concurrency_group::rules::validate,
    },
];

/// The definitions as the types say them, which is what the generated ones are made of. Programs take those: what builds a
/// schema is larger by far than the schema.
pub fn derived() -> Vec<CustomResourceDefinition> {
    vec![
        Pipeline::crd(),
        PipelineRun::crd(),
        Job::crd(),
        GitRepository::crd(),
        GitEvent::crd(),
        ConcurrencyGroup::crd(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_row_and_the_definition_that_its_type_says() {
        let rows: Vec<_> = ALL.iter().map(|row| (row.kind.to_owned(), row.crd())).collect();
        let derived: Vec<_> = derived()
            .into_iter()
            .map(|crd| (crd.spec.names.kind.clone(), crd))
            .collect();
        assert_eq!(rows, derived);
    }
}
