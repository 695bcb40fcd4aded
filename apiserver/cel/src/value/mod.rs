//! Values: JSON seen through its schema without a copy ([`json`]), and what expressions make. How they are compared is in
//! [`compare`].

pub(crate) mod compare;
mod json;
mod list;
mod map;
mod moment;
pub(crate) mod render;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::declared::Declared;
use crate::errors::EvalError;
use crate::library::authorizer::Authorization;
use crate::library::net::Cidr;
use crate::library::quantity::Quantity;
use crate::library::url::Url;
use crate::types::{Opaque, Type};

pub use list::List;
pub use map::{Key, Map, Object};
pub use moment::Moment;

/// A value; what it borrows lives for `'a`: the objects that were bound. Cloning is cheap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A moment.
    Timestamp(Moment),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// A list.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
    /// An object with a schema.
    Object(Object<'a>),
    /// A value or none.
    Optional(Option<Arc<Value<'a>>>),
    /// The name of a type.
    Type(Arc<str>),
    /// A value of one of Kubernetes' libraries.
    Opaque(OpaqueValue<'a>),
    /// The variables that the bindings compute when they are asked for.
    Variables,
}

/// Text, borrowed from a bound object or made by an expression.
#[derive(Clone)]
pub enum Text<'a> {
    /// From a bound object.
    Borrowed(&'a str),
    /// Made.
    Shared(Arc<str>),
}

/// A value of one of Kubernetes' libraries.
#[derive(Clone, Debug)]
pub struct OpaqueValue<'a>(pub(crate) Library<'a>);

#[derive(Clone, Debug)]
pub(crate) enum Library<'a> {
    Quantity(Quantity),
    Url(Arc<Url>),
    Ip(std::net::IpAddr),
    Cidr(Cidr),
    Semver(Arc<semver::Version>),
    Format(&'static crate::library::named_format::Format),
    Authorization(Arc<Authorization<'a>>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<'a> Value<'a> {
    /// JSON as `declared` says, read when it is looked at.
    pub fn from_json(json: &'a Json, declared: &'a Declared) -> Result<Self, EvalError> {
        json::read(json, declared)
    }

    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Value::String(Text::Shared(text.into()))
    }

    pub(crate) fn list(items: Vec<Value<'a>>) -> Self {
        Value::List(List::Owned(Arc::new(items)))
    }

    pub(crate) fn some(value: Value<'a>) -> Self {
        Value::Optional(Some(Arc::new(value)))
    }

    pub(crate) fn library(library: Library<'a>) -> Self {
        Value::Opaque(OpaqueValue(library))
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// As JSON of at most about three megabytes: texts of timestamps and durations, base64 of bytes. What JSON cannot
    /// say (optionals without a value, library values) is `null`.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        json::write(self)
    }

    /// Characters, bytes, elements or entries.
    pub(crate) fn size(&self) -> Option<u64> {
        Some(match self {
            Value::String(text) => characters(text),
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Object(object) => object.len() as u64,
            _ => return None,
        })
    }

    /// What the cost of an operation is reckoned with.
    pub(crate) fn cost_size(&self) -> u64 {
        match self {
            Value::Optional(Some(inner)) => inner.size().unwrap_or(1),
            Value::Opaque(OpaqueValue(Library::Cidr(cidr))) => cidr.cost_size(),
            Value::Opaque(OpaqueValue(Library::Ip(ip))) => {
                if ip.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            other => other.size().unwrap_or(1),
        }
    }

    /// The name of its type.
    pub(crate) fn type_name(&self) -> Arc<str> {
        match self {
            Value::Null => Type::Null.runtime_name().into(),
            Value::Bool(_) => "bool".into(),
            Value::Int(_) => "int".into(),
            Value::Uint(_) => "uint".into(),
            Value::Double(_) => "double".into(),
            Value::String(_) => "string".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::Timestamp(_) => Type::Timestamp.runtime_name().into(),
            Value::Duration(_) => Type::Duration.runtime_name().into(),
            Value::List(_) => "list".into(),
            Value::Map(_) => "map".into(),
            Value::Object(object) => object.declared.ty.runtime_name().into(),
            Value::Optional(_) => "optional_type".into(),
            Value::Type(_) => "type".into(),
            Value::Opaque(OpaqueValue(library)) => library.ty().name().into(),
            Value::Variables => "kubernetes.variables".into(),
        }
    }
}

impl Library<'_> {
    pub(crate) fn ty(&self) -> Opaque {
        match self {
            Library::Quantity(_) => Opaque::Quantity,
            Library::Url(_) => Opaque::Url,
            Library::Ip(_) => Opaque::Ip,
            Library::Cidr(_) => Opaque::Cidr,
            Library::Semver(_) => Opaque::Semver,
            Library::Format(_) => Opaque::Format,
            Library::Authorization(value) => value.ty(),
        }
    }
}

/// How many characters a text has.
pub(crate) fn characters(text: &str) -> u64 {
    if text.is_ascii() {
        text.len() as u64
    } else {
        text.chars().count() as u64
    }
}
