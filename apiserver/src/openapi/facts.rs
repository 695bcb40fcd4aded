//! What k8s-openapi's schemas do not say of Kubernetes' own types and clients need to merge objects: the kinds of lists
//! and maps, their keys, patch strategies and the defaults of keys. A table of facts, laid over the schemas.
//!
//! The facts are those of the markers in upstream's `k8s.io/api` and `k8s.io/apimachinery` (`+listType`, `+listMapKey`,
//! `+mapType`, `+structType`, `+default`, `patchStrategy`, `patchMergeKey`), for the definitions served here.

use serde_json::{Map, Value, json};

/// A definition stands at the left margin, its fields are indented below; the field `.` is the definition itself.
const TABLE: &str = include_str!("facts.txt");

/// One fact about a field.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    /// How a list merges: `atomic`, `set`, `map` (with keys).
    List(&'static str, Vec<&'static str>),
    /// How a map merges: `atomic`.
    Map(&'static str),
    /// The strategies of strategic merge patch, and the merge key for lists of objects.
    Patch(&'static str, Option<&'static str>),
    /// The value of a field that is left out.
    Default(Value),
}

/// Lays the table over definitions. What the table says of definitions or fields that are not there is passed over: the
/// tests see to it that there is none.
pub(super) fn apply(definitions: &mut Map<String, Value>) {
    let mut definition = "";
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let Some(row) = line.strip_prefix("  ") else {
            definition = line;
            continue;
        };
        let Some((field, facts)) = parse(row) else { continue };
        let Some(schema) = definitions.get_mut(definition) else {
            continue;
        };
        if facts.iter().any(|fact| matches!(fact, Fact::Default(_))) {
            not_required(schema, field);
        }
        let place = match field {
            "." => Some(schema),
            _ => schema.pointer_mut(&format!("/properties/{field}")),
        };
        if let Some(Value::Object(place)) = place {
            facts.iter().for_each(|fact| write(fact, place));
        }
    }
}

/// What has a default need not be there.
fn not_required(schema: &mut Value, field: &str) {
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name != field);
    }
    if schema["required"].as_array().is_some_and(Vec::is_empty)
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("required");
    }
}

fn parse(row: &'static str) -> Option<(&'static str, Vec<Fact>)> {
    let mut words = row.split_whitespace();
    let field = words.next()?;
    let facts = words.map(fact).collect::<Option<Vec<_>>>()?;
    (!facts.is_empty()).then_some((field, facts))
}

fn fact(word: &'static str) -> Option<Fact> {
    let (name, value) = word.split_once('=')?;
    let (head, keys) = value
        .split_once(':')
        .map_or((value, None), |(value, keys)| (value, Some(keys)));
    match (name, head) {
        ("list", "atomic" | "set") if keys.is_none() => Some(Fact::List(head, Vec::new())),
        ("list", "map") => Some(Fact::List(head, keys?.split(',').collect())),
        ("map", "atomic") => Some(Fact::Map(head)),
        ("patch", _) => Some(Fact::Patch(head, keys)),
        ("default", _) => serde_json::from_str(value).ok().map(Fact::Default),
        _ => None,
    }
}

fn write(fact: &Fact, schema: &mut Map<String, Value>) {
    let mut set = |name: &str, value: Value| _ = schema.insert(name.to_owned(), value);
    match fact {
        Fact::List(kind, keys) => {
            set("x-kubernetes-list-type", json!(kind));
            if !keys.is_empty() {
                set("x-kubernetes-list-map-keys", json!(keys));
            }
        }
        Fact::Map(kind) => set("x-kubernetes-map-type", json!(kind)),
        Fact::Patch(strategy, key) => {
            set("x-kubernetes-patch-strategy", json!(strategy));
            if let Some(key) = key {
                set("x-kubernetes-patch-merge-key", json!(key));
            }
        }
        Fact::Default(value) => set("default", value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::builtin::definitions;

    #[test]
    fn every_row_of_the_table_can_be_read_and_is_about_a_field_that_exists() {
        let mut definition = "";
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let Some(row) = line.strip_prefix("  ") else {
                definition = line;
                assert!(definitions().contains_key(definition), "{definition} is not there");
                continue;
            };
            let (field, _) = parse(row).unwrap_or_else(|| panic!("{definition}: {row:?} cannot be read"));
            let there = field == "." || !definitions()[definition]["properties"][field].is_null();
            assert!(there, "{definition} has no field {field}");
        }
    }

    #[test]
    fn facts_stand_where_clients_look_for_them() {
        let finalizers = &definitions()["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["finalizers"];
        assert_eq!(finalizers["x-kubernetes-list-type"], "set");
        assert_eq!(finalizers["x-kubernetes-patch-strategy"], "merge");
        let pod = &definitions()["io.k8s.api.core.v1.PodSpec"]["properties"];
        assert_eq!(pod["volumes"]["x-kubernetes-patch-strategy"], "merge,retainKeys");
        assert_eq!(pod["nodeSelector"]["x-kubernetes-map-type"], "atomic");
        let container = &definitions()["io.k8s.api.core.v1.Container"]["properties"]["ports"];
        assert_eq!(
            container["x-kubernetes-list-map-keys"],
            json!(["containerPort", "protocol"])
        );
        let port = &definitions()["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"];
        assert_eq!(port["default"], "TCP");
        let reference = &definitions()["io.k8s.api.core.v1.LocalObjectReference"];
        assert_eq!(reference["x-kubernetes-map-type"], "atomic");
        assert_eq!(reference.get("required"), None);
    }
}
