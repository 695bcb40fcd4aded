//! Rows of Kubernetes' own kinds: what a control plane without containers uses of them. Types are k8s-openapi's.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::conversion::{Conversion, Native};
use super::resource::{Body, Generation, NameRule, Resource, Rules, Selectable, Storage, Subresource};
use super::{events, object, rules};
use crate::cacher::StorageCache;
use crate::table::Columns;

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
    typed: fn(Value) -> Result<Value, String>,
    rules: Rules,
    generation: Generation,
}

const STATUS: &[Subresource] = &[Subresource::STATUS];
const NAMESPACE: &[Subresource] = &[Subresource::STATUS, Subresource::FINALIZE];
const PLAIN: Rules = Rules {
    validate: |_, _| Vec::new(),
    prepare: |_, _| {},
};

/// Reads a body into its type and writes it out again.
fn through<T: DeserializeOwned + Serialize>(body: Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(body).map_err(|e| e.to_string())?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}

/// A kind as it is written in the tables below: kind, plural, short names.
type Names = (&'static str, &'static str, &'static [&'static str]);

/// A row without anything special.
const fn plain(group: &'static str, names: Names, namespaced: bool, typed: fn(Value) -> Result<Value, String>) -> Row {
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

/// The core group.
fn core_group() -> Vec<Row> {
    let all = |names, typed| plain("", names, false, typed);
    let inside = |names, typed| plain("", names, true, typed);
    vec![
        Row {
            subresources: NAMESPACE,
            names: NameRule::Label,
            fields: &["status.phase"],
            rules: rules::NAMESPACE,
            ..all(("Namespace", "namespaces", &["ns"]), through::<Namespace>)
        },
        Row {
            subresources: STATUS,
            fields: &["spec.unschedulable"],
            ..all(("Node", "nodes", &["no"]), through::<Node>)
        },
        Row {
            fields: &["type"],
            rules: rules::SECRET,
            ..inside(("Secret", "secrets", &[]), through::<Secret>)
        },
        Row {
            rules: rules::CONFIG_MAP,
            ..inside(("ConfigMap", "configmaps", &["cm"]), through::<ConfigMap>)
        },
        Row {
            fields: &events::FIELDS,
            ..inside(("Event", "events", &["ev"]), through::<Event>)
        },
        inside(
            ("ServiceAccount", "serviceaccounts", &["sa"]),
            through::<ServiceAccount>,
        ),
        Row {
            subresources: STATUS,
            ..inside(
                ("ResourceQuota", "resourcequotas", &["quota"]),
                through::<ResourceQuota>,
            )
        },
    ]
}

/// The other groups.
fn other_groups() -> Vec<Row> {
    let rbac = |names, namespaced, typed| Row {
        names: NameRule::Segment,
        ..plain("rbac.authorization.k8s.io", names, namespaced, typed)
    };
    let priority: Names = ("PriorityClass", "priorityclasses", &["pc"]);
    vec![
        plain("coordination.k8s.io", ("Lease", "leases", &[]), true, through::<Lease>),
        plain("scheduling.k8s.io", priority, false, through::<PriorityClass>),
        rbac(("Role", "roles", &[]), true, through::<Role>),
        rbac(("RoleBinding", "rolebindings", &[]), true, through::<RoleBinding>),
        rbac(("ClusterRole", "clusterroles", &[]), false, through::<ClusterRole>),
        rbac(
            ("ClusterRoleBinding", "clusterrolebindings", &[]),
            false,
            through::<ClusterRoleBinding>,
        ),
    ]
}

/// All rows.
pub(super) fn rows() -> Vec<Resource> {
    let mut resources = Vec::new();
    for row in core_group().into_iter().chain(other_groups()) {
        let resource = resource(&row, storage(&row));
        if row.kind == "Event" {
            let events = Resource {
                group: "events.k8s.io".to_owned(),
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
    let path = |field: &&str| field.split('.').map(str::to_owned).collect();
    Arc::new(Storage {
        prefix: format!("{}{}/", super::PREFIX, row.plural),
        header: object::header(&api_version(row), row.kind),
        api_version: api_version(row),
        fields: row.fields.iter().map(path).collect(),
        schema: None,
        raw_schema: String::new(),
        cache: StorageCache::new(),
    })
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
        conversion: Some(Conversion::Native(Native {
            to_storage: events::to_core,
            from_storage: events::from_core,
        })),
        ..resource
    }
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
        verbs: ALL_VERBS,
        storage,
        selectable: selectable(row.fields),
        names: row.names,
        body: Body::Typed(row.typed),
        rules: row.rules,
        generation: row.generation,
        conversion: None,
        columns: Arc::new(Columns::core(row.kind)),
    }
}
