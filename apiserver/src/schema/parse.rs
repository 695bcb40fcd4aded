//! Reads structural schemas. Whether a schema is fit to define a kind is asked elsewhere ([`crate::definitions`]); here
//! it is only read, and its size kept in bounds: a schema comes from whoever may define a kind.

use std::collections::HashMap;

use serde_json::Value;

use super::format::Format;
use super::rules::RuledNode;
use super::{Additional, Bound, Junctors, Limits, ListKind, Node, Pattern, Span, Type, Within, pattern};

/// The deepest nesting of schemas that is read. Walks over schemas and objects recurse this deep.
pub const MAX_DEPTH: usize = 64;

/// Why a schema cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SchemaError {
    /// Where, in the schema: `properties[spec].items`.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

impl SchemaError {
    fn new(path: &str, problem: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Compiled patterns, each once: large schemas repeat a few.
#[derive(Default)]
struct Reader {
    patterns: HashMap<String, Pattern>,
    /// The largest a pattern may get, in bytes.
    pattern_size: usize,
    depth: usize,
}

pub(super) fn root(schema: &Value) -> Result<Node, SchemaError> {
    let mut reader = Reader {
        pattern_size: pattern::size_limit(pattern::distinct(schema, MAX_DEPTH * 2)),
        ..Reader::default()
    };
    reader.node(schema, "")
}

fn below(path: &str, part: &str) -> String {
    if path.is_empty() {
        part.to_owned()
    } else {
        format!("{path}.{part}")
    }
}

impl Reader {
    fn node(&mut self, schema: &Value, path: &str) -> Result<Node, SchemaError> {
        if self.depth >= MAX_DEPTH {
            return Err(SchemaError::new(
                path,
                format!("must not be nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.depth += 1;
        let node = self.level(schema, path);
        self.depth -= 1;
        node
    }

    fn level(&mut self, schema: &Value, path: &str) -> Result<Node, SchemaError> {
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
        let type_ = type_of(schema, path)?;
        let mut node = Node {
            type_,
            nullable: flag("nullable"),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            list: list_kind(schema),
            limits: self.limits(schema, type_, path)?,
            junctors: self.junctors(schema, path)?,
            rules: RuledNode::read(schema),
            ..Node::default()
        };
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let child = self.node(property, &below(path, &format!("properties[{name}]")))?;
            node.properties.insert(name.clone(), child);
        }
        node.additional = match schema.get("additionalProperties") {
            None | Some(Value::Null) => Additional::None,
            Some(Value::Bool(false)) => Additional::Forbidden,
            Some(Value::Bool(true)) => Additional::Any,
            Some(inner) => Additional::Each(Box::new(self.node(inner, &below(path, "additionalProperties"))?)),
        };
        if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
            node.items = Some(Box::new(self.node(items, &below(path, "items"))?));
        }
        node.fills = node.properties.values().any(|child| child.default.is_some());
        node.within = within(&node);
        Ok(node)
    }

    fn limits(&mut self, schema: &Value, type_: Option<Type>, path: &str) -> Result<Limits, SchemaError> {
        let count = |name: &str| schema.get(name).and_then(Value::as_u64);
        let span = |min: &str, max: &str| Span {
            min: count(min),
            max: count(max),
        };
        let bound = |name: &str, exclusive: &str| {
            let exclusive = schema.get(exclusive).and_then(Value::as_bool).unwrap_or(false);
            schema
                .get(name)
                .and_then(Value::as_f64)
                .map(|at| Bound { at, exclusive })
        };
        let written = schema
            .get("pattern")
            .and_then(Value::as_str)
            .filter(|pattern| !pattern.is_empty());
        let format = schema.get("format").and_then(Value::as_str);
        Ok(Limits {
            required: strings(schema, "required"),
            enumeration: schema
                .get("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            pattern: written.map(|written| self.pattern(written, path)).transpose()?,
            format: format.and_then(|name| Format::read(name, type_)),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
            length: span("minLength", "maxLength"),
            items: span("minItems", "maxItems"),
            properties: span("minProperties", "maxProperties"),
            unique_items: schema.get("uniqueItems").and_then(Value::as_bool).unwrap_or(false),
        })
    }

    fn pattern(&mut self, written: &str, path: &str) -> Result<Pattern, SchemaError> {
        if let Some(known) = self.patterns.get(written) {
            return Ok(known.clone());
        }
        let regex = pattern::compile(written, self.pattern_size)
            .map_err(|problem| SchemaError::new(&below(path, "pattern"), problem))?;
        let pattern = Pattern {
            written: written.to_owned(),
            regex,
        };
        self.patterns.insert(written.to_owned(), pattern.clone());
        Ok(pattern)
    }

    fn junctors(&mut self, schema: &Value, path: &str) -> Result<Option<Box<Junctors>>, SchemaError> {
        let mut list = |name: &str| -> Result<Vec<Node>, SchemaError> {
            let inner = schema
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .enumerate();
            inner
                .map(|(at, inner)| self.node(inner, &below(path, &format!("{name}[{at}]"))))
                .collect()
        };
        let (all, any, one) = (list("allOf")?, list("anyOf")?, list("oneOf")?);
        let not = schema.get("not").filter(|not| not.is_object());
        let not = not.map(|inner| self.node(inner, &below(path, "not"))).transpose()?;
        if all.is_empty() && any.is_empty() && one.is_empty() && not.is_none() {
            return Ok(None);
        }
        Ok(Some(Box::new(Junctors { all, any, one, not })))
    }
}

fn strings(schema: &Value, name: &str) -> Vec<String> {
    let list = schema.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
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
        Some(other) => Err(SchemaError::new(path, format!("unknown type {other:?}"))),
    }
}

fn list_kind(schema: &Value) -> ListKind {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(strings(schema, "x-kubernetes-list-map-keys")),
        _ => ListKind::Atomic,
    }
}

fn within(node: &Node) -> Within {
    let mut within = Within {
        lists: node.list != ListKind::Atomic,
        embedded: node.embedded,
        rules: node.rules.is_some(),
    };
    let each = match &node.additional {
        Additional::Each(each) => Some(&**each),
        _ => None,
    };
    for child in node.properties.values().chain(each).chain(node.items.as_deref()) {
        within.lists |= child.within.lists;
        within.embedded |= child.within.embedded;
        within.rules |= child.within.rules;
    }
    within
}
