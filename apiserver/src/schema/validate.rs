//! Everything that does not fit, each with its path and in upstream's words (`kube-openapi/pkg/validation/validate`).
//!
//! On an update what has not changed is let pass although it does not fit (ratcheting): a value is compared with the
//! old one that it can be told to come from, by field, by map key, or by the keys of a list of type map.

use std::borrow::Cow;

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Map, Value};

use super::format::FormatRule;
use super::number::is_whole;
use super::trail::Trail;
use super::unique::Earlier;
use super::{Additional, Limits, Node, Schema, Type, embedded, unique};

/// The most mistakes reported of one object: hostile input may hold a million.
pub(super) const MAX_ERRORS: usize = 100;

impl Schema {
    /// Every mistake in a new object.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = self.fit(object, None, None);
        if self.root.within.embedded {
            errors.extend(embedded::validate(&self.root, object));
        }
        if self.root.within.lists {
            errors.extend(unique::validate(&self.root, object));
        }
        errors.truncate(MAX_ERRORS);
        errors
    }

    /// Every mistake that an update brings: what did not fit before and is unchanged is let pass.
    pub fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.fit(new, Some(old), None);
        if self.root.within.embedded {
            let mut found = embedded::validate(&self.root, new);
            if !found.is_empty() {
                let before = embedded::validate(&self.root, old);
                found.retain(|error| !before.contains(error));
            }
            errors.extend(found);
        }
        if self.root.within.lists {
            let found = unique::validate(&self.root, new);
            if !found.is_empty() && unique::validate(&self.root, old).is_empty() {
                errors.extend(found);
            }
        }
        errors.truncate(MAX_ERRORS);
        errors
    }

    /// Every mistake that an update of the status brings: of the object only its `status` is looked at.
    pub fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let (Some(node), Some(status)) = (self.root.properties.get("status"), new.get("status")) else {
            return Vec::new();
        };
        let path = Path::root("status");
        let mut walk = Walk::below(Some(&path));
        walk.node(node, status, old.get("status"), &Trail::Root);
        walk.errors
    }

    /// Every mistake in a value that stands at `base`, uniqueness aside.
    pub(crate) fn fit_at(&self, value: &Value, base: &Path) -> Vec<FieldError> {
        let mut errors = embedded::validate(&self.root, value);
        for error in &mut errors {
            error.path = Path::root(&format!("{base}.{}", error.path));
        }
        if errors.is_empty() {
            errors = self.fit(value, None, Some(base));
        }
        errors
    }

    /// The mistakes against the schema proper, as if the value stood at `base`.
    fn fit(&self, value: &Value, old: Option<&Value>, base: Option<&Path>) -> Vec<FieldError> {
        let mut walk = Walk::below(base);
        walk.node(&self.root, value, old, &Trail::Root);
        walk.errors
    }
}

