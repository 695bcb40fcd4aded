//! Reads structural schemas.

use regex::RegexBuilder;
use serde_json::Value;

use super::{Additional, Junctors, Limits, ListKind, Node, Type};

/// Why a schema is not structural.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SchemaError {
    /// Where, in the schema: `properties[spec].items`.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

/// The largest compiled pattern, in bytes: a pattern comes from a CRD's author, who may be hostile.
const PATTERN_SIZE: usize = 1 << 20;

pub(super) fn node(schema: &Value, path: &str) -> Result<Node, SchemaError> {
    let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
    let below = |part: String| {
        if path.is_empty() {
            part
        } else {
            format!("{path}.{part}")
        }
    };
    let mut node = Node {
        type_: type_of(schema, path)?,
        nullable: flag("nullable"),
        default: schema.get("default").cloned(),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        list: list_kind(schema),
        limits: limits(schema, path)?,
        junctors: junctors(schema, path)?,
        ..Node::default()
    };
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let child = self::node(property, &below(format!("properties[{name}]")))?;
        node.properties.insert(name.clone(), child);
    }
    node.additional = match schema.get("additionalProperties") {
        None | Some(Value::Bool(false)) => Additional::None,
        Some(Value::Bool(true)) => Additional::Any,
        Some(inner) => Additional::Each(Box::new(self::node(inner, &below("additionalProperties".to_owned()))?)),
    };
    if let Some(items) = schema.get("items") {
        node.items = Some(Box::new(self::node(items, &below("items".to_owned()))?));
    }
    Ok(node)
}

fn type_of(schema: &Value, path: &str) -> Result<Option<Type>, SchemaError> {
    if schema.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true) {
        return Ok(Some(Type::IntOrString));
    }
    match schema.get("type").and_then(Value::as_str) {
        None | Some("") => Ok(None),
        Some("object") => Ok(Some(Type::Object)),
        Some("array") => Ok(Some(Type::Array)),
        Some("string") => Ok(Some(Type::String)),
        Some("integer") => Ok(Some(Type::Integer)),
        Some("number") => Ok(Some(Type::Number)),
        Some("boolean") => Ok(Some(Type::Boolean)),
        Some(other) => Err(SchemaError {
            path: path.to_owned(),
            problem: format!("unknown type {other:?}"),
        }),
    }
}

fn list_kind(schema: &Value) -> ListKind {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            ListKind::Map(
                keys.into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            )
        }
        _ => ListKind::Atomic,
    }
}

fn limits(schema: &Value, path: &str) -> Result<Limits, SchemaError> {
    let count = |name: &str| schema.get(name).and_then(Value::as_u64);
    let bound = |name: &str, exclusive: &str| {
        let exclusive = schema.get(exclusive).and_then(Value::as_bool).unwrap_or(false);
        schema.get(name).and_then(Value::as_f64).map(|bound| (bound, exclusive))
    };
    let list = |name: &str| schema.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let pattern = schema
        .get("pattern")
        .and_then(Value::as_str)
        .filter(|pattern| !pattern.is_empty());
    let pattern = pattern
        .map(|pattern| RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build())
        .transpose()
        .map_err(|error| SchemaError {
            path: format!("{path}.pattern"),
            problem: error.to_string(),
        })?;
    Ok(Limits {
        required: list("required")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        enumeration: list("enum"),
        pattern,
        format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
        minimum: bound("minimum", "exclusiveMinimum"),
        maximum: bound("maximum", "exclusiveMaximum"),
        multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
        length: (count("minLength"), count("maxLength")),
        items: (count("minItems"), count("maxItems")),
        properties: (count("minProperties"), count("maxProperties")),
    })
}

fn junctors(schema: &Value, path: &str) -> Result<Junctors, SchemaError> {
    let list = |name: &str| -> Result<Vec<Node>, SchemaError> {
        let inner = schema.get(name).and_then(Value::as_array);
        inner
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(at, s)| node(s, &format!("{path}.{name}[{at}]")))
            .collect()
    };
    let not = schema
        .get("not")
        .map(|inner| node(inner, &format!("{path}.not")).map(Box::new))
        .transpose()?;
    Ok(Junctors {
        all: list("allOf")?,
        any: list("anyOf")?,
        one: list("oneOf")?,
        not,
    })
}
