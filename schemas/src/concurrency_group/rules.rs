//! The rules of a ConcurrencyGroup: nobody takes a place that is not there, whoever writes.

use serde_json::Value;

use crate::field::{ErrorKind, FieldError, Path};
use crate::terminal;

/// Every mistake in a group, and in what changed from `old`.
pub fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        terminal::spec_is_final(new, old, &["limit"], &mut errors);
    }
    let holders = |object: &Value| {
        object
            .pointer("/status/holders")
            .and_then(Value::as_array)
            .map_or(0, Vec::len) as u64
    };
    let before = old.map_or(0, holders);
    let limit = new.pointer("/spec/limit").and_then(Value::as_u64).unwrap_or(1);
    // A limit may be lowered below what is held; then places are only given back.
    if holders(new) > limit && holders(new) > before {
        let detail = format!("has {} holders, and the limit is {limit}", holders(new));
        errors.push(FieldError::new(
            Path::root("status").child("holders"),
            ErrorKind::TooMany,
            detail,
        ));
    }
    errors
}