/// A walk over a value, and what it found.
pub(super) struct Walk<'a> {
    /// Where the value stands that the walk began at.
    base: Option<&'a Path>,
    pub(super) errors: Vec<FieldError>,
    /// How many values were looked at: of alternatives, the one that got furthest tells what is wrong.
    pub(super) checked: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn below(base: Option<&'a Path>) -> Self {
        Self {
            base,
            errors: Vec::new(),
            checked: 0,
        }
    }

    /// A walk over the same value that reports to nobody yet.
    pub(super) fn aside(&self) -> Self {
        Self::below(self.base)
    }

    pub(super) fn push(&mut self, error: FieldError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn path(&self, dotted: &str) -> Path {
        match (self.base, dotted) {
            (None, "") => Path::root("<nil>"),
            (None, dotted) => Path::root(dotted),
            (Some(base), "") => base.clone(),
            (Some(base), dotted) => Path::root(&format!("{base}.{dotted}")),
        }
    }

    fn report(&mut self, trail: &Trail<'_>, kind: ErrorKind, value: Option<String>, detail: impl Into<String>) {
        let path = self.path(&trail.dotted());
        let detail = detail.into();
        self.push(FieldError {
            path,
            kind,
            value,
            detail,
        });
    }

    /// A value that is not as expected: `spec.n in body should be ...`.
    pub(super) fn invalid(&mut self, trail: &Trail<'_>, value: &Value, expected: &str) {
        let detail = format!("{} in body {expected}", trail.dotted());
        self.report(trail, ErrorKind::Invalid, Some(shown(value)), detail);
    }

    /// A mistake that upstream tells without a path of its own.
    pub(super) fn composite(&mut self, detail: String) {
        let path = self.path("");
        let error = FieldError::new(path, ErrorKind::Invalid, detail);
        self.push(FieldError {
            value: Some("\"\"".to_owned()),
            ..error
        });
    }

    fn wrong_type(&mut self, trail: &Trail<'_>, wanted: &str, found: &str) {
        let detail = format!("{} in body must be of type {wanted}: {found:?}", trail.dotted());
        self.report(trail, ErrorKind::TypeInvalid, Some(format!("{found:?}")), detail);
    }

    fn too_many(&mut self, trail: &Trail<'_>, count: u64, max: u64) {
        let items = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {items}");
        self.report(trail, ErrorKind::TooMany, Some(count.to_string()), detail);
    }

    /// Everything wrong with a value and what is below it, unless it is what it was.
    pub(super) fn node(&mut self, node: &Node, value: &Value, old: Option<&Value>, trail: &Trail<'_>) {
        let before = self.errors.len();
        if before >= MAX_ERRORS {
            return;
        }
        self.checked += 1;
        self.type_(node, value, trail);
        if let Some(junctors) = &node.junctors
            && !value.is_null()
        {
            self.junctors(junctors, value, old, trail);
        }
        match value {
            Value::Object(map) => self.object(node, map, old.and_then(Value::as_object), trail),
            Value::Array(list) => self.array(node, list, old.and_then(Value::as_array).map(Vec::as_slice), trail),
            Value::String(text) => self.string(&node.limits, text, value, trail),
            Value::Number(number) => self.number(node, number, value, trail),
            Value::Bool(_) | Value::Null => {}
        }
        self.enumeration(node, value, trail);
        if self.errors.len() > before && old == Some(value) {
            self.errors.truncate(before);
        }
    }

    fn type_(&mut self, node: &Node, value: &Value, trail: &Trail<'_>) {
        let Some(type_) = node.type_ else { return };
        if type_.fits(value) || (value.is_null() && node.nullable) {
            return;
        }
        // With a format upstream says the format in place of the type, and the machine type in place of what it found.
        match &node.limits.format {
            Some(format) if !value.is_string() && !value.is_array() && !value.is_null() => {
                let found = match value {
                    Value::Number(number) if number.is_f64() => "float64",
                    Value::Number(_) => "int64",
                    _ => "",
                };
                self.wrong_type(trail, &format.name, found);
            }
            _ => self.wrong_type(trail, type_.name(), kind_of(value)),
        }
    }

    fn object(&mut self, node: &Node, map: &Map<String, Value>, old: Option<&Map<String, Value>>, trail: &Trail<'_>) {
        let (span, count) = (node.limits.properties, map.len() as u64);
        if let Some(min) = span.min.filter(|min| count < *min) {
            self.invalid(
                trail,
                &Value::from(count),
                &format!("should have at least {min} properties"),
            );
        }
        if let Some(max) = span.max.filter(|max| count > *max) {
            self.too_many(trail, count, max);
        }
        for (name, value) in map {
            let old = || old.and_then(|old| old.get(name));
            if let Some(child) = node.properties.get(name) {
                self.node(child, value, old(), &Trail::Field(trail, name));
            } else {
                match &node.additional {
                    Additional::Each(each) => self.node(each, value, old(), &Trail::Key(trail, name)),
                    Additional::Forbidden => {
                        let path = Trail::Field(trail, name).dotted();
                        let detail = format!("{path} in body is a forbidden property");
                        self.report(
                            trail,
                            ErrorKind::Invalid,
                            Some(shown(&Value::from(name.as_str()))),
                            detail,
                        );
                    }
                    Additional::None | Additional::Any => {}
                }
            }
        }
        for name in node.limits.required.iter().filter(|name| !map.contains_key(*name)) {
            self.report(&Trail::Field(trail, name), ErrorKind::Required, None, "");
        }
    }

    fn array(&mut self, node: &Node, list: &[Value], old: Option<&[Value]>, trail: &Trail<'_>) {
        if let Some(items) = &node.items {
            let mut earlier = Earlier::of(&node.list, old);
            for (index, item) in list.iter().enumerate() {
                let before = earlier.counterpart(index, item);
                self.node(items, item, before, &Trail::Index(trail, index));
                if self.errors.len() >= MAX_ERRORS {
                    break;
                }
            }
        }
        let (span, count) = (node.limits.items, list.len() as u64);
        if let Some(min) = span.min.filter(|min| count < *min) {
            self.invalid(trail, &Value::from(count), &format!("should have at least {min} items"));
        }
        if let Some(max) = span.max.filter(|max| count > *max) {
            self.too_many(trail, count, max);
        }
        if node.limits.unique_items && unique::has_repeated(list) {
            let detail = format!("{} in body shouldn't contain duplicates", trail.dotted());
            self.report(trail, ErrorKind::Invalid, Some("\"\"".to_owned()), detail);
        }
    }

    /// Of length and pattern the first that does not fit, and then the format.
    fn string(&mut self, limits: &Limits, text: &str, value: &Value, trail: &Trail<'_>) {
        let span = limits.length;
        let chars = if span.min.is_some() || span.max.is_some() {
            text.chars().count() as u64
        } else {
            0
        };
        if let Some(max) = span.max.filter(|max| chars > *max) {
            let bytes = if max == 1 { "byte" } else { "bytes" };
            let detail = format!("may not be more than {max} {bytes}");
            self.report(trail, ErrorKind::TooLong, None, detail);
        } else if let Some(min) = span.min.filter(|min| chars < *min) {
            self.invalid(trail, value, &format!("should be at least {min} chars long"));
        } else if let Some(pattern) = &limits.pattern
            && !pattern.regex.is_match(text)
        {
            self.invalid(trail, value, &format!("should match '{}'", pattern.written));
        }
        if let Some(format) = &limits.format
            && let FormatRule::Text(rule) = format.rule
            && !rule.fits(text)
        {
            let shown = shown(value);
            let detail = format!("{} in body must be of type {}: {shown}", trail.dotted(), format.name);
            self.report(trail, ErrorKind::TypeInvalid, Some(shown), detail);
        }
    }

    fn enumeration(&mut self, node: &Node, value: &Value, trail: &Trail<'_>) {
        let allowed = &node.limits.enumeration;
        if allowed.is_empty() || allowed.iter().any(|allowed| is_same(allowed, value)) {
            return;
        }
        let quoted = allowed.iter().map(|value| match value {
            Value::String(_) => value.to_string(),
            other => format!("{:?}", other.to_string()),
        });
        let detail = format!("supported values: {}", quoted.collect::<Vec<_>>().join(", "));
        self.report(trail, ErrorKind::NotSupported, Some(shown(value)), detail);
    }
}

/// Equality that does not mind whether a number is written with a fraction of nothing.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

impl Type {
    fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Object, Value::Object(_))
            | (Self::Array, Value::Array(_))
            | (Self::String | Self::IntOrString, Value::String(_))
            | (Self::Number, Value::Number(_))
            | (Self::Boolean, Value::Bool(_)) => true,
            (Self::Integer | Self::IntOrString, Value::Number(number)) => is_whole(number),
            _ => false,
        }
    }

    pub(super) const fn name(self) -> &'static str {
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

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as a message quotes it, shortened.
pub(crate) fn shown(value: &Value) -> String {
    const CHARS: usize = 120;
    let text = match value {
        // No need to write a long text out to cut it.
        Value::String(text) if text.len() > CHARS * 4 => {
            Cow::Owned(Value::from(text.chars().take(CHARS).collect::<String>()))
        }
        value => Cow::Borrowed(value),
    };
    let text = text.to_string();
    if text.chars().count() <= CHARS {
        return text;
    }
    let mut short: String = text.chars().take(CHARS).collect();
    short.push('…');
    short
}
