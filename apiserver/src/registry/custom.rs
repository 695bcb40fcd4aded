//! Rows from CustomResourceDefinitions: those of our own kinds, which come from the table in `breakbulk-schemas`, and those
//! that users bring. Both go this way; ours have rules of their own beside the schema, and some have a log.

use std::sync::Arc;

use breakbulk_schemas::kinds::KindRow;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::conversion::{Conversion, Convert};
use super::object;
use super::resource::{
    Accepting, Body, Definition, Field, Generation, NameRule, Resource, Rules, ScalePaths, Selectable, Storage,
    Subresource,
};
use crate::cacher::StorageCache;
use crate::definitions::served::{self, ConversionStrategy, Scope, Served, Version};
use crate::managed::{MergeRules, Source};
use crate::schema::SchemaError;

/// The kinds whose log can be read: the ones that run.
const WITH_LOG: [&str; 2] = ["jobs", "pipelineruns"];

/// Why a definition has no rows.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// It has no version that objects are stored in.
    #[error("no version of {0} is the stored one")]
    NoStorageVersion(String),
    /// A schema cannot be read.
    #[error("the schema cannot be read")]
    Schema(#[from] SchemaError),
    /// The program that converts between its versions cannot be asked.
    #[error("its versions cannot be converted")]
    Conversion(#[from] crate::webhook::ConversionError),
}

/// The rows of a definition, and the place where its objects are kept.
pub struct Rows {
    /// One row for each version that is served.
    pub resources: Vec<Arc<Resource>>,
    /// The row of the version that objects are stored in, be it served or not: the server itself reaches them by it.
    pub stored: Arc<Resource>,
    /// Where they are kept. Its cache is empty unless it was there before.
    pub storage: Arc<Storage>,
}

/// The rows of a kind of our own.
pub(super) fn own(row: &KindRow) -> Result<Rows, DefinitionError> {
    rows(&row.crd(), Accepting::All, None, None)
}

/// The rows of a definition. `before` is the storage that it had: it is kept if nothing differs that stored objects or their
/// places in memory depend on.
///
/// # Errors
/// What makes it impossible to serve, although it was accepted: none of it should be in a definition that was.
pub fn rows(
    crd: &CustomResourceDefinition,
    accepting: Accepting,
    before: Option<&Arc<Storage>>,
    foreign: Option<Arc<dyn Convert>>,
) -> Result<Rows, DefinitionError> {
    let served = served::describe(crd)?;
    let stored = served.versions.iter().find(|version| version.name == served.storage);
    let name = || crd.metadata.name.clone().unwrap_or_default();
    let stored = stored.ok_or_else(|| DefinitionError::NoStorageVersion(name()))?;
    let labels = field_labels(&served);
    let storage = storage(&served, stored, &labels);
    let storage = match before {
        Some(before) if before.holds_the_same_as(&storage) => before.clone(),
        _ => Arc::new(storage),
    };
    let stored_in = crd.status.as_ref().and_then(|status| status.stored_versions.as_ref());
    let several = served.versions.len() > 1 || stored_in.is_some_and(|versions| versions.len() > 1);
    let conversion = match (&served.conversion, foreign) {
        _ if !several => None,
        (ConversionStrategy::Webhook(_), Some(foreign)) => Some(Conversion::Foreign(foreign)),
        _ => Some(Conversion::Rename),
    };
    let source = |version: &Version| {
        let source = Source::Definition(version.raw.clone());
        (format!("{}/{}", served.group, version.name), source)
    };
    let merge = Arc::new(MergeRules::new(served.versions.iter().map(source).collect()));
    let row = |version: &Version| {
        let resource = resource(&served, version, &labels, storage.clone());
        Arc::new(Resource {
            accepting,
            conversion: conversion.clone(),
            merge: merge.clone(),
            ..resource
        })
    };
    Ok(Rows {
        stored: row(stored),
        resources: served
            .versions
            .iter()
            .filter(|version| version.served)
            .map(row)
            .collect(),
        storage: storage.clone(),
    })
}

fn is_own(served: &Served, plural: &str) -> bool {
    served.group == breakbulk_schemas::GROUP && served.names.plural == plural
}

fn storage(served: &Served, version: &Version, labels: &[String]) -> Storage {
    let api_version = format!("{}/{}", served.group, version.name);
    let mut fields: Vec<Field> = labels.iter().map(|label| Field::path(label)).collect();
    if is_own(served, "jobs") {
        fields.extend(super::core::POD_FIELDS.map(|(_, compute)| Field::Computed(compute)));
    }
    let schema = |version: &Version| (format!("{}/{}", served.group, version.name), version.schema.clone());
    Storage {
        prefix: format!("{}{}/{}/", super::PREFIX, served.group, served.names.plural),
        header: object::header(&api_version, &served.names.kind),
        api_version,
        fields,
        schemas: served.versions.iter().map(schema).collect(),
        depends_on: depends_on(served, version),
        cache: StorageCache::new(),
    }
}

/// What objects in memory depend on beside the version they are stored in: its schema, and where there are others, how an
/// object becomes one of theirs.
fn depends_on(served: &Served, stored: &Version) -> String {
    if served.versions.len() == 1 {
        return stored.raw.text().to_owned();
    }
    let schemas = served
        .versions
        .iter()
        .map(|version| (&version.name, version.raw.text()));
    format!("{:?} {:?}", served.conversion, schemas.collect::<Vec<_>>())
}

fn label(json_path: &str) -> &str {
    json_path.trim_start_matches('.')
}

/// The fields that selectors of any version may name. A field has the same place in every version that knows it.
fn field_labels(served: &Served) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for path in served.versions.iter().flat_map(|version| &version.selectable) {
        if !labels.iter().any(|known| known == label(path)) {
            labels.push(label(path).to_owned());
        }
    }
    labels
}

