//! What the checks of a definition share: a list of mistakes, and a schema as JSON with its few shapes of fields.

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Map, Value};

use crate::schema::shown;

/// Mistakes as they are found.
#[derive(Default)]
pub(super) struct Mistakes(pub(super) Vec<FieldError>);

impl Mistakes {
    pub(super) fn required(&mut self, path: Path, detail: impl Into<String>) {
        self.0.push(FieldError::new(path, ErrorKind::Required, detail));
    }

    pub(super) fn forbidden(&mut self, path: Path, detail: impl Into<String>) {
        self.0.push(FieldError::new(path, ErrorKind::Forbidden, detail));
    }

    pub(super) fn invalid(&mut self, path: Path, value: impl Into<Value>, detail: impl Into<String>) {
        self.with_value(path, ErrorKind::Invalid, &value.into(), detail);
    }

    pub(super) fn duplicate(&mut self, path: Path, value: &str) {
        self.with_value(path, ErrorKind::Duplicate, &Value::from(value), "");
    }

    pub(super) fn not_supported(&mut self, path: Path, value: &str, supported: &[&str]) {
        let quoted: Vec<String> = supported.iter().map(|one| format!("{one:?}")).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        self.with_value(path, ErrorKind::NotSupported, &Value::from(value), detail);
    }

    pub(super) fn with_value(&mut self, path: Path, kind: ErrorKind, value: &Value, detail: impl Into<String>) {
        self.0.push(FieldError {
            value: Some(shown(value)),
            ..FieldError::new(path, kind, detail)
        });
    }

    /// Complains unless there are no problems, which are then told together.
    pub(super) fn unless_fine(&mut self, path: impl FnOnce() -> Path, value: &str, problems: &[String]) {
        if !problems.is_empty() {
            self.invalid(path(), value, problems.join(","));
        }
    }
}

/// Below a path, whatever the name looks like: `spec.x-kubernetes-y`, `spec.$ref`.
pub(super) fn child(path: &Path, name: &str) -> Path {
    Path::root(&format!("{path}.{name}"))
}

/// Below a path, a key of a map: `properties[spec]`.
pub(super) fn key(path: &Path, name: &str) -> Path {
    Path::root(&format!("{path}[{name}]"))
}

/// A schema as its author wrote it, having passed through the type of schemas. What is empty counts as not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a>(pub(super) &'a Value);

impl<'a> Written<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> &'a str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn flag(self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn count(self, name: &str) -> Option<u64> {
        self.get(name).and_then(Value::as_u64)
    }

    pub(super) fn type_(self) -> &'a str {
        self.text("type")
    }

    pub(super) fn texts(self, name: &str) -> Vec<&'a str> {
        let list = self.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    }

    /// A single schema below: `items`, `not`, `additionalProperties`.
    pub(super) fn schema(self, name: &str) -> Option<Self> {
        self.get(name).filter(|value| value.is_object()).map(Self)
    }

    /// Schemas in a list: `anyOf`.
    pub(super) fn schemas(self, name: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.get(name).and_then(Value::as_array).into_iter().flatten().map(Self)
    }

    fn map(self, name: &str) -> Option<&'a Map<String, Value>> {
        self.get(name).and_then(Value::as_object)
    }

    /// Schemas by name: `properties`.
    pub(super) fn named(self, name: &str) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        self.map(name)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.as_str(), Self(schema)))
    }

    pub(super) fn property(self, name: &str) -> Option<Self> {
        self.map("properties").and_then(|map| map.get(name)).map(Self)
    }

    /// Whether a field is set to more than nothing.
    pub(super) fn has(self, name: &str) -> bool {
        match self.get(name) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        }
    }

    /// Every schema below this one, itself first.
    pub(super) fn all(self, visit: &mut dyn FnMut(Self)) {
        visit(self);
        for name in ["items", "not", "additionalProperties"] {
            if let Some(inner) = self.schema(name) {
                inner.all(visit);
            }
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            self.schemas(name).for_each(|inner| inner.all(visit));
        }
        self.named("properties").for_each(|(_, inner)| inner.all(visit));
    }

    /// Whether schemas are nested no deeper than this.
    pub(super) fn is_within(self, depth: usize) -> bool {
        let Some(below) = depth.checked_sub(1) else {
            return false;
        };
        match self.0 {
            Value::Object(map) => map.values().all(|inner| Written(inner).is_within(below)),
            Value::Array(list) => list.iter().all(|inner| Written(inner).is_within(below)),
            _ => true,
        }
    }
}
