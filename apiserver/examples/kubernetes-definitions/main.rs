//! Prints the schemas of Kubernetes' own kinds: with a file as argument it writes it, which is how
//! `apiserver/src/openapi/kubernetes.json` is made. One definition stands on each line.
//!
//! The shapes and descriptions are k8s-openapi's; what lists and maps they hold and how those merge is `facts`'s. Names
//! and shapes are those of upstream's `/openapi/v3`; what differs there from k8s-openapi is mended here.

mod facts;

use std::error::Error;
use std::fmt::Write as _;

use k8s_openapi::Resource;
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

/// Adds a type's schema, and what it refers to, to the generator's definitions. A kind gives its definition's name, and
/// what is said of its kind there.
type Add = fn(&mut SchemaGenerator) -> Option<(String, Value)>;

fn kind<T: JsonSchema + Resource>(generator: &mut SchemaGenerator) -> Option<(String, Value)> {
    shared::<T>(generator);
    let kind = json!([{"group": T::GROUP, "version": T::VERSION, "kind": T::KIND}]);
    Some((T::schema_name().into_owned(), kind))
}

fn shared<T: JsonSchema>(generator: &mut SchemaGenerator) -> Option<(String, Value)> {
    // Only the definitions are wanted; the reference that comes back is not.
    let _ = generator.subschema_for::<T>();
    None
}

/// The kinds; all of them are `v1`, and stand in `openapi::builtin` too.
const KINDS: &[Add] = &[
    kind::<core::Namespace>,
    kind::<core::Node>,
    kind::<core::Secret>,
    kind::<core::ConfigMap>,
    kind::<core::Event>,
    kind::<core::ServiceAccount>,
    kind::<core::ResourceQuota>,
    kind::<core::LimitRange>,
    kind::<core::Pod>,
    kind::<core::Service>,
    kind::<events::Event>,
    kind::<coordination::Lease>,
    kind::<scheduling::PriorityClass>,
    kind::<autoscaling::Scale>,
    kind::<policy::Eviction>,
    kind::<rbac::Role>,
    kind::<rbac::RoleBinding>,
    kind::<rbac::ClusterRole>,
    kind::<rbac::ClusterRoleBinding>,
    kind::<apiextensions::CustomResourceDefinition>,
    kind::<admission::ValidatingAdmissionPolicy>,
    kind::<admission::ValidatingAdmissionPolicyBinding>,
    kind::<admission::ValidatingWebhookConfiguration>,
    kind::<admission::MutatingWebhookConfiguration>,
    kind::<authentication::TokenRequest>,
    kind::<authentication::TokenReview>,
    kind::<authentication::SelfSubjectReview>,
    kind::<authorization::SubjectAccessReview>,
    kind::<authorization::LocalSubjectAccessReview>,
    kind::<authorization::SelfSubjectAccessReview>,
    kind::<authorization::SelfSubjectRulesReview>,
];

/// What is no resource, and yet in every document: bodies and answers that all resources share.
const SHARED: &[Add] = &[
    shared::<meta::ObjectMeta>,
    shared::<meta::ListMeta>,
    shared::<meta::DeleteOptions>,
    shared::<meta::Status>,
    shared::<meta::Patch>,
    shared::<meta::WatchEvent<()>>,
    shared::<meta::Condition>,
];

fn main() -> Result<(), Box<dyn Error>> {
    let text = document(&definitions()?)?;
    match std::env::args_os().nth(1) {
        Some(file) => std::fs::write(file, text)?,
        None => print!("{text}"),
    }
    Ok(())
}

fn definitions() -> Result<Map<String, Value>, facts::Unfit> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let kinds: Vec<_> = SHARED
        .iter()
        .chain(KINDS)
        .filter_map(|add| add(&mut generator))
        .collect();
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (name, schema) in &mut schemas {
        mend(schema);
        reshape(name, schema);
    }
    for (name, kind) in kinds {
        schemas[&name]["x-kubernetes-group-version-kind"] = kind;
    }
    facts::apply(&mut schemas)?;
    Ok(schemas)
}

/// JSON with a line for each definition, so that a change is seen where it is.
fn document(definitions: &Map<String, Value>) -> Result<String, std::fmt::Error> {
    let mut text = String::from("{");
    for (number, (name, schema)) in definitions.iter().enumerate() {
        let join = if number == 0 { "" } else { "," };
        write!(text, "{join}\n{}: {schema}", json!(name))?;
    }
    text.push_str("\n}\n");
    Ok(text)
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
