//! Kinds of Kubernetes of which there are none here: what containers need. Clients list them all the same (`kubectl apply
//! --prune` and `kubectl cluster-info` fail where they are not known), so they can be listed and watched, and are empty.
//! Nothing can be created.

use std::sync::Arc;

use crate::cacher::StorageCache;
use crate::definitions::served::Scope;
use crate::registry::object;
use crate::registry::resource::{Accepting, Body, Generation, NameRule, Resource, Storage};
use crate::table::Columns;

/// Group, kind, plural, short names.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const INSIDE: &[Row] = &[
    ("", "Endpoints", "endpoints", &["ep"]),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"]),
    ("", "ReplicationController", "replicationcontrollers", &["rc"]),
    ("", "Service", "services", &["svc"]),
    ("apps", "DaemonSet", "daemonsets", &["ds"]),
    ("apps", "Deployment", "deployments", &["deploy"]),
    ("apps", "ReplicaSet", "replicasets", &["rs"]),
    ("apps", "StatefulSet", "statefulsets", &["sts"]),
    ("batch", "CronJob", "cronjobs", &["cj"]),
    ("batch", "Job", "jobs", &[]),
    ("networking.k8s.io", "Ingress", "ingresses", &["ing"]),
];
const OUTSIDE: &[Row] = &[("", "PersistentVolume", "persistentvolumes", &["pv"])];

/// Where a batch Job would be kept lies beside our own Jobs, never over them: those have their group in the key.
pub(super) fn rows() -> Vec<Resource> {
    let inside = INSIDE.iter().map(|row| resource(row, Scope::Namespaced));
    inside
        .chain(OUTSIDE.iter().map(|row| resource(row, Scope::Cluster)))
        .collect()
}

fn resource(row: &Row, scope: Scope) -> Resource {
    let (group, kind, plural, short_names) = *row;
    let api_version = if group.is_empty() {
        "v1".to_owned()
    } else {
        format!("{group}/v1")
    };
    let storage = Storage {
        prefix: format!("{}{plural}/", crate::registry::PREFIX),
        header: object::header(&api_version, kind),
        api_version,
        fields: Vec::new(),
        schemas: Vec::new(),
        depends_on: String::new(),
        cache: StorageCache::new(),
    };
    Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short_names.iter().map(|name| (*name).to_owned()).collect(),
        categories: Vec::new(),
        namespaced: scope == Scope::Namespaced,
        subresources: Vec::new(),
        verbs: super::READ_VERBS,
        storage: Arc::new(storage),
        selectable: Vec::new(),
        names: NameRule::Subdomain,
        body: Body::Absent,
        rules: super::PLAIN,
        generation: Generation::None,
        accepting: Accepting::All,
        conversion: None,
        merge: super::merge(group, kind),
        columns: Arc::new(Columns::core(kind)),
    }
}
