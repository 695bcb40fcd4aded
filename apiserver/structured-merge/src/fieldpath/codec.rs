//! `FieldsV1`: a field set as the JSON object that `metadata.managedFields` carries.
//!
//! Each key is one element (`f:name`, `k:{"key":value}`, `v:value`, `i:3`), its value the set below it; `.` says that the
//! element itself is in the set, and so does an empty object. The text of keys is exactly upstream's.
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>
//!
//! Clients may write this form, so it is hostile: its depth is bounded here, its size by the request it came in. An
//! element of an unknown kind is skipped, as upstream does; anything else that cannot be read is an error.
//!
//! Most writes touch few managers, so a set is mostly looked at as it is ([`survey`], [`may_touch`]) and decoded only
//! when it takes part in the change.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{FieldSet, Node, PathElement};
use crate::schema::{MapRelation, TypeRef};
use crate::value::{self, Escape};

/// How long a path may be, in sets and in objects that are tracked. JSON readers stop at 128 levels, and in a stored object
/// the entry of a path lies some levels deeper than the field itself: what is written must be readable again.
pub(crate) const MAX_DEPTH: usize = 100;

/// Why a `FieldsV1` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A place where an object must stand holds something else.
    #[error("expect {{ or n, but found {0}")]
    NotAnObject(&'static str),
    /// A key is too short to be an element.
    #[error("key must be 2 characters long: {0:?}")]
    TooShort(String),
    /// A key has no colon at its second place.
    #[error("missing colon: {0}")]
    MissingColon(String),
    /// What follows the colon is not what the kind of element asks for.
    #[error("parsing key as path element: {0:?}")]
    Element(String),
    /// More levels than any object has.
    #[error("exceeded max depth")]
    TooDeep,
}

impl FieldSet {
    /// Reads a `FieldsV1`. `null` is the empty set.
    pub fn from_fields_v1(fields: &Value) -> Result<Self, FieldsError> {
        Ok(decode(fields, 0)?.0)
    }

    /// The `FieldsV1` of the set.
    pub fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        for node in &self.nodes {
            let mut below = node
                .below
                .as_ref()
                .map_or_else(|| Value::Object(Map::new()), |below| below.to_fields_v1());
            if let (true, Some(_), Value::Object(below)) = (node.member, &node.below, &mut below) {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(node.element.to_fields_v1_key(), below);
        }
        Value::Object(map)
    }
}

impl PathElement {
    /// The key of the element in `FieldsV1`.
    pub fn to_fields_v1_key(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let mut out = "k:{".to_owned();
                for (at, (name, field)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    value::push_json_string(&mut out, name, Escape::Plain);
                    out.push(':');
                    value::push_json(&mut out, field);
                }
                out.push('}');
                out
            }
            Self::Value(item) => {
                let mut out = "v:".to_owned();
                value::push_json(&mut out, item);
                out
            }
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads a key of `FieldsV1`; `None` for an element of a kind that is not known.
    pub fn from_fields_v1_key(key: &str) -> Result<Option<Self>, FieldsError> {
        let rest = match key.as_bytes() {
            [] | [_] => return Err(FieldsError::TooShort(key.to_owned())),
            [_, b':', ..] => &key[2..],
            _ => return Err(FieldsError::MissingColon(key.to_owned())),
        };
        let wrong = || FieldsError::Element(key.to_owned());
        match key.as_bytes()[0] {
            b'f' => Ok(Some(Self::field(rest))),
            b'v' => serde_json::from_str(rest)
                .map(|item| Some(Self::value(item)))
                .map_err(|_| wrong()),
            b'k' => match serde_json::from_str(rest).map_err(|_| wrong())? {
                Value::Null => Ok(Some(Self::key(Vec::new()))),
                Value::Object(fields) => {
                    let fields = fields.into_iter().map(|(name, value)| (Arc::from(name), value));
                    Ok(Some(Self::key(fields.collect())))
                }
                _ => Err(wrong()),
            },
            b'i' => rest.parse().map(|index| Some(Self::Index(index))).map_err(|_| wrong()),
            _ => Ok(None),
        }
    }
}

