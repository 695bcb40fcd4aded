//! Structural schemas: what a kind's objects may hold. Parsed once from OpenAPI, then four walks over an object:
//! [`Schema::prune`] drops what the schema does not know, [`Schema::default`] fills in what is left out,
//! [`Schema::validate`] and [`Schema::validate_update`] say everything that does not fit, and [`Schema::visit_ruled`]
//! goes past every value that has rules of its own (`x-kubernetes-validations`), which are evaluated elsewhere.
//!
//! The same for our kinds and a third party's. The rules are those of upstream's apiextensions server, and so are the
//! texts, since people search the web for them. The `metadata` of the object itself is the registry's; that of an
//! object inside it (`x-kubernetes-embedded-resource`) is looked at here.

mod default;
mod embedded;
mod format;
mod junctor;
mod number;
mod parse;
mod pattern;
mod prune;
mod rules;
mod trail;
mod unique;
mod validate;

use std::collections::BTreeMap;

use breakbulk_schemas::field::FieldError;
use regex::Regex;
use serde_json::Value;

pub use parse::{MAX_DEPTH, SchemaError};
pub use rules::{Rule, Ruled, RuledValue};
pub use trail::Trail;

pub(crate) use format::{is_known as is_known_format, is_request_uri};
pub(crate) use pattern::check as check_pattern;
pub(crate) use validate::shown;

use self::format::Format;
use self::rules::RuledNode;

/// The schema of a kind.
#[derive(Clone, Debug)]
pub struct Schema {
    root: Node,
    /// How many nodes have rules.
    ruled: usize,
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
    /// Whether any property has a default: most have none, and then nobody looks.
    fills: bool,
    preserve_unknown: bool,
    embedded: bool,
    list: ListKind,
    limits: Limits,
    /// `allOf`, `anyOf`, `oneOf`, `not`: conditions on the value beyond its structure.
    junctors: Option<Box<Junctors>>,
    rules: Option<Box<RuledNode>>,
    within: Within,
}

/// What is found at a node or below it, so that a walk can leave a whole branch out.
#[derive(Clone, Copy, Debug, Default)]
struct Within {
    /// Lists whose entries are unique.
    lists: bool,
    /// Embedded resources.
    embedded: bool,
    /// Rules.
    rules: bool,
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
    /// Not said: unknown fields are pruned.
    #[default]
    None,
    /// `false`: unknown fields are an error.
    Forbidden,
    /// `true`: any field, with nothing known of what is below it.
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
    pattern: Option<Pattern>,
    format: Option<Format>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<f64>,
    length: Span,
    items: Span,
    properties: Span,
    unique_items: bool,
}

/// A pattern as written, and compiled.
#[derive(Clone, Debug)]
struct Pattern {
    written: String,
    regex: Regex,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    at: f64,
    exclusive: bool,
}

/// How many of something there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    min: Option<u64>,
    max: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Junctors {
    all: Vec<Node>,
    any: Vec<Node>,
    one: Vec<Node>,
    not: Option<Node>,
}

/// The fields that say what an object is.
const HEAD: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Schema {
    /// Reads an `openAPIV3Schema`.
    ///
    /// # Errors
    /// The first thing that cannot be read: a type nobody knows, a pattern that is none, too deep a nesting.
    pub fn parse(schema: &Value) -> Result<Self, SchemaError> {
        let mut root = parse::root(schema)?;
        let ruled = rules::number(&mut root);
        Ok(Self { root, ruled })
    }

    /// Whether the heads of the resources inside an object can be read: `apiVersion`, `kind` and `metadata` of the right
    /// types. What is wrong with them beyond that, [`Schema::validate`] tells.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn heads(&self, object: &Value) -> Result<(), FieldError> {
        embedded::misread(&self.root, object, &Trail::Root).map_or(Ok(()), Err)
    }
}

impl Node {
    /// The node that a field of an object here follows, if any.
    fn child(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Additional::Each(each) => Some(each),
            _ => None,
        })
    }

    /// The node and the trail of a field.
    fn step<'a>(&'a self, name: &'a str, trail: &'a Trail<'a>) -> Option<(&'a Self, Trail<'a>)> {
        match (self.properties.get(name), &self.additional) {
            (Some(child), _) => Some((child, Trail::Field(trail, name))),
            (None, Additional::Each(each)) => Some((each, Trail::Key(trail, name))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
