//! Schemas of Kubernetes' own kinds: the shapes and descriptions are k8s-openapi's, what lists and maps they hold and
//! how those merge is `facts`'s. Made once, when somebody first asks.
//!
//! Names and shapes are those of upstream's `/openapi/v3`; what differs there from k8s-openapi is mended here. Paths and
//! documents are made above.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use k8s_openapi::api::{
    admissionregistration::v1 as admission, authentication::v1 as authentication, authorization::v1 as authorization,
    autoscaling::v1 as autoscaling, coordination::v1 as coordination, core::v1 as core, events::v1 as events,
    policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::facts;

/// Where definitions are in a document.
pub(super) const PREFIX: &str = "#/components/schemas/";
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const APIEXTENSIONS: &str = "apiextensions.k8s.io";

/// Adds a kind's schema, and what it refers to, to the generator's definitions.
type Add = fn(&mut SchemaGenerator);

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    // Only the definitions are wanted; the reference that comes back is not.
    let _ = generator.subschema_for::<T>();
}

/// Group and kind; all of them are `v1`.
const KINDS: &[(&str, &str, Add)] = &[
    ("", "Namespace", add::<core::Namespace>),
    ("", "Node", add::<core::Node>),
    ("", "Secret", add::<core::Secret>),
    ("", "ConfigMap", add::<core::ConfigMap>),
    ("", "Event", add::<core::Event>),
    ("", "ServiceAccount", add::<core::ServiceAccount>),
    ("", "ResourceQuota", add::<core::ResourceQuota>),
    ("", "LimitRange", add::<core::LimitRange>),
    ("", "Pod", add::<core::Pod>),
    ("", "Service", add::<core::Service>),
    ("events.k8s.io", "Event", add::<events::Event>),
    ("coordination.k8s.io", "Lease", add::<coordination::Lease>),
    ("scheduling.k8s.io", "PriorityClass", add::<scheduling::PriorityClass>),
    ("autoscaling", "Scale", add::<autoscaling::Scale>),
    ("policy", "Eviction", add::<policy::Eviction>),
    (RBAC, "Role", add::<rbac::Role>),
    (RBAC, "RoleBinding", add::<rbac::RoleBinding>),
    (RBAC, "ClusterRole", add::<rbac::ClusterRole>),
    (RBAC, "ClusterRoleBinding", add::<rbac::ClusterRoleBinding>),
    (
        APIEXTENSIONS,
        "CustomResourceDefinition",
        add::<apiextensions::CustomResourceDefinition>,
    ),
    (
        ADMISSION,
        "ValidatingAdmissionPolicy",
        add::<admission::ValidatingAdmissionPolicy>,
    ),
    (
        ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        add::<admission::ValidatingAdmissionPolicyBinding>,
    ),
    (
        ADMISSION,
        "ValidatingWebhookConfiguration",
        add::<admission::ValidatingWebhookConfiguration>,
    ),
    (
        ADMISSION,
        "MutatingWebhookConfiguration",
        add::<admission::MutatingWebhookConfiguration>,
    ),
    (AUTHENTICATION, "TokenRequest", add::<authentication::TokenRequest>),
    (AUTHENTICATION, "TokenReview", add::<authentication::TokenReview>),
    (
        AUTHENTICATION,
        "SelfSubjectReview",
        add::<authentication::SelfSubjectReview>,
    ),
    (
        AUTHORIZATION,
        "SubjectAccessReview",
        add::<authorization::SubjectAccessReview>,
    ),
    (
        AUTHORIZATION,
        "LocalSubjectAccessReview",
        add::<authorization::LocalSubjectAccessReview>,
    ),
    (
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        add::<authorization::SelfSubjectAccessReview>,
    ),
    (
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        add::<authorization::SelfSubjectRulesReview>,
    ),
];

/// Kinds of which there are none here: known by name, so that clients that ask for them find an empty list. Their
/// fields would be half of Kubernetes, for nothing.
const ABSENT: &[(&str, &str)] = &[
    ("", "Endpoints"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "ReplicationController"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("networking.k8s.io", "Ingress"),
];

/// What is no resource, and yet in every document: bodies and answers that all resources share.
const SHARED: &[Add] = &[
    add::<meta::ObjectMeta>,
    add::<meta::ListMeta>,
    add::<meta::DeleteOptions>,
    add::<meta::Status>,
    add::<meta::Patch>,
    add::<meta::WatchEvent<()>>,
    add::<meta::Condition>,
];

/// Every definition of Kubernetes' own kinds by upstream's name, with `$ref`s between them.
pub fn definitions() -> &'static Map<String, Value> {
    static DEFINITIONS: OnceLock<Map<String, Value>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let mut generator = SchemaSettings::openapi3().into_generator();
        for add in SHARED.iter().chain(KINDS.iter().map(|(_, _, add)| add)) {
            add(&mut generator);
        }
        let mut schemas = mended(&mut generator);
        for (group, kind) in ABSENT {
            schemas.insert(name_of(group, kind), absent(kind));
        }
        for (group, kind) in known() {
            let name = name_of(group, kind);
            if let Some(Value::Object(schema)) = schemas.get_mut(&name) {
                let kind = json!([{"group": group, "version": "v1", "kind": kind}]);
                schema.insert("x-kubernetes-group-version-kind".to_owned(), kind);
            }
        }
        schemas
    })
}

