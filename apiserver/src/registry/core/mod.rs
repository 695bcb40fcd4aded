//! Rows of Kubernetes' own kinds: what a control plane without containers uses of them. Types are k8s-openapi's.
//!
//! [`pods`] shows jobs as Pods, so that programs that know only those find their logs; [`absent`] names kinds of which there
//! are none here, since clients ask for them all the same.

mod absent;
mod pods;
mod tables;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::conversion::{Conversion, Native};
use super::resource::{
    Accepting, Body, Field, Generation, NameRule, Resource, Rules, Selectable, Storage, Subresource,
};
use super::{events, object, rules};
use crate::cacher::StorageCache;
use crate::managed::{MergeRules, Source};
use crate::table::Columns;

pub(crate) use pods::CONTAINER;
pub(super) use pods::FIELDS as POD_FIELDS;

/// What can be done with objects that are stored.
pub(super) const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// A row before it has a place.
struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    namespaced: bool,
    subresources: &'static [Subresource],
    names: NameRule,
    fields: &'static [&'static str],
    typed: fn(&Value) -> Result<Value, String>,
    rules: Rules,
    generation: Generation,
}

/// Namespaces are not deleted by the dozen.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// What can be done with a view.
const READ_VERBS: &[&str] = &["get", "list", "watch"];

const PLAIN: Rules = Rules {
    validate: |_, _| Vec::new(),
    prepare: |_, _| {},
};

/// Reads a body into its type and writes it out again.
fn through<T: DeserializeOwned + Serialize>(body: &Value) -> Result<Value, String> {
    let typed = T::deserialize(body).map_err(|e| e.to_string())?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}

/// A kind as it is written in the tables below: kind, plural, short names.
type Names = (&'static str, &'static str, &'static [&'static str]);

/// A row without anything special.
const fn plain(group: &'static str, names: Names, namespaced: bool, typed: fn(&Value) -> Result<Value, String>) -> Row {
    Row {
        group,
        kind: names.0,
        plural: names.1,
        short_names: names.2,
        namespaced,
        subresources: &[],
        names: NameRule::Subdomain,
        fields: &[],
        typed,
        rules: PLAIN,
        generation: Generation::None,
        categories: &[],
    }
}

/// All rows. `jobs` is where the jobs are kept that the Pods are a view of.
pub(super) fn rows(jobs: &Arc<Storage>) -> Vec<Resource> {
    let mut resources = vec![pods::row(jobs)];
    resources.extend(absent::rows());
    for row in tables::all() {
        let resource = resource(&row, storage(&row));
        if row.kind == "Event" {
            let events = Resource {
                group: "events.k8s.io".to_owned(),
                merge: merge("events.k8s.io", "Event"),
                body: Body::Typed(through::<k8s_openapi::api::events::v1::Event>),
                ..self::resource(&row, resource.storage.clone())
            };
            resources.push(second_events(events));
        }
        resources.push(resource);
    }
    resources
}

fn api_version(row: &Row) -> String {
    if row.group.is_empty() {
        "v1".to_owned()
    } else {
        format!("{}/v1", row.group)
    }
}

fn storage(row: &Row) -> Arc<Storage> {
    let one = |label: &&str| field(row.kind, label);
    // Kept beside an Event for whoever lets old ones go: no selector names it.
    let seen = (row.kind == "Event").then_some(Field::Computed(events::seen));
    Arc::new(Storage {
        prefix: format!("{}{}/", super::PREFIX, row.plural),
        header: object::header(&api_version(row), row.kind),
        api_version: api_version(row),
        fields: row.fields.iter().map(one).chain(seen).collect(),
        schemas: Vec::new(),
        depends_on: String::new(),
        cache: StorageCache::new(),
    })
}

/// A field that a selector may name: mostly what stands at the path that it is called by.
fn field(kind: &str, label: &str) -> Field {
    match (kind, label) {
        ("Event", "source") => Field::Computed(events::source),
        ("Node", "spec.unschedulable") => Field::Computed(|node| (node["spec"]["unschedulable"] == true).to_string()),
        _ => Field::path(label),
    }
}

fn selectable(labels: &[&str]) -> Vec<Selectable> {
    let one = |(index, label): (usize, &&str)| Selectable {
        label: (*label).to_owned(),
        index,
    };
    labels.iter().enumerate().map(one).collect()
}

/// Events again, as `events.k8s.io/v1` spells them.
fn second_events(resource: Resource) -> Resource {
    Resource {
        selectable: selectable(&events::NEW_FIELDS),
        rules: rules::NEW_EVENT,
        conversion: Some(Conversion::Native(Native {
            to_storage: events::to_core,
            from_storage: events::from_core,
        })),
        ..resource
    }
}

/// How objects of one of Kubernetes' own kinds merge.
fn merge(group: &str, kind: &str) -> Arc<MergeRules> {
    let version = if group.is_empty() {
        "v1".to_owned()
    } else {
        format!("{group}/v1")
    };
    let source = Source::Builtin {
        group: group.to_owned(),
        kind: kind.to_owned(),
    };
    Arc::new(MergeRules::new(vec![(version, source)]))
}

fn resource(row: &Row, storage: Arc<Storage>) -> Resource {
    Resource {
        group: row.group.to_owned(),
        version: "v1".to_owned(),
        kind: row.kind.to_owned(),
        list_kind: format!("{}List", row.kind),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: row.short_names.iter().map(|s| (*s).to_owned()).collect(),
        categories: row.categories.iter().map(|s| (*s).to_owned()).collect(),
        namespaced: row.namespaced,
        subresources: row.subresources.to_vec(),
        verbs: if row.kind == "Namespace" {
            NAMESPACE_VERBS
        } else {
            ALL_VERBS
        },
        storage,
        selectable: selectable(row.fields),
        names: row.names,
        body: Body::Typed(row.typed),
        rules: row.rules,
        generation: row.generation,
        accepting: Accepting::All,
        conversion: None,
        merge: merge(row.group, row.kind),
        columns: Arc::new(Columns::core(row.kind)),
    }
}
