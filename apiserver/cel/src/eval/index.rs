//! Fields and indices, of values that may be optional.

use crate::errors::EvalError;
use crate::eval::plan::Node;
use crate::eval::{Evaluation, Outcome};
use crate::syntax::Selection;
use crate::value::{Key, List, Value};

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn select(&mut self, operand: &Node, field: &str, selection: Selection) -> Outcome<'a> {
        let operand = self.eval(operand)?;
        if selection != Selection::Test {
            self.meter.charge(1)?;
        }
        let (operand, was_optional) = match operand {
            Value::Optional(None) => {
                return Ok(match selection {
                    Selection::Test => Value::Bool(false),
                    _ => Value::Optional(None),
                });
            }
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            other => (other, false),
        };
        let found = self.field(&operand, field)?;
        match selection {
            Selection::Test => Ok(Value::Bool(found.is_some())),
            Selection::Plain if !was_optional => found.unwrap_or_else(|| Err(EvalError::NoSuchKey(field.to_owned()))),
            _ => match found {
                Some(value) => Ok(Value::some(value?)),
                None => Ok(Value::Optional(None)),
            },
        }
    }

    fn field(&mut self, operand: &Value<'a>, field: &str) -> Result<Option<Outcome<'a>>, EvalError> {
        match operand {
            Value::Object(object) => Ok(object.get(field)),
            Value::Map(map) => Ok(map.field(field)),
            Value::Variables => Ok(self.bindings.lazy(field, self.meter)),
            _ => Err(EvalError::NoSuchOverload),
        }
    }
}

/// `container[index]`.
pub(crate) fn index<'a>(container: &Value<'a>, at: &Value<'a>) -> Outcome<'a> {
    match container {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => optional_index(inner, at),
        Value::List(list) => {
            let place = place(at)?;
            element(list, place).unwrap_or(Err(EvalError::OutOfBounds(place)))
        }
        _ => {
            let key = Key::of(at).ok_or(EvalError::NoSuchOverload)?;
            let missing = || EvalError::NoSuchKey(crate::value::render::key(&key));
            entry(container, &key)?.unwrap_or_else(|| Err(missing()))
        }
    }
}

/// `container[?index]`.
pub(crate) fn optional_index<'a>(container: &Value<'a>, at: &Value<'a>) -> Outcome<'a> {
    let found = match container {
        Value::Optional(None) => None,
        Value::Optional(Some(inner)) => return optional_index(inner, at),
        Value::List(list) => element(list, place(at)?),
        _ => entry(container, &Key::of(at).ok_or(EvalError::NoSuchOverload)?)?,
    };
    match found {
        Some(value) => Ok(Value::some(value?)),
        None => Ok(Value::Optional(None)),
    }
}

fn entry<'a>(container: &Value<'a>, key: &Key<'a>) -> Result<Option<Outcome<'a>>, EvalError> {
    match (container, key) {
        (Value::Map(map), key) => Ok(map.get(key)),
        (Value::Object(object), Key::String(field)) => Ok(object.get(field)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn place(at: &Value<'_>) -> Result<i64, EvalError> {
    match Key::of(at) {
        Some(Key::Int(place)) => Ok(place),
        Some(Key::Uint(place)) => Ok(i64::try_from(place).unwrap_or(i64::MAX)),
        _ => Err(EvalError::failed(format!(
            "unsupported index type '{}' in list",
            at.type_name()
        ))),
    }
}

fn element<'a>(list: &List<'a>, place: i64) -> Option<Outcome<'a>> {
    list.get(usize::try_from(place).ok()?)
}
