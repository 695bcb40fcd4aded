//! Structural schemas: what a kind's objects may hold. Parsed once from OpenAPI, then three walks over an object:
//! [`Schema::prune`] drops what the schema does not know, [`Schema::default`] fills in what is left out,
//! [`Schema::validate`] says everything that does not fit.
//!
//! The same for our kinds and a third party's. The rules are those of upstream's apiextensions server, and so are the
//! texts, since people search the web for them. `metadata` is not looked at here: its rules are the registry's.

mod format;
mod parse;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

pub use parse::SchemaError;

/// The schema of a kind.
#[derive(Clone, Debug)]
pub struct Schema {
    root: Node,
}

/// One level of a schema.
#[derive(Clone, Debug, Default)]
struct Node {
    type_: Option<Type>,
    nullable: bool,
    properties: BTreeMap<String, Node>,
    additional: Additional,
    items: Option<Box<Node>>,
    default: Option<Value>,
    preserve_unknown: bool,
    embedded: bool,
    list: ListKind,
    limits: Limits,
    /// `allOf`, `anyOf`, `oneOf`, `not`: conditions on the value beyond its structure.
    junctors: Junctors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// What an object may hold beside its properties.
#[derive(Clone, Debug, Default)]
enum Additional {
    #[default]
    None,
    Any,
    Each(Box<Node>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum ListKind {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Conditions on one value.
#[derive(Clone, Debug, Default)]
struct Limits {
    required: Vec<String>,
    enumeration: Vec<Value>,
    pattern: Option<Regex>,
    format: Option<String>,
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    multiple_of: Option<f64>,
    length: (Option<u64>, Option<u64>),
    items: (Option<u64>, Option<u64>),
    properties: (Option<u64>, Option<u64>),
}

#[derive(Clone, Debug, Default)]
struct Junctors {
    all: Vec<Node>,
    any: Vec<Node>,
    one: Vec<Node>,
    not: Option<Box<Node>>,
}

impl Schema {
    /// Reads an `openAPIV3Schema`.
    ///
    /// # Errors
    /// The first thing that makes it no structural schema.
    pub fn parse(schema: &Value) -> Result<Self, SchemaError> {
        parse::node(schema, "").map(|root| Self { root })
    }

    /// Removes fields the schema does not know and names their paths. `apiVersion`, `kind` and `metadata` of the
    /// object itself stay.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Value::Object(map) = object {
            prune_object(&self.root, map, "", true, &mut unknown);
        }
        unknown
    }

    /// Fills defaults in. A `null` where the schema has a default and does not allow null counts as left out.
    pub fn default(&self, object: &mut Value) {
        default_node(&self.root, object);
    }
}

const HEAD: [&str; 3] = ["apiVersion", "kind", "metadata"];

fn prune_object(node: &Node, map: &mut Map<String, Value>, path: &str, is_root: bool, unknown: &mut Vec<String>) {
    let keeps_head = is_root || node.embedded;
    let names: Vec<String> = map.keys().cloned().collect();
    for name in names {
        if keeps_head && HEAD.contains(&name.as_str()) {
            continue;
        }
        let below = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match (node.properties.get(&name), &node.additional) {
            (Some(child), _) => prune_value(child, &mut map[&name], &below, unknown),
            (None, Additional::Each(child)) => prune_value(child, &mut map[&name], &below, unknown),
            (None, Additional::Any) => {}
            (None, Additional::None) if node.preserve_unknown => {}
            (None, Additional::None) => {
                map.remove(&name);
                unknown.push(below);
            }
        }
    }
}

fn prune_value(node: &Node, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => prune_object(node, map, path, false, unknown),
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for (index, item) in list.iter_mut().enumerate() {
                prune_value(items, item, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

fn default_node(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, child) in &node.properties {
                let Some(default) = &child.default else { continue };
                let absent = match map.get(name) {
                    None => true,
                    Some(Value::Null) => !child.nullable,
                    Some(_) => false,
                };
                if absent {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, inner) in map.iter_mut() {
                match (node.properties.get(name), &node.additional) {
                    (Some(child), _) => default_node(child, inner),
                    (None, Additional::Each(child)) => default_node(child, inner),
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                list.iter_mut().for_each(|item| default_node(items, item));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
