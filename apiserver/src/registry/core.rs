//! Rows of Kubernetes' own kinds: what a control plane without containers uses of them. Types are k8s-openapi's.

use std::sync::OnceLock;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::resource::{Body, Conversion, NameRule, Resource, Rules, Selectable, Storage, StorageId, Subresources};
use super::{events, object, rules};
use crate::authorization::validation;

/// A row before it has a place.
struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    namespaced: bool,
    subresources: Subresources,
    names: NameRule,
    fields: &'static [&'static str],
    typed: fn(Value) -> Result<Value, String>,
    rules: Rules,
}

const NONE: Subresources = Subresources {
    status: false,
    finalize: false,
    log: false,
};
const STATUS: Subresources = Subresources {
    status: true,
    finalize: false,
    log: false,
};
const NAMESPACE: Subresources = Subresources {
    status: true,
    finalize: true,
    log: false,
};
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
        subresources: NONE,
        names: NameRule::Subdomain,
        fields: &[],
        typed,
        rules: PLAIN,
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
    let ruled = |validate, prepare| Rules { validate, prepare };
    let priority: Names = ("PriorityClass", "priorityclasses", &["pc"]);
    vec![
        plain("coordination.k8s.io", ("Lease", "leases", &[]), true, through::<Lease>),
        plain("scheduling.k8s.io", priority, false, through::<PriorityClass>),
        Row {
            rules: ruled(validation::role, |_, _| {}),
            ..rbac(("Role", "roles", &[]), true, through::<Role>)
        },
        Row {
            rules: ruled(validation::role_binding, validation::default_binding),
            ..rbac(("RoleBinding", "rolebindings", &[]), true, through::<RoleBinding>)
        },
        Row {
            rules: ruled(validation::cluster_role, |_, _| {}),
            ..rbac(("ClusterRole", "clusterroles", &[]), false, through::<ClusterRole>)
        },
        Row {
            rules: ruled(validation::cluster_role_binding, validation::default_binding),
            ..rbac(
                ("ClusterRoleBinding", "clusterrolebindings", &[]),
                false,
                through::<ClusterRoleBinding>,
            )
        },
    ]
}

/// All rows with their storages, from place `next` on.
pub(super) fn rows(next: usize) -> (Vec<Resource>, Vec<Storage>) {
    let mut resources = Vec::new();
    let mut storages = Vec::new();
    for row in core_group().into_iter().chain(other_groups()) {
        let id = StorageId::new(next + storages.len());
        let resource = resource(&row, id);
        storages.push(Storage {
            prefix: format!("{}{}/", super::PREFIX, row.plural),
            header: object::header(&resource.api_version(), row.kind),
            fields: row
                .fields
                .iter()
                .map(|f| f.split('.').map(str::to_owned).collect())
                .collect(),
        });
        if row.kind == "Event" {
            resources.push(second_events(resource_of_events(&row, id)));
        }
        resources.push(resource);
    }
    (resources, storages)
}

fn resource_of_events(row: &Row, id: StorageId) -> Resource {
    Resource {
        group: "events.k8s.io".to_owned(),
        ..resource(row, id)
    }
}

/// Events again, as `events.k8s.io/v1` spells them.
fn second_events(resource: Resource) -> Resource {
    let selectable = events::NEW_FIELDS.iter().enumerate();
    Resource {
        selectable: selectable
            .map(|(index, label)| Selectable {
                label: (*label).to_owned(),
                index,
            })
            .collect(),
        conversion: Some(Conversion {
            to_storage: events::to_core,
            from_storage: events::from_core,
        }),
        ..resource
    }
}

fn resource(row: &Row, storage: StorageId) -> Resource {
    let selectable = row.fields.iter().enumerate();
    Resource {
        group: row.group.to_owned(),
        version: "v1".to_owned(),
        kind: row.kind.to_owned(),
        list_kind: format!("{}List", row.kind),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: row.short_names.iter().map(|s| (*s).to_owned()).collect(),
        categories: Vec::new(),
        namespaced: row.namespaced,
        subresources: row.subresources,
        storage,
        selectable: selectable
            .map(|(index, label)| Selectable {
                label: (*label).to_owned(),
                index,
            })
            .collect(),
        names: row.names,
        body: Body::Typed(row.typed),
        rules: row.rules,
        conversion: None,
        schema: OnceLock::new(),
        columns: OnceLock::new(),
    }
}