/// The definitions that one of Kubernetes' own kinds needs. They are made for whoever asks and not kept: all of them
/// together are large, and most are never asked for.
pub fn definitions_of(group: &str, kind: &str) -> Map<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let of_kind = KINDS.iter().filter(|(g, k, _)| (*g, *k) == (group, kind));
    of_kind.for_each(|(_, _, add)| add(&mut generator));
    mended(&mut generator)
}

/// Upstream's name for the definition of one of Kubernetes' own kinds.
pub fn builtin_name(group: &str, kind: &str) -> String {
    name_of(group, kind)
}

fn mended(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (name, schema) in &mut schemas {
        mend(schema);
        reshape(name, schema);
    }
    facts::apply(&mut schemas);
    schemas
}

/// The schema of one of Kubernetes' own kinds; its `$ref`s lead into [`definitions`].
pub fn builtin_schema(group: &str, version: &str, kind: &str) -> Option<Value> {
    definitions().get(&schema_name(group, version, kind)?).cloned()
}

/// Upstream's name for the schema of a kind that is here.
pub(super) fn schema_name(group: &str, version: &str, kind: &str) -> Option<String> {
    let is_known = version == "v1" && known().any(|known| known == (group, kind));
    is_known.then(|| name_of(group, kind))
}

fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS
        .iter()
        .map(|(group, kind, _)| (*group, *kind))
        .chain(ABSENT.iter().copied())
}

fn absent(kind: &str) -> Value {
    json!({
        "description": format!("{kind} is known by name only: there are none here, and none can be created."),
        "type": "object",
        "properties": super::custom::head(),
    })
}

fn name_of(group: &str, kind: &str) -> String {
    match group {
        "" => format!("io.k8s.api.core.v1.{kind}"),
        APIEXTENSIONS => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.{kind}"),
        _ => format!("io.k8s.api.{}.v1.{kind}", group.split('.').next().unwrap_or(group)),
    }
}

/// The names of all definitions that a schema refers to, directly or through others.
pub(super) fn referred(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            let target = map.get("$ref").and_then(Value::as_str);
            if let Some(name) = target.and_then(|target| target.strip_prefix(PREFIX))
                && found.insert(name.to_owned())
                && let Some(next) = definitions().get(name)
            {
                referred(next, found);
            }
            map.values().for_each(|inner| referred(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| referred(inner, found)),
        _ => {}
    }
}

/// Differences that may be anywhere: a reference with something beside it goes into an `allOf`, and `metadata` is not
/// required (but in `v1` Events, see [`reshape`]).
fn mend(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.len() > 1
                && map.get("$ref").is_some_and(Value::is_string)
                && let Some(reference) = map.remove("$ref")
            {
                map.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            if let Some(Value::Array(required)) = map.get_mut("required") {
                required.retain(|name| name != "metadata");
                if required.is_empty() {
                    map.remove("required");
                }
            }
            map.values_mut().for_each(mend);
        }
        Value::Array(list) => list.iter_mut().for_each(mend),
        _ => {}
    }
}

/// The definitions that are no plain objects: what their Go types say of themselves
/// (`OpenAPISchemaType`, `OpenAPIV3OneOfTypes`).
fn reshape(name: &str, schema: &mut Value) {
    let description = schema["description"].take();
    let shape = match name.rsplit('.').next() {
        Some("IntOrString") => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        Some("Quantity") => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Some("JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray") => json!({}),
        _ => schema.take(),
    };
    *schema = shape;
    if !description.is_null() {
        schema["description"] = description;
    }
    if name == "io.k8s.api.core.v1.Event" {
        schema["required"] = json!(["metadata", "involvedObject"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_upstreams_names_and_their_references_lead_somewhere() {
        for (group, kind, _) in KINDS {
            let name = schema_name(group, "v1", kind).unwrap();
            let schema = builtin_schema(group, "v1", kind).unwrap_or_else(|| panic!("{name} is not there"));
            let gvk = &schema["x-kubernetes-group-version-kind"][0];
            assert_eq!((&gvk["group"], &gvk["kind"]), (&json!(group), &json!(kind)));
            let mut found = BTreeSet::new();
            referred(&schema, &mut found);
            for name in found {
                assert!(definitions().contains_key(&name), "{name} is not there");
            }
        }
        assert_eq!(schema_name("", "v2", "Node"), None);
        assert_eq!(schema_name("breakbulk.dev", "v1", "Job"), None);
    }

    #[test]
    fn types_that_are_no_objects_have_upstreams_shapes() {
        let quantity = &definitions()["io.k8s.apimachinery.pkg.api.resource.Quantity"];
        assert_eq!(quantity["oneOf"], json!([{"type": "string"}, {"type": "number"}]));
        assert!(quantity["description"].is_string());
        let json = &definitions()["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"];
        assert_eq!(json.get("type"), None);
        let creation =
            &definitions()["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["creationTimestamp"];
        let time = format!("{PREFIX}io.k8s.apimachinery.pkg.apis.meta.v1.Time");
        assert_eq!(creation["allOf"], json!([{"$ref": time}]));
    }
}