fn resource(served: &Served, version: &Version, labels: &[String], storage: Arc<Storage>) -> Resource {
    let names = &served.names;
    let native = breakbulk_schemas::kinds::ALL
        .iter()
        .find(|row| served.group == breakbulk_schemas::GROUP && row.kind == names.kind);
    let selectable = version.selectable.iter().filter_map(|path| {
        let index = labels.iter().position(|known| known == label(path))?;
        Some(Selectable {
            label: label(path).to_owned(),
            index,
        })
    });
    Resource {
        group: served.group.clone(),
        version: version.name.clone(),
        kind: names.kind.clone(),
        list_kind: names.list_kind.clone().unwrap_or_else(|| format!("{}List", names.kind)),
        plural: names.plural.clone(),
        singular: names.singular.clone().unwrap_or_else(|| names.kind.to_lowercase()),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        namespaced: served.scope == Scope::Namespaced,
        subresources: subresources(served, version),
        verbs: super::core::ALL_VERBS,
        selectable: selectable.collect(),
        names: NameRule::Subdomain,
        body: Body::Schema(Arc::new(Definition::new(
            version.raw.clone(),
            version.schema.clone(),
            version.deprecation.clone(),
        ))),
        rules: Rules {
            validate: native.map_or(|_, _| Vec::new(), |row| row.validate),
            prepare: |_, _| {},
        },
        generation: Generation::Counted,
        accepting: Accepting::All,
        conversion: None,
        merge: Arc::new(MergeRules::new(Vec::new())),
        columns: Arc::new(version.columns.clone()),
        storage,
    }
}

fn subresources(served: &Served, version: &Version) -> Vec<Subresource> {
    let mut all = Vec::new();
    if version.subresources.status {
        all.push(Subresource::STATUS);
    }
    if let Some(scale) = &version.subresources.scale {
        all.push(Subresource::scale(ScalePaths {
            spec_replicas: scale.spec_replicas.clone(),
            status_replicas: scale.status_replicas.clone(),
            selector: scale.selector.clone(),
        }));
    }
    if WITH_LOG.iter().any(|plural| is_own(served, plural)) {
        all.push(Subresource::LOG);
    }
    all
}
