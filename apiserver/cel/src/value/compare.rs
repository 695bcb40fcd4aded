//! Equality and order across types: numbers of all kinds compare by their value, lists that are sets or maps ignore their
//! order, and values of different types are unequal rather than wrong.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::budget::Meter;
use crate::declared::{Declared, Merge};
use crate::errors::EvalError;
use crate::value::{Key, Library, List, Map, Object, OpaqueValue, Value, json};

type Outcome = Result<bool, EvalError>;

/// `a == b`. Each step counts: values can share parts, so that they are far larger to look at than to make.
pub(crate) fn equal(a: &Value<'_>, b: &Value<'_>, meter: &mut Meter) -> Outcome {
    meter.work(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) | (Value::Variables, Value::Variables) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => **a == **b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::List(a), Value::List(b)) => return meter.nested(|meter| lists(a, b, meter)),
        (Value::Map(a), Value::Map(b)) => return meter.nested(|meter| maps(a, b, meter)),
        (Value::Object(a), Value::Object(b)) => return meter.nested(|meter| objects(a, b, meter)),
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => return meter.nested(|meter| equal(a, b, meter)),
        (Value::Opaque(OpaqueValue(a)), Value::Opaque(OpaqueValue(b))) => libraries(a, b),
        _ => numbers(a, b) == Some(Some(Ordering::Equal)),
    })
}

fn libraries(a: &Library<'_>, b: &Library<'_>) -> bool {
    match (a, b) {
        (Library::Quantity(a), Library::Quantity(b)) => a == b,
        (Library::Url(a), Library::Url(b)) => a == b,
        (Library::Ip(a), Library::Ip(b)) => a == b,
        (Library::Cidr(a), Library::Cidr(b)) => a == b,
        (Library::Semver(a), Library::Semver(b)) => a.cmp_precedence(b) == Ordering::Equal,
        (Library::Format(a), Library::Format(b)) => a.name == b.name,
        _ => false,
    }
}

fn lists(a: &List<'_>, b: &List<'_>, meter: &mut Meter) -> Outcome {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.merge() {
        Merge::Set => return unordered(a, b, meter),
        Merge::Keys(keys) => return keyed(a, b, keys, meter),
        Merge::Atomic => {}
    }
    for (left, right) in a.iter().zip(b.iter()) {
        if !equal(&left?, &right?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn unordered(a: &List<'_>, b: &List<'_>, meter: &mut Meter) -> Outcome {
    for left in a.iter() {
        if !contains(b, &left?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn keyed(a: &List<'_>, b: &List<'_>, keys: &[String], meter: &mut Meter) -> Outcome {
    for left in a.iter() {
        let left = left?;
        match with_keys(b, &left, keys, meter)? {
            Some(right) if equal(&left, &right, meter)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The element of `list` that has the keys of `like`.
fn with_keys<'a>(
    list: &List<'a>,
    like: &Value<'_>,
    keys: &[String],
    meter: &mut Meter,
) -> Result<Option<Value<'a>>, EvalError> {
    for item in list.iter() {
        let item = item?;
        meter.work(1)?;
        if same_keys(&item, like, keys) {
            return Ok(Some(item));
        }
    }
    Ok(None)
}

fn same_keys(a: &Value<'_>, b: &Value<'_>, keys: &[String]) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => keys.iter().all(|key| a.properties.get(key) == b.properties.get(key)),
        _ => false,
    }
}

/// Whether an element of `list` is equal to `wanted`.
pub(crate) fn contains(list: &List<'_>, wanted: &Value<'_>, meter: &mut Meter) -> Outcome {
    for item in list.iter() {
        if equal(&item?, wanted, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `a + b`: the elements of both; for sets and maps each element once, those of `b` in place of those of `a`.
pub(crate) fn joined<'a>(a: &List<'a>, b: &List<'a>, meter: &mut Meter) -> Result<List<'a>, EvalError> {
    let mut out: Vec<Value<'a>> = a.iter().collect::<Result<_, _>>()?;
    meter.work(a.len() as u64 + b.len() as u64)?;
    for item in b.iter() {
        let item = item?;
        match a.merge() {
            Merge::Atomic => out.push(item),
            Merge::Set => {
                if !contains(a, &item, meter)? {
                    out.push(item);
                }
            }
            Merge::Keys(keys) => {
                meter.work(out.len() as u64)?;
                match out.iter_mut().find(|old| same_keys(old, &item, keys)) {
                    Some(old) => *old = item,
                    None => out.push(item),
                }
            }
        }
    }
    Ok(List::Owned(std::sync::Arc::new(out)))
}

fn maps(a: &Map<'_>, b: &Map<'_>, meter: &mut Meter) -> Outcome {
    if a.len() != b.len() {
        return Ok(false);
    }
    for entry in a.entries() {
        let (key, left) = entry?;
        let Some(right) = b.get(&key) else {
            return Ok(false);
        };
        if !equal(&left, &right?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn objects(a: &Object<'_>, b: &Object<'_>, meter: &mut Meter) -> Outcome {
    if a.declared.ty != b.declared.ty || a.properties.len() != b.properties.len() {
        return Ok(false);
    }
    for (name, left) in a.properties {
        let Some(right) = b.properties.get(name) else {
            return Ok(false);
        };
        let of = a.declared.property(name).unwrap_or(Declared::dynamic());
        if !equal(&json_value(left, of)?, &json_value(right, of)?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn json_value<'v>(json: &'v Json, of: &'v Declared) -> Result<Value<'v>, EvalError> {
    json::read(json, of)
}

/// The order of two numbers of any kinds: `None` when one is no number, `Some(None)` when there is no order (NaN).
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => Some(a.partial_cmp(b)),
        (Value::Double(a), b) => Some(double_with(*a, whole(b)?)),
        (a, Value::Double(b)) => Some(double_with(*b, whole(a)?).map(Ordering::reverse)),
        (a, b) => Some(Some(whole(a)?.cmp(&whole(b)?))),
    }
}

/// Exactly: a double near the ends of the range is not rounded away.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the double is within the range of 128 bits before the cast"
)]
fn double_with(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= 1e20 {
        return Some(Ordering::Greater);
    }
    if double <= -1e20 {
        return Some(Ordering::Less);
    }
    let floor = double.floor();
    let order = (floor as i128).cmp(&whole);
    Some(order.then(if double > floor {
        Ordering::Greater
    } else {
        Ordering::Equal
    }))
}

/// `a < b` and its kin: `None` when the two have no order, an error when their types have none.
pub(crate) fn order(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, EvalError> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => return numbers(a, b).ok_or(EvalError::NoSuchOverload),
    })
}

/// `wanted in container`.
pub(crate) fn member(wanted: &Value<'_>, container: &Value<'_>, meter: &mut Meter) -> Outcome {
    match container {
        Value::List(list) => contains(list, wanted, meter),
        Value::Map(map) => Ok(Key::of(wanted).is_some_and(|key| map.get(&key).is_some())),
        _ => Err(EvalError::NoSuchOverload),
    }
}
