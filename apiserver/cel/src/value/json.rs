//! JSON to values, as a schema says, and back.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value as Json;

use crate::budget::MAX_VALUE_DEPTH;
use crate::declared::{Declared, MAX_REQUEST, Shape};
use crate::errors::EvalError;
use crate::library::time;
use crate::value::{Key, List, Map, Object, Text, Value};

/// Reads one level; what is inside a list, map or object is read when it is looked at.
pub(super) fn read<'a>(json: &'a Json, declared: &'a Declared) -> Result<Value<'a>, EvalError> {
    if let Json::Null = json {
        return Ok(Value::Null);
    }
    match (&declared.shape, json) {
        (Shape::Dyn, _) => Ok(read_dynamic(json)),
        (Shape::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Shape::Int, Json::Number(number)) => {
            let whole = number.as_i64().or_else(|| number.as_f64().and_then(super::map::whole));
            whole.map(Value::Int).ok_or_else(|| mismatch(json, declared))
        }
        (Shape::Double, Json::Number(number)) => Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN))),
        (Shape::String, Json::String(text)) => Ok(Value::String(Text::Borrowed(text))),
        (Shape::Base64, Json::String(text)) => decode(text),
        (Shape::Date, Json::String(text)) => time::parse_date(text).map(Value::Timestamp),
        (Shape::DateTime, Json::String(text)) => time::parse_timestamp(text).map(Value::Timestamp),
        (Shape::Duration, Json::String(text)) => time::parse_schema_duration(text).map(Value::Duration),
        (Shape::List { items, merge }, Json::Array(array)) => {
            Ok(Value::List(List::read(array, declared, items, merge)))
        }
        (Shape::Map { values }, Json::Object(entries)) => Ok(Value::Map(Map::Json { entries, of: values })),
        (Shape::Object { .. }, Json::Object(properties)) => Ok(Value::Object(Object { properties, declared })),
        _ => Err(mismatch(json, declared)),
    }
}

fn read_dynamic(json: &Json) -> Value<'_> {
    let of = Declared::dynamic();
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(whole)) => Value::Uint(whole),
            _ => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Text::Borrowed(text)),
        Json::Array(items) => Value::List(List::Json { items, of }),
        Json::Object(entries) => Value::Map(Map::Json { entries, of }),
    }
}

fn mismatch(json: &Json, declared: &Declared) -> EvalError {
    let found = match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    };
    EvalError::failed(format!("invalid data, expected {} but found {found}", declared.ty))
}

fn decode<'a>(text: &str) -> Result<Value<'a>, EvalError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| EvalError::failed(format!("byte conversion error: {error}")))?;
    Ok(Value::Bytes(bytes.into()))
}

/// As JSON; refused when it would be larger than any request.
pub(super) fn write(value: &Value<'_>) -> Result<Json, EvalError> {
    Writer {
        left: MAX_REQUEST,
        depth: 0,
    }
    .write(value)
}

struct Writer {
    left: u64,
    depth: usize,
}

impl Writer {
    fn write(&mut self, value: &Value<'_>) -> Result<Json, EvalError> {
        self.pay(1)?;
        if self.depth >= MAX_VALUE_DEPTH {
            return Err(EvalError::failed("value nests too deep"));
        }
        self.depth += 1;
        let json = self.level(value);
        self.depth -= 1;
        json
    }

    fn level(&mut self, value: &Value<'_>) -> Result<Json, EvalError> {
        Ok(match value {
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => (*value).into(),
            Value::Uint(value) => (*value).into(),
            Value::Double(value) => (*value).into(),
            Value::String(text) => {
                self.pay(text.len() as u64)?;
                Json::String((**text).to_owned())
            }
            Value::Bytes(bytes) => {
                self.pay(bytes.len() as u64)?;
                Json::String(STANDARD_NO_PAD.encode(bytes))
            }
            Value::Timestamp(at) => Json::String(time::show_timestamp(*at)),
            Value::Duration(span) => Json::String(time::show_duration(*span)),
            Value::List(list) => {
                let items = list.iter().map(|item| self.write(&item?));
                Json::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Map(map) => {
                let entries = map.entries().map(|entry| {
                    let (key, value) = entry?;
                    Ok((self.key(&key)?, self.write(&value)?))
                });
                Json::Object(entries.collect::<Result<_, EvalError>>()?)
            }
            Value::Object(object) => Json::Object(object.properties.clone()),
            Value::Optional(Some(inner)) => self.write(inner)?,
            Value::Type(name) => Json::String((**name).to_owned()),
            _ => Json::Null,
        })
    }

    fn key(&mut self, key: &Key<'_>) -> Result<String, EvalError> {
        let name = match key {
            Key::Bool(value) => value.to_string(),
            Key::Int(value) => value.to_string(),
            Key::Uint(value) => value.to_string(),
            Key::String(text) => (**text).to_owned(),
        };
        self.pay(name.len() as u64)?;
        Ok(name)
    }

    fn pay(&mut self, size: u64) -> Result<(), EvalError> {
        self.left = self.left.checked_sub(size).ok_or(EvalError::CallCostExceeded)?;
        Ok(())
    }
}
