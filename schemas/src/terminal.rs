//! What never changes: rules that several kinds share, enforced by the server whoever writes.

use serde_json::Value;

use crate::field::{ErrorKind, FieldError, Path};

/// A spec stays as it was created, but for the fields named.
pub(crate) fn spec_is_final(new: &Value, old: &Value, but: &[&str], errors: &mut Vec<FieldError>) {
    let empty = serde_json::Map::new();
    let fields = |object: &'_ Value| {
        object
            .get("spec")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_else(|| empty.clone())
    };
    let (new, old) = (fields(new), fields(old));
    let names: std::collections::BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    for name in names.into_iter().filter(|name| !but.contains(&name.as_str())) {
        if new.get(name) != old.get(name) {
            let detail = "field is immutable once the object is created";
            errors.push(FieldError::new(
                Path::root("spec").child(name),
                ErrorKind::Forbidden,
                detail,
            ));
        }
    }
}

/// A cancel is not taken back.
pub(crate) fn cancel_stays(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let set = |object: &Value| object.pointer("/spec/cancel").and_then(Value::as_bool).unwrap_or(false);
    if set(old) && !set(new) {
        let path = Path::root("spec").child("cancel");
        errors.push(FieldError::with_value(
            path,
            ErrorKind::Forbidden,
            "false",
            "a cancel cannot be taken back",
        ));
    }
}

/// A condition that has become `True` or `False` never changes again.
pub(crate) fn condition_is_final(new: &Value, old: &Value, kind: &str, errors: &mut Vec<FieldError>) {
    let Some(before) = condition(old, kind).filter(|(status, _)| *status != "Unknown") else {
        return;
    };
    if condition(new, kind) != Some(before) {
        let path = Path::root("status").child("conditions");
        let detail = format!(
            "`{kind}` is {} ({}) for good: what has ended never changes",
            before.0, before.1
        );
        errors.push(FieldError::new(path, ErrorKind::Forbidden, detail));
    }
}

/// A condition's status and reason.
fn condition<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions
        .iter()
        .find(|c| c.get("type").and_then(Value::as_str) == Some(kind))?;
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    Some((text("status"), text("reason")))
}
