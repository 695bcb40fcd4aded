//! Everything that does not fit, each with its path.

use std::collections::HashSet;

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Map, Value};

use super::{Additional, HEAD, Limits, ListKind, Node, Schema, Type, format};

/// The most mistakes reported of one object: hostile input may hold a million.
const MAX_ERRORS: usize = 100;

impl Schema {
    /// Every mistake in `object`, in the order of the document.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut walk = Walk { errors: Vec::new() };
        walk.node(&self.root, object, None);
        walk.errors
    }
}

struct Walk {
    errors: Vec<FieldError>,
}

/// The path of a member; the object itself has none.
fn at(path: Option<&Path>, name: &str) -> Path {
    path.map_or_else(|| Path::root(name), |path| path.child(name))
}

fn here(path: Option<&Path>) -> Path {
    path.cloned().unwrap_or_else(|| Path::root("<root>"))
}

impl Walk {
    fn push(&mut self, error: FieldError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn invalid(&mut self, path: Option<&Path>, value: &Value, expected: &str) {
        let path = here(path);
        let detail = format!("{path} in body {expected}");
        self.push(FieldError {
            value: Some(shown(value)),
            ..FieldError::new(path, ErrorKind::Invalid, detail)
        });
    }

    fn node(&mut self, node: &Node, value: &Value, path: Option<&Path>) {
        if self.errors.len() >= MAX_ERRORS || (value.is_null() && node.nullable) {
            return;
        }
        if let Some(type_) = node.type_
            && !type_.fits(value)
        {
            let detail = format!(
                "{} in body must be of type {}: {:?}",
                here(path),
                type_.name(),
                kind_of(value)
            );
            let error = FieldError::new(here(path), ErrorKind::TypeInvalid, detail);
            self.push(FieldError {
                value: Some(format!("{:?}", kind_of(value))),
                ..error
            });
            return;
        }
        self.enumeration(&node.limits, value, path);
        match value {
            Value::Object(map) => self.object(node, map, path),
            Value::Array(list) => self.array(node, list, path),
            Value::String(text) => self.string(&node.limits, text, value, path),
            Value::Number(_) => self.number(&node.limits, value, path),
            Value::Bool(_) | Value::Null => {}
        }
        self.junctors(node, value, path);
    }

    fn object(&mut self, node: &Node, map: &Map<String, Value>, path: Option<&Path>) {
        for name in node.limits.required.iter().filter(|name| !map.contains_key(*name)) {
            self.push(FieldError::new(at(path, name), ErrorKind::Required, ""));
        }
        let (min, max) = node.limits.properties;
        let count = map.len() as u64;
        if min.is_some_and(|min| count < min) {
            let expected = format!("should have at least {} properties", min.unwrap_or_default());
            self.invalid(path, &Value::Object(map.clone()), &expected);
        }
        if let Some(max) = max.filter(|max| count > *max) {
            self.too_many(path, count, max);
        }
        for (name, value) in map {
            if path.is_none() && HEAD.contains(&name.as_str()) {
                continue;
            }
            let child = match (node.properties.get(name), &node.additional) {
                (Some(child), _) => child,
                (None, Additional::Each(child)) => child,
                _ => continue,
            };
            let optional_null = value.is_null() && !child.nullable && !node.limits.required.contains(name);
            if !optional_null {
                self.node(child, value, Some(&at(path, name)));
            }
        }
    }

    fn array(&mut self, node: &Node, list: &[Value], path: Option<&Path>) {
        let (min, max) = node.limits.items;
        let count = list.len() as u64;
        if let Some(min) = min.filter(|min| count < *min) {
            self.invalid(
                path,
                &Value::Array(list.to_vec()),
                &format!("should have at least {min} items"),
            );
        }
        if let Some(max) = max.filter(|max| count > *max) {
            self.too_many(path, count, max);
        }
        if let Some(items) = &node.items {
            for (index, item) in list.iter().enumerate() {
                self.node(items, item, Some(&here(path).index(index)));
            }
        }
        self.unique(&node.list, list, path);
    }

    fn unique(&mut self, kind: &ListKind, list: &[Value], path: Option<&Path>) {
        let identity = |item: &Value| match kind {
            ListKind::Atomic => None,
            ListKind::Set => Some(item.to_string()),
            ListKind::Map(keys) => {
                let id: Map<String, Value> = keys
                    .iter()
                    .filter_map(|key| item.get(key).map(|v| (key.clone(), v.clone())))
                    .collect();
                Some(Value::Object(id).to_string())
            }
        };
        let mut seen = HashSet::new();
        for (index, item) in list.iter().enumerate() {
            let Some(id) = identity(item) else { return };
            if !seen.insert(id.clone()) {
                let error = FieldError::new(here(path).index(index), ErrorKind::Duplicate, "");
                self.push(FieldError {
                    value: Some(id),
                    ..error
                });
            }
        }
    }

    fn too_many(&mut self, path: Option<&Path>, count: u64, max: u64) {
        let error = FieldError::new(here(path), ErrorKind::TooMany, format!("must have at most {max} items"));
        self.push(FieldError {
            value: Some(count.to_string()),
            ..error
        });
    }

    fn enumeration(&mut self, limits: &Limits, value: &Value, path: Option<&Path>) {
        if limits.enumeration.is_empty() || limits.enumeration.contains(value) {
            return;
        }
        let allowed: Vec<_> = limits.enumeration.iter().map(shown).collect();
        let detail = format!("supported values: {}", allowed.join(", "));
        let error = FieldError::new(here(path), ErrorKind::NotSupported, detail);
        self.push(FieldError {
            value: Some(shown(value)),
            ..error
        });
    }

    fn string(&mut self, limits: &Limits, text: &str, value: &Value, path: Option<&Path>) {
        let (min, max) = limits.length;
        let chars = text.chars().count() as u64;
        if let Some(min) = min.filter(|min| chars < *min) {
            self.invalid(path, value, &format!("should be at least {min} chars long"));
        }
        if let Some(max) = max.filter(|max| chars > *max) {
            let detail = format!("may not be more than {max} bytes");
            self.push(FieldError::new(here(path), ErrorKind::TooLong, detail));
        }
        if let Some(pattern) = &limits.pattern
            && !pattern.is_match(text)
        {
            self.invalid(path, value, &format!("should match '{pattern}'"));
        }
        if let Some(name) = &limits.format
            && !format::fits(name, text)
        {
            self.invalid(path, value, &format!("must be of type {name}: {}", shown(value)));
        }
    }

    fn number(&mut self, limits: &Limits, value: &Value, path: Option<&Path>) {
        let number = value.as_f64().unwrap_or_default();
        if let Some((min, exclusive)) = limits.minimum
            && (number < min || (exclusive && number <= min))
        {
            let or_equal = if exclusive { "" } else { " or equal to" };
            self.invalid(path, value, &format!("should be greater than{or_equal} {min}"));
        }
        if let Some((max, exclusive)) = limits.maximum
            && (number > max || (exclusive && number >= max))
        {
            let or_equal = if exclusive { "" } else { " or equal to" };
            self.invalid(path, value, &format!("should be less than{or_equal} {max}"));
        }
        if let Some(step) = limits.multiple_of
            && step > 0.0
            && (number / step).fract() != 0.0
        {
            self.invalid(path, value, &format!("should be a multiple of {step}"));
        }
        if let (Some(name), Some(integer)) = (&limits.format, value.as_i64())
            && !format::integer_fits(name, integer)
        {
            self.invalid(path, value, &format!("must be of type {name}: {value}"));
        }
    }

    fn junctors(&mut self, node: &Node, value: &Value, path: Option<&Path>) {
        for inner in &node.junctors.all {
            self.node(inner, value, path);
        }
        let holds = |inner: &Node| {
            let mut walk = Walk { errors: Vec::new() };
            walk.node(inner, value, path);
            walk.errors.is_empty()
        };
        if !node.junctors.any.is_empty() && !node.junctors.any.iter().any(holds) {
            self.invalid(path, value, "must validate at least one schema (anyOf)");
        }
        if !node.junctors.one.is_empty() && node.junctors.one.iter().filter(|inner| holds(inner)).count() != 1 {
            self.invalid(path, value, "must validate one and only one schema (oneOf)");
        }
        if node.junctors.not.as_deref().is_some_and(holds) {
            self.invalid(path, value, "must not validate the schema (not)");
        }
    }
}

impl Type {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Integer => is_integer(value),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::IntOrString => value.is_string() || is_integer(value),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

/// Whole numbers, also those written with a fraction of nothing: `1.0`.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as a message quotes it, shortened.
fn shown(value: &Value) -> String {
    const CHARS: usize = 120;
    let text = value.to_string();
    if text.chars().count() <= CHARS {
        return text;
    }
    let mut short: String = text.chars().take(CHARS).collect();
    short.push('…');
    short
}