/// The set below a place, and whether the place itself is in the set.
fn decode(fields: &Value, depth: usize) -> Result<(FieldSet, bool), FieldsError> {
    let Some(map) = object(fields, depth)? else {
        return Ok((FieldSet::new(), true));
    };
    let mut nodes = Vec::with_capacity(map.len());
    let mut member = false;
    for (key, child) in map {
        if key == "." {
            member = true;
        } else if let Some(element) = PathElement::from_fields_v1_key(key)? {
            let (below, member) = decode(child, depth + 1)?;
            nodes.push(Node::new(element, member, below));
        }
    }
    let set = FieldSet::from_nodes(nodes);
    let member = member || set.is_empty();
    Ok((set, member))
}

fn object(fields: &Value, depth: usize) -> Result<Option<&Map<String, Value>>, FieldsError> {
    if depth > MAX_DEPTH {
        return Err(FieldsError::TooDeep);
    }
    match fields {
        Value::Object(map) => Ok(Some(map)),
        Value::Null => Ok(None),
        other => Err(FieldsError::NotAnObject(value::type_text(other))),
    }
}

/// What a look at an encoded set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survey {
    /// It can be read and fits the type.
    Fits,
    /// It can be read, and goes below a field that is now atomic.
    Outgrown,
}

impl Survey {
    fn and(self, other: Self) -> Self {
        if self == Self::Outgrown { self } else { other }
    }
}

/// Checks an encoded set without decoding it: whether it can be read, and whether the type still has its shape.
pub(crate) fn survey(fields: &Value, ty: Option<TypeRef<'_>>) -> Result<Survey, FieldsError> {
    survey_below(fields, ty, 0)
}

fn survey_below(fields: &Value, ty: Option<TypeRef<'_>>, depth: usize) -> Result<Survey, FieldsError> {
    let Some(map) = object(fields, depth)? else {
        return Ok(Survey::Fits);
    };
    let holds_more = map.keys().any(|key| key != ".");
    let mut found = match ty {
        Some(ty) if depth > 0 && holds_more && is_atomic(ty) => Survey::Outgrown,
        _ => Survey::Fits,
    };
    for (key, child) in map {
        if key == "." {
            continue;
        }
        let ty = match key.strip_prefix("f:") {
            Some(name) => ty.and_then(|ty| ty.field(name)),
            None => {
                PathElement::from_fields_v1_key(key)?;
                ty.and_then(TypeRef::item)
            }
        };
        found = found.and(survey_below(child, ty, depth + 1)?);
    }
    Ok(found)
}

fn is_atomic(ty: TypeRef<'_>) -> bool {
    let parts = ty.parts();
    match (parts.map, parts.scalar, parts.list) {
        (Some(map), _, _) => map.relation == MapRelation::Atomic,
        (None, None, Some(list)) => list.is_atomic(),
        _ => false,
    }
}

/// Whether an encoded set may have a path in common with a set. Says yes when in doubt: keys of items can be written in
/// more than one way.
pub(crate) fn may_touch(fields: &Value, set: &FieldSet) -> bool {
    let Value::Object(map) = fields else { return false };
    let mut key = String::new();
    set.nodes.iter().any(|node| {
        write_key(&mut key, &node.element);
        match map.get(&key) {
            Some(child) => node.member || node.below.as_ref().is_some_and(|below| may_touch(child, below)),
            None if matches!(node.element, PathElement::Field(_)) => false,
            None => map.keys().any(|key| key != "." && !key.starts_with("f:")),
        }
    })
}

/// Whether an encoded set has all paths of a set. Says no when in doubt.
pub(crate) fn has_all(fields: &Value, set: &FieldSet) -> bool {
    let Value::Object(map) = fields else { return false };
    let mut key = String::new();
    set.nodes.iter().all(|node| {
        write_key(&mut key, &node.element);
        let Some(Value::Object(child)) = map.get(&key) else {
            return false;
        };
        let member = child.is_empty() || child.contains_key(".");
        (member || !node.member) && node.below.as_ref().is_none_or(|below| has_all(&map[&key], below))
    })
}

fn write_key(key: &mut String, element: &PathElement) {
    key.clear();
    match element {
        PathElement::Field(name) => {
            key.push_str("f:");
            key.push_str(name);
        }
        other => key.push_str(&other.to_fields_v1_key()),
    }
}
