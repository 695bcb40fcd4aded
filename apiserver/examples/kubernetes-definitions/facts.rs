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

/// A row of the table that cannot be read, or is about what is not there.
#[derive(Debug, thiserror::Error)]
#[error("facts.txt, line {line}: {text:?} {reason}")]
pub(crate) struct Unfit {
    line: usize,
    text: &'static str,
    reason: &'static str,
}

/// Lays the table over definitions.
///
/// # Errors
/// At the first row that does not fit.
pub(crate) fn apply(definitions: &mut Map<String, Value>) -> Result<(), Unfit> {
    let mut definition = "";
    for (number, text) in TABLE.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let line = number + 1;
        let unfit = |reason| Unfit { line, text, reason };
        let Some(row) = text.strip_prefix("  ") else {
            definition = text;
            continue;
        };
        let (field, facts) = parse(row).ok_or_else(|| unfit("cannot be read"))?;
        let schema = definitions.get_mut(definition);
        let schema = schema.ok_or_else(|| unfit("is about a definition that is not there"))?;
        if facts.iter().any(|fact| matches!(fact, Fact::Default(_))) {
            not_required(schema, field);
        }
        let place = match field {
            "." => Some(schema),
            _ => schema.pointer_mut(&format!("/properties/{field}")),
        };
        match place {
            Some(Value::Object(place)) => facts.iter().for_each(|fact| write(fact, place)),
            _ => return Err(unfit("is about a field that is not there")),
        }
    }
    Ok(())
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
