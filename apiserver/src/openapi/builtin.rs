//! Schemas of Kubernetes' own kinds. They are data, made from k8s-openapi's types by `cargo xtask codegen`
//! (`examples/kubernetes-definitions`): as code that builds them they were a tenth of the program. Each is read when
//! somebody first asks for it.
//!
//! Names and shapes are those of upstream's `/openapi/v3`. Paths and documents are made above.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, OnceLock};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// An object; a line for each definition.
const DOCUMENT: &str = include_str!("kubernetes.json");
/// Where definitions are in a document.
pub(super) const PREFIX: &str = "#/components/schemas/";
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const APIEXTENSIONS: &str = "apiextensions.k8s.io";

/// Group and kind of those with a schema of their own; all of them are `v1`.
const KINDS: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("", "Node"),
    ("", "Secret"),
    ("", "ConfigMap"),
    ("", "Event"),
    ("", "ServiceAccount"),
    ("", "ResourceQuota"),
    ("", "LimitRange"),
    ("", "Pod"),
    ("", "Service"),
    ("events.k8s.io", "Event"),
    ("coordination.k8s.io", "Lease"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("autoscaling", "Scale"),
    ("policy", "Eviction"),
    (RBAC, "Role"),
    (RBAC, "RoleBinding"),
    (RBAC, "ClusterRole"),
    (RBAC, "ClusterRoleBinding"),
    (APIEXTENSIONS, "CustomResourceDefinition"),
    (ADMISSION, "ValidatingAdmissionPolicy"),
    (ADMISSION, "ValidatingAdmissionPolicyBinding"),
    (ADMISSION, "ValidatingWebhookConfiguration"),
    (ADMISSION, "MutatingWebhookConfiguration"),
    (AUTHENTICATION, "TokenRequest"),
    (AUTHENTICATION, "TokenReview"),
    (AUTHENTICATION, "SelfSubjectReview"),
    (AUTHORIZATION, "SubjectAccessReview"),
    (AUTHORIZATION, "LocalSubjectAccessReview"),
    (AUTHORIZATION, "SelfSubjectAccessReview"),
    (AUTHORIZATION, "SelfSubjectRulesReview"),
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

/// The definitions of Kubernetes' own kinds by upstream's name, with `$ref`s between them.
pub struct Definitions(BTreeMap<Cow<'static, str>, Definition>);

enum Definition {
    /// As it stands in the document, and as it was read.
    Text(&'static str, OnceLock<Value>),
    Made(Value),
}

/// Every definition.
pub fn definitions() -> &'static Definitions {
    static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(Definitions::load);
    &DEFINITIONS
}

impl Definitions {
    fn load() -> Self {
        let texts: BTreeMap<&str, &RawValue> =
            serde_json::from_str(DOCUMENT).expect("the generated document is an object of definitions");
        let with_fields = texts
            .into_iter()
            .map(|(name, text)| (Cow::Borrowed(name), Definition::Text(text.get(), OnceLock::new())));
        let by_name_alone = ABSENT
            .iter()
            .map(|(group, kind)| (Cow::Owned(name_of(group, kind)), Definition::Made(absent(group, kind))));
        Self(with_fields.chain(by_name_alone).collect())
    }

    /// A definition.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self.0.get(name)? {
            Definition::Text(text, read) => {
                Some(read.get_or_init(|| serde_json::from_str(text).expect("what was read as JSON once is JSON")))
            }
            Definition::Made(schema) => Some(schema),
        }
    }
}

/// The definitions that one of Kubernetes' own kinds needs.
pub fn definitions_of(group: &str, kind: &str) -> Map<String, Value> {
    let name = name_of(group, kind);
    let mut names = BTreeSet::new();
    referred(&json!({"$ref": format!("{PREFIX}{name}")}), &mut names);
    let definition = |name: String| Some((name.clone(), definitions().get(&name)?.clone()));
    names.into_iter().filter_map(definition).collect()
}

/// Upstream's name for the definition of one of Kubernetes' own kinds.
pub fn builtin_name(group: &str, kind: &str) -> String {
    name_of(group, kind)
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
    KINDS.iter().chain(ABSENT).copied()
}

fn absent(group: &str, kind: &str) -> Value {
    json!({
        "description": format!("{kind} is known by name only: there are none here, and none can be created."),
        "type": "object",
        "properties": super::custom::head(),
        "x-kubernetes-group-version-kind": [{"group": group, "version": "v1", "kind": kind}],
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

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str) -> &'static Value {
        definitions().get(name).unwrap()
    }

    #[test]
    fn kinds_have_upstreams_names_and_their_references_lead_somewhere() {
        for (group, kind) in known() {
            let name = schema_name(group, "v1", kind).unwrap();
            let schema = builtin_schema(group, "v1", kind).unwrap_or_else(|| panic!("{name} is not there"));
            let gvk = &schema["x-kubernetes-group-version-kind"][0];
            assert_eq!((&gvk["group"], &gvk["kind"]), (&json!(group), &json!(kind)));
            let mut found = BTreeSet::new();
            referred(&schema, &mut found);
            for name in found {
                assert!(definitions().get(&name).is_some(), "{name} is not there");
            }
        }
        assert_eq!(schema_name("", "v2", "Node"), None);
        assert_eq!(schema_name("breakbulk.dev", "v1", "Job"), None);
    }

    #[test]
    fn types_that_are_no_objects_have_upstreams_shapes() {
        let quantity = definition("io.k8s.apimachinery.pkg.api.resource.Quantity");
        assert_eq!(quantity["oneOf"], json!([{"type": "string"}, {"type": "number"}]));
        assert!(quantity["description"].is_string());
        let json = definition("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON");
        assert_eq!(json.get("type"), None);
        let creation =
            &definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")["properties"]["creationTimestamp"];
        let time = format!("{PREFIX}io.k8s.apimachinery.pkg.apis.meta.v1.Time");
        assert_eq!(creation["allOf"], json!([{"$ref": time}]));
    }

    #[test]
    fn facts_stand_where_clients_look_for_them() {
        let finalizers = &definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")["properties"]["finalizers"];
        assert_eq!(finalizers["x-kubernetes-list-type"], "set");
        assert_eq!(finalizers["x-kubernetes-patch-strategy"], "merge");
        let pod = &definition("io.k8s.api.core.v1.PodSpec")["properties"];
        assert_eq!(pod["volumes"]["x-kubernetes-patch-strategy"], "merge,retainKeys");
        assert_eq!(pod["nodeSelector"]["x-kubernetes-map-type"], "atomic");
        let container = &definition("io.k8s.api.core.v1.Container")["properties"]["ports"];
        assert_eq!(
            container["x-kubernetes-list-map-keys"],
            json!(["containerPort", "protocol"])
        );
        let port = &definition("io.k8s.api.core.v1.ContainerPort")["properties"]["protocol"];
        assert_eq!(port["default"], "TCP");
        let reference = definition("io.k8s.api.core.v1.LocalObjectReference");
        assert_eq!(reference["x-kubernetes-map-type"], "atomic");
        assert_eq!(reference.get("required"), None);
    }
}
