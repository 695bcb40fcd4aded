//! Maps and objects: of bound objects, or made by an expression.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use crate::declared::{Declared, Shape};
use crate::errors::EvalError;
use crate::value::{Text, Value, json};

/// A map.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// A JSON object and what its values are.
    #[non_exhaustive]
    Json {
        /// The object.
        entries: &'a JsonMap<String, Json>,
        /// What each value is.
        of: &'a Declared,
    },
    /// Made by an expression.
    Owned(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

/// A map's key. Numbers of both kinds are the same key when they are equal.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// Text.
    String(Text<'a>),
}

impl Key<'_> {
    fn number(&self) -> Option<i128> {
        match self {
            Key::Int(value) => Some(i128::from(*value)),
            Key::Uint(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Int(_) | Key::Uint(_) => 1,
            Key::String(_) => 2,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            (Key::String(a), Key::String(b)) => (**a).cmp(&**b),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}

impl<'a> Key<'a> {
    /// A value as a key; `None` when it cannot be one.
    pub(crate) fn of(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Int(*value),
            Value::Uint(value) => Key::Uint(*value),
            Value::String(text) => Key::String(text.clone()),
            Value::Double(value) => Key::Int(whole(*value)?),
            _ => return None,
        })
    }

    pub(crate) fn value(&self) -> Value<'a> {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::String(text) => Value::String(text.clone()),
        }
    }
}

/// The whole number that a floating point number is exactly.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only numbers in range and without a fraction come to the cast"
)]
pub(crate) fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

impl<'a> Map<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Map::Json { entries, .. } => entries.len(),
            Map::Owned(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under `key`.
    pub fn get(&self, key: &Key<'_>) -> Option<Result<Value<'a>, EvalError>> {
        match self {
            Map::Json { entries, of } => match key {
                Key::String(name) => entries.get(&**name).map(|value| json::read(value, of)),
                _ => None,
            },
            Map::Owned(entries) => entries.get(key).map(|value| Ok(value.clone())),
        }
    }

    /// The value under a text.
    pub(crate) fn field(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        match self {
            Map::Json { entries, of } => entries.get(name).map(|value| json::read(value, of)),
            Map::Owned(_) => self.get(&Key::String(Text::Borrowed(name))),
        }
    }

    /// All keys.
    pub(crate) fn keys(&self) -> Box<dyn Iterator<Item = Key<'a>> + '_> {
        match self {
            Map::Json { entries, .. } => Box::new(entries.keys().map(|name| Key::String(Text::Borrowed(name)))),
            Map::Owned(entries) => Box::new(entries.keys().cloned()),
        }
    }

    /// All entries.
    pub(crate) fn entries(&self) -> Box<dyn Iterator<Item = Result<(Key<'a>, Value<'a>), EvalError>> + '_> {
        match self {
            Map::Json { entries, of } => Box::new(entries.iter().map(|(name, value)| {
                let key = Key::String(Text::Borrowed(name));
                Ok((key, json::read(value, of)?))
            })),
            Map::Owned(entries) => Box::new(entries.iter().map(|(key, value)| Ok((key.clone(), value.clone())))),
        }
    }
}

/// An object with a schema: only the fields that the schema names can be seen.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    pub(crate) properties: &'a JsonMap<String, Json>,
    pub(crate) declared: &'a Declared,
}

impl<'a> Object<'a> {
    /// The value of a field, by the name that expressions use; `None` when it is not set.
    pub fn get(&self, field: &str) -> Option<Result<Value<'a>, EvalError>> {
        let Shape::Object { fields } = &self.declared.shape else {
            return None;
        };
        let field = fields.get(field)?;
        let value = self.properties.get(&field.property)?;
        Some(json::read(value, &field.declared))
    }

    pub(crate) fn len(&self) -> usize {
        self.properties.len()
    }
}
