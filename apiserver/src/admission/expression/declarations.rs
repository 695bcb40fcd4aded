//! What expressions of admission may name (`k8s.io/apiserver/pkg/admission/plugin/cel/compile.go`).

use std::sync::{Arc, LazyLock};

use breakbulk_cel::{Declared, Environment, Opaque, Place, Type};
use serde_json::{Value, json};

/// Whether there is `params`: a policy with a kind of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Params {
    /// There is.
    Given,
    /// There is not.
    Absent,
}

/// Whether there is `authorizer`: everywhere but in what only makes a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// There is.
    Authorizer,
    /// There is not.
    Nobody,
}

/// What is known of `object`, `oldObject` and `params` when an expression is compiled.
pub(in crate::admission) struct Shapes<'a> {
    /// The objects.
    pub(in crate::admission) object: &'a Arc<Declared>,
    /// The parameters; none where there are none.
    pub(in crate::admission) params: Option<&'a Arc<Declared>>,
}

/// The environment of stored expressions: kinds are known only when a request comes, since one expression may be asked
/// about many.
pub(crate) fn environment(params: Params, asks: Asks) -> Environment {
    let object = Declared::dynamic();
    let params = (params == Params::Given).then_some(object);
    environment_of(&Shapes { object, params }, asks)
}

/// The same with known kinds.
pub(in crate::admission) fn environment_of(shapes: &Shapes<'_>, asks: Asks) -> Environment {
    let mut environment = Environment::new()
        .variable("object", shapes.object)
        .variable("oldObject", shapes.object)
        .variable("request", &REQUEST)
        .variable("namespaceObject", &NAMESPACE);
    if asks == Asks::Authorizer {
        environment = environment
            .typed_variable("authorizer", Type::Opaque(Opaque::Authorizer))
            .typed_variable("authorizer.requestResource", Type::Opaque(Opaque::ResourceCheck));
    }
    match shapes.params {
        Some(params) => environment.variable("params", params),
        None => environment,
    }
}

fn declared(schema: &Value, name: &str) -> Arc<Declared> {
    Declared::from_schema(schema, Place::Part, name).expect("the schema is an object's")
}

fn object(properties: &[(&str, Value)]) -> Value {
    let properties: serde_json::Map<String, Value> = properties
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "properties": properties})
}

/// `request`: an AdmissionRequest without its objects.
pub(super) static REQUEST: LazyLock<Arc<Declared>> = LazyLock::new(|| {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": text()});
    let kind = || object(&[("group", text()), ("version", text()), ("kind", text())]);
    let resource = || object(&[("group", text()), ("version", text()), ("resource", text())]);
    let user = object(&[
        ("username", text()),
        ("uid", text()),
        ("groups", texts()),
        ("extra", json!({"type": "object", "additionalProperties": texts()})),
    ]);
    // Of options nothing is known but that they are there.
    let anything = json!({"x-kubernetes-int-or-string": true});
    let schema = object(&[
        ("uid", text()),
        ("kind", kind()),
        ("resource", resource()),
        ("subResource", text()),
        ("requestKind", kind()),
        ("requestResource", resource()),
        ("requestSubResource", text()),
        ("name", text()),
        ("namespace", text()),
        ("operation", text()),
        ("userInfo", user),
        ("dryRun", json!({"type": "boolean"})),
        ("options", anything),
    ]);
    declared(&schema, "kubernetes.AdmissionRequest")
});

/// `namespaceObject`: what of a Namespace expressions may see.
pub(super) static NAMESPACE: LazyLock<Arc<Declared>> = LazyLock::new(|| {
    let text = || json!({"type": "string"});
    let time = || json!({"type": "string", "format": "date-time"});
    let number = || json!({"type": "integer"});
    let texts = || json!({"type": "array", "items": text()});
    let map = || json!({"type": "object", "additionalProperties": text()});
    let metadata = object(&[
        ("name", text()),
        ("generateName", text()),
        ("namespace", text()),
        ("labels", map()),
        ("annotations", map()),
        ("UID", text()),
        ("creationTimestamp", time()),
        ("deletionGracePeriodSeconds", number()),
        ("deletionTimestamp", time()),
        ("generation", number()),
        ("resourceVersion", text()),
        ("finalizers", texts()),
    ]);
    let schema = object(&[
        ("metadata", metadata),
        ("spec", object(&[("finalizers", texts())])),
        ("status", object(&[("phase", text())])),
    ]);
    declared(&schema, "kubernetes.Namespace")
});
