//! Rows from CustomResourceDefinitions: those of our own kinds, which come from the table in `breakbulk-schemas`, and those
//! that users bring. Both go this way; ours have rules of their own beside the schema, and some have a log.

use std::sync::Arc;

use breakbulk_schemas::kinds::KindRow;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::Value;

use super::conversion::{Conversion, Convert};
use super::object;
use super::resource::{
    Accepting, Body, Definition, Field, Generation, NameRule, Resource, Rules, ScalePaths, Selectable, Storage,
    Subresource,
};
use crate::cacher::StorageCache;
use crate::schema::{Schema, SchemaError};
use crate::table::Columns;

/// The kinds whose log can be read: the ones that run.
const WITH_LOG: [&str; 2] = ["jobs", "pipelineruns"];
const ALL_VERBS: &[&str] = super::core::ALL_VERBS;

/// Why a definition has no rows.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// It has no version that objects are stored in.
    #[error("no version of {0} is the stored one")]
    NoStorageVersion(String),
    /// A schema cannot be read.
    #[error("the schema of version {version} cannot be read")]
    Schema {
        /// Of which version.
        version: String,
        /// Why.
        #[source]
        source: SchemaError,
    },
}

/// The rows of a definition, and the place where its objects are kept.
pub struct Rows {
    /// One row for each version that is served.
    pub resources: Vec<Arc<Resource>>,
    /// Where they are kept. Its cache is empty unless it was there before.
    pub storage: Arc<Storage>,
}

/// The rows of a kind of our own.
pub(super) fn own(row: &KindRow) -> Result<Rows, DefinitionError> {
    rows(&(row.crd)(), Accepting::All, None, None)
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
    let stored = crd.spec.versions.iter().find(|version| version.storage);
    let stored =
        stored.ok_or_else(|| DefinitionError::NoStorageVersion(crd.metadata.name.clone().unwrap_or_default()))?;
    let labels = field_labels(crd);
    let definition = definition(crd, stored)?;
    let storage = storage(crd, stored, &labels, &definition);
    let storage = match before {
        Some(before) if before.holds_the_same_as(&storage) => before.clone(),
        _ => Arc::new(storage),
    };
    let several = crd.spec.versions.len() > 1
        || crd
            .status
            .as_ref()
            .is_some_and(|s| s.stored_versions.as_deref().is_some_and(|v| v.len() > 1));
    let mut resources = Vec::new();
    for version in crd.spec.versions.iter().filter(|version| version.served) {
        let conversion = match &foreign {
            _ if !several => None,
            Some(foreign) => Some(Conversion::Foreign(foreign.clone())),
            None => Some(Conversion::Rename),
        };
        resources.push(Arc::new(resource(
            crd,
            version,
            accepting,
            &labels,
            storage.clone(),
            conversion,
        )?));
    }
    Ok(Rows { resources, storage })
}

fn storage(
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
    labels: &[String],
    definition: &Definition,
) -> Storage {
    let api_version = format!("{}/{}", crd.spec.group, version.name);
    let mut fields: Vec<Field> = labels.iter().map(|label| Field::path(label)).collect();
    if crd.spec.group == breakbulk_schemas::GROUP && crd.spec.names.plural == "jobs" {
        fields.extend(super::core::POD_FIELDS.map(|(_, compute)| Field::Computed(compute)));
    }
    Storage {
        prefix: format!("{}{}/{}/", super::PREFIX, crd.spec.group, crd.spec.names.plural),
        header: object::header(&api_version, &crd.spec.names.kind),
        api_version,
        fields,
        schema: Some(definition.schema.clone()),
        raw_schema: definition.raw.to_string(),
        cache: StorageCache::new(),
    }
}

/// The fields that selectors of any version may name. A field has the same place in every version that knows it.
fn field_labels(crd: &CustomResourceDefinition) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for version in &crd.spec.versions {
        for label in selectable_labels(version) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
    }
    labels
}

fn selectable_labels(version: &CustomResourceDefinitionVersion) -> Vec<String> {
    let fields = version.selectable_fields.iter().flatten();
    fields
        .map(|field| field.json_path.trim_start_matches('.').to_owned())
        .collect()
}

fn resource(
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
    accepting: Accepting,
    labels: &[String],
    storage: Arc<Storage>,
    conversion: Option<Conversion>,
) -> Result<Resource, DefinitionError> {
    // What is accepted is what other definitions have left; see `status.acceptedNames`.
    let names = &crd.spec.names;
    let native = breakbulk_schemas::kinds::all()
        .into_iter()
        .find(|row| crd.spec.group == breakbulk_schemas::GROUP && row.kind == names.kind);
    let selectable = selectable_labels(version).into_iter().filter_map(|label| {
        let index = labels.iter().position(|other| *other == label)?;
        Some(Selectable { label, index })
    });
    Ok(Resource {
        group: crd.spec.group.clone(),
        version: version.name.clone(),
        kind: names.kind.clone(),
        list_kind: names.list_kind.clone().unwrap_or_else(|| format!("{}List", names.kind)),
        plural: names.plural.clone(),
        singular: names.singular.clone().unwrap_or_else(|| names.kind.to_lowercase()),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        namespaced: crd.spec.scope == "Namespaced",
        subresources: subresources(crd, version),
        verbs: ALL_VERBS,
        selectable: selectable.collect(),
        names: NameRule::Subdomain,
        body: Body::Schema(Arc::new(definition(crd, version)?)),
        rules: Rules {
            validate: native.map_or(|_, _| Vec::new(), |row| row.validate),
            prepare: |_, _| {},
        },
        generation: Generation::Counted,
        accepting,
        conversion,
        columns: Arc::new(Columns::from_crd(
            version.additional_printer_columns.as_deref().unwrap_or_default(),
        )),
        storage,
    })
}

fn subresources(crd: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> Vec<Subresource> {
    let mut all = Vec::new();
    let given = version.subresources.as_ref();
    if given.is_some_and(|given| given.status.is_some()) {
        all.push(Subresource::STATUS);
    }
    if let Some(scale) = given.and_then(|given| given.scale.as_ref()) {
        let path = |text: &str| -> Vec<String> {
            text.split('.')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        all.push(Subresource::scale(ScalePaths {
            spec_replicas: path(&scale.spec_replicas_path),
            status_replicas: path(&scale.status_replicas_path),
            selector: scale.label_selector_path.as_deref().map(path),
        }));
    }
    if crd.spec.group == breakbulk_schemas::GROUP && WITH_LOG.contains(&crd.spec.names.plural.as_str()) {
        all.push(Subresource::LOG);
    }
    all
}

fn definition(
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
) -> Result<Definition, DefinitionError> {
    let given = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    let raw = given
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or(Value::Null);
    let schema = Schema::parse(&raw).map_err(|source| DefinitionError::Schema {
        version: version.name.clone(),
        source,
    })?;
    let deprecation = version.deprecated.unwrap_or(false).then(|| {
        let standard = || {
            let (group, kind) = (&crd.spec.group, &crd.spec.names.kind);
            format!("{group}/{} {kind} is deprecated", version.name)
        };
        version.deprecation_warning.clone().unwrap_or_else(standard)
    });
    Ok(Definition {
        raw,
        schema: Arc::new(schema),
        deprecation,
    })
}
