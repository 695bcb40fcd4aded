//! Rows from CustomResourceDefinitions. Those of our own kinds come from the table in `breakbulk-schemas`; those that
//! users bring will come the same way.

use std::sync::OnceLock;

use breakbulk_schemas::kinds::KindRow;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::object;
use super::resource::{Body, NameRule, Resource, Rules, Selectable, Storage, StorageId, Subresources};

/// The kinds whose log can be read: the ones that run.
const WITH_LOG: [&str; 2] = ["jobs", "pipelineruns"];

/// A row, and where its objects are kept.
pub(super) fn row(kind: &KindRow, storage: StorageId) -> (Resource, Storage) {
    let crd = (kind.crd)();
    let spec = crd.spec;
    let names = spec.names;
    let version = spec.versions.into_iter().next();
    let (version_name, fields, status) = match version {
        Some(v) => (
            v.name,
            v.selectable_fields
                .unwrap_or_default()
                .into_iter()
                .map(|f| f.json_path)
                .collect::<Vec<_>>(),
            v.subresources.is_some_and(|s| s.status.is_some()),
        ),
        None => ("v1".to_owned(), Vec::new(), false),
    };
    let (paths, selectable) = selectable(&fields);
    let log = spec.group == breakbulk_schemas::GROUP && WITH_LOG.contains(&names.plural.as_str());
    let resource = Resource {
        singular: names.singular.unwrap_or_else(|| names.kind.to_lowercase()),
        list_kind: names.list_kind.unwrap_or_else(|| format!("{}List", names.kind)),
        short_names: names.short_names.unwrap_or_default(),
        categories: names.categories.unwrap_or_default(),
        namespaced: spec.scope == "Namespaced",
        subresources: Subresources {
            status,
            finalize: false,
            log,
        },
        storage,
        selectable,
        names: NameRule::Subdomain,
        body: Body::Schema(kind.crd),
        rules: Rules {
            validate: kind.validate,
            prepare: |_, _| {},
        },
        conversion: None,
        schema: OnceLock::new(),
        columns: OnceLock::new(),
        kind: names.kind,
        plural: names.plural,
        version: version_name,
        group: spec.group,
    };
    let storage = Storage {
        prefix: format!("{}{}/{}/", super::PREFIX, resource.group, resource.plural),
        header: object::header(&resource.api_version(), &resource.kind),
        fields: paths,
    };
    (resource, storage)
}

/// The fields that selectors may name, as paths and as they are spelled.
fn selectable(json_paths: &[String]) -> (Vec<Vec<String>>, Vec<Selectable>) {
    let split = |path: &String| path.trim_start_matches('.').split('.').map(str::to_owned).collect();
    let paths: Vec<Vec<String>> = json_paths.iter().map(split).collect();
    let name = |(index, path): (usize, &Vec<String>)| Selectable {
        label: path.join("."),
        index,
    };
    let selectable = paths.iter().enumerate().map(name).collect();
    (paths, selectable)
}

/// The schema of a definition's first version, as JSON.
pub(super) fn schema_json(crd: &CustomResourceDefinition) -> Value {
    let schema = crd
        .spec
        .versions
        .first()
        .and_then(|v| v.schema.as_ref())
        .and_then(|s| s.open_api_v3_schema.as_ref());
    schema.and_then(|s| serde_json::to_value(s).ok()).unwrap_or(Value::Null)
}
