//! Whether a value fits its type, as far as the merge depends on it: kinds of values, names of list items, declared
//! fields. What values may be beyond that is for the API server's own validation.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{FieldErrors, items};
use crate::fieldpath::{MAX_DEPTH, PathElement};
use crate::schema::{ListType, MapType, Parts, Scalar, TypeRef};
use crate::value::{error_syntax, error_text, type_text};

/// Reports everything in the value that does not fit the type. Two items of a list may not have the same name.
pub(crate) fn validate(ty: TypeRef<'_>, value: &Value) -> Result<(), FieldErrors> {
    fits(ty, value, 0).into_result(())
}

fn fits(ty: TypeRef<'_>, value: &Value, depth: usize) -> FieldErrors {
    if depth > MAX_DEPTH {
        return FieldErrors::too_deep();
    }
    let parts = ty.parts_for(Some(value));
    match parts {
        Parts { map: Some(map), .. } => map_fits(ty, map, value, depth),
        Parts {
            scalar: Some(scalar), ..
        } => match scalar_error(scalar, value) {
            Some(message) => FieldErrors::one(message),
            None => FieldErrors::default(),
        },
        Parts { list: Some(list), .. } => list_fits(ty, list, value, depth),
        _ => FieldErrors::no_type(),
    }
}

fn map_fits(ty: TypeRef<'_>, map: &MapType, value: &Value, depth: usize) -> FieldErrors {
    match value {
        Value::Object(fields) => fields_fit(ty, map, fields, depth),
        Value::Null => FieldErrors::default(),
        other => FieldErrors::one(format!("expected map, got {}", error_text(other))),
    }
}

fn fields_fit(ty: TypeRef<'_>, map: &MapType, fields: &Map<String, Value>, depth: usize) -> FieldErrors {
    let mut errors = FieldErrors::default();
    for (name, value) in fields {
        let below = match ty.field_of(map, name) {
            Some(ty) => fits(ty, value, depth + 1),
            None => FieldErrors::one("field not declared in schema"),
        };
        if !below.0.is_empty() {
            errors.adopt(&PathElement::field(name), below);
        }
    }
    errors
}

fn list_fits(ty: TypeRef<'_>, list: &ListType, value: &Value, depth: usize) -> FieldErrors {
    let found = match value {
        Value::Array(found) => found,
        Value::Null => return FieldErrors::default(),
        other => return FieldErrors::one(format!("expected list, got {}", error_text(other))),
    };
    let mut errors = FieldErrors::default();
    let mut seen = BTreeSet::new();
    for (place, item) in found.iter().enumerate() {
        let below = fits(ty.item_of(list), item, depth + 1);
        if list.is_atomic() {
            if !below.0.is_empty() {
                errors.adopt(&PathElement::Index(i64::try_from(place).unwrap_or(i64::MAX)), below);
            }
            continue;
        }
        match items::element_of(ty, list, item) {
            Err(why) => {
                errors.push(format!("element {place}: {why}"));
                return errors;
            }
            Ok(element) => {
                if seen.contains(&element) {
                    errors.push(format!("duplicate entries for key {element}"));
                }
                errors.adopt(&element, below);
                seen.insert(element);
            }
        }
    }
    errors
}

/// Why a value is no scalar of this kind. Null fits every kind.
pub(super) fn scalar_error(scalar: Scalar, value: &Value) -> Option<String> {
    let fits = matches!(
        (scalar, value),
        (_, Value::Null)
            | (Scalar::Numeric, Value::Number(_))
            | (Scalar::String, Value::String(_))
            | (Scalar::Boolean, Value::Bool(_))
            | (Scalar::Untyped, Value::Number(_) | Value::String(_) | Value::Bool(_))
    );
    if fits {
        return None;
    }
    Some(match scalar {
        Scalar::Numeric => format!("expected numeric (int or float), got {}", type_text(value)),
        Scalar::String => format!("expected string, got {}", error_syntax(value)),
        Scalar::Boolean => format!("expected boolean, got {}", error_text(value)),
        Scalar::Untyped => format!("expected any scalar, got {}", error_text(value)),
    })
}
