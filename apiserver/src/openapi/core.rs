//! Schemas of Kubernetes' own kinds, from k8s-openapi.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Adds a kind's schema, and what it refers to, to the generator's definitions.
type Add = fn(&mut SchemaGenerator);

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    // Only the definitions are wanted; the reference that comes back is not.
    let _ = generator.subschema_for::<T>();
}

const KINDS: &[(&str, &str, Add)] = &[
    ("Namespace", "", add::<Namespace>),
    ("Node", "", add::<Node>),
    ("Secret", "", add::<Secret>),
    ("ConfigMap", "", add::<ConfigMap>),
    ("Event", "", add::<Event>),
    ("ServiceAccount", "", add::<ServiceAccount>),
    ("ResourceQuota", "", add::<ResourceQuota>),
    ("Event", "events.k8s.io", add::<k8s_openapi::api::events::v1::Event>),
    ("Lease", "coordination.k8s.io", add::<Lease>),
    ("PriorityClass", "scheduling.k8s.io", add::<PriorityClass>),
    ("Role", "rbac.authorization.k8s.io", add::<Role>),
    ("RoleBinding", "rbac.authorization.k8s.io", add::<RoleBinding>),
    ("ClusterRole", "rbac.authorization.k8s.io", add::<ClusterRole>),
    (
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io",
        add::<ClusterRoleBinding>,
    ),
];

/// The schemas of the kinds named (kind, group), with everything they refer to and the metadata that all share.
pub(super) fn schemas<'a>(wanted: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    add::<ObjectMeta>(&mut generator);
    add::<ListMeta>(&mut generator);
    for (kind, group) in wanted {
        if let Some((_, _, add)) = KINDS.iter().find(|(k, g, _)| (*k, *g) == (kind, group)) {
            add(&mut generator);
        }
    }
    let mut schemas = generator.take_definitions(true);
    schemas.values_mut().for_each(mend);
    schemas.into_iter().collect()
}

/// The name that k8s-openapi gives a kind's schema, which is upstream's.
pub(super) fn schema_name(kind: &str, group: &str, version: &str) -> String {
    let group = if group.is_empty() {
        "core"
    } else {
        group.split('.').next().unwrap_or(group)
    };
    format!("io.k8s.api.{group}.{version}.{kind}")
}

/// Two differences from upstream's documents: a reference with a description beside it goes into an `allOf`, and
/// `metadata` is not required.
fn mend(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.len() > 1
                && let Some(reference) = map.remove("$ref")
            {
                map.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            if let Some(Value::Array(required)) = map.get_mut("required") {
                required.retain(|name| name != "metadata");
            }
            map.values_mut().for_each(mend);
        }
        Value::Array(list) => list.iter_mut().for_each(mend),
        _ => {}
    }
}
