//! Strategic merge patch, for Kubernetes' own kinds and ours: a merge patch in which some lists are merged by a key, and
//! directives say what a merge cannot (`$patch`, `$deleteFromPrimitiveList`, `$setElementOrder`, `$retainKeys`).
//!
//! Which lists merge is said by the kind's schema, the one that is published: clients make their patches by it. The
//! semantics and the texts of errors are those of `k8s.io/apimachinery/pkg/util/strategicpatch`; what is an internal
//! error there, for a patch that makes no sense, is a bad request here.

mod list;
mod rules;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::PatchError;
use list::Identity;
use rules::How;
pub use rules::Rules;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ORDER: &str = "$setElementOrder";

/// Applies `patch` to an object whose kind has these rules.
///
/// # Errors
/// If the patch is malformed, or a list of lists would have to be merged. `target` may then be half changed: work on a
/// copy.
pub fn apply(target: &mut Value, patch: &Value, rules: Rules<'_>) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(malformed("invalid JSON document"));
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    match target {
        Value::Object(map) => merge_map(map, patch.clone(), rules),
        _ => Ok(()),
    }
}

fn malformed(text: &str) -> PatchError {
    PatchError::Malformed(text.to_owned())
}

fn bad_directive(map: &Value) -> PatchError {
    let directive = match &map[DIRECTIVE] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    PatchError::Malformed(format!("unknown patch type: {directive} in map: {map}"))
}

fn bad_type(expected: &str, value: &Value) -> PatchError {
    let got = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    PatchError::Malformed(format!("expected a {expected}, but received a {got}"))
}

fn merge_map(
    original: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    rules: Rules<'_>,
) -> Result<(), PatchError> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or("")) {
        None => {}
        Some("replace") => {
            patch.remove(DIRECTIVE);
            *original = patch;
            return Ok(());
        }
        Some("delete") => {
            original.clear();
            return Ok(());
        }
        Some(_) => return Err(bad_directive(&Value::Object(patch))),
    }
    retain_keys(original, &mut patch)?;
    let names: Vec<String> = patch.keys().filter(|key| key.starts_with(ORDER)).cloned().collect();
    for name in names {
        if let Some(wanted) = patch.remove(&name) {
            order_list(original, &mut patch, &name, &wanted, rules)?;
        }
    }
    for (name, value) in patch {
        if name.starts_with(DELETE_FROM) {
            delete_from(original, &name, value)?;
        } else {
            merge_member(original, name, value, rules)?;
        }
    }
    Ok(())
}

/// `$retainKeys` names the fields that stay; it must name those that the patch sets.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(kept) = patch.remove(RETAIN) else {
        return Ok(());
    };
    let bad = || malformed("invalid patch format of retainKeys");
    let Value::Array(kept) = kept else { return Err(bad()) };
    let kept: std::collections::HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
    let sets = |(key, value): (&String, &Value)| {
        !value.is_null() && !key.starts_with(DELETE_FROM) && !key.starts_with(ORDER) && !kept.contains(key.as_str())
    };
    if patch.iter().any(sets) {
        return Err(bad());
    }
    original.retain(|key, _| kept.contains(key.as_str()));
    Ok(())
}

/// What follows the directive in its name: `$setElementOrder/containers`.
fn named<'k>(key: &'k str, directive: &str, error: &str) -> Result<&'k str, PatchError> {
    let rest = key.strip_prefix(directive).and_then(|rest| rest.strip_prefix('/'));
    rest.ok_or_else(|| malformed(error))
}

/// `$setElementOrder/x`: merges the list `x` and puts it into this order. Then there is nothing left to do for it.
fn order_list(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    key: &str,
    wanted: &Value,
    rules: Rules<'_>,
) -> Result<(), PatchError> {
    let Value::Array(wanted) = wanted else {
        return Err(bad_type("[]interface {}", wanted));
    };
    let name = named(key, ORDER, "invalid patch format of setElementOrder list")?;
    let (have, changes) = (list::list_of(original, name)?, list::list_of(patch, name)?);
    let (below, strategy) = rules.field(name);
    let key = match strategy {
        How::Merge(key) => key,
        How::Plain | How::Replace => None,
    };
    let identity = key.map_or(Identity::Value, Identity::Key);
    list::check_order(changes.as_deref().unwrap_or_default(), wanted, identity)?;
    let merged = match (have.clone(), changes) {
        (None, None) => return Ok(()),
        (Some(have), None) => have,
        (None, Some(changes)) => {
            let mut fresh = Value::Array(changes);
            clean(&mut fresh);
            match fresh {
                Value::Array(fresh) => fresh,
                _ => return Ok(()),
            }
        }
        (Some(have), Some(changes)) => match strategy {
            How::Merge(key) => list::merge(have, changes, key, below.items())?,
            How::Plain | How::Replace => changes,
        },
    };
    list::elements(&merged, &[])?;
    let ordered = list::order(merged, wanted, have.as_deref().unwrap_or_default(), identity)?;
    original.insert(name.to_owned(), Value::Array(ordered));
    patch.remove(name);
    Ok(())
}

/// `$deleteFromPrimitiveList/x`: takes values out of the list `x`.
fn delete_from(original: &mut Map<String, Value>, key: &str, gone: Value) -> Result<(), PatchError> {
    let name = named(key, DELETE_FROM, "invalid patch format of primitive list")?;
    match (original.get_mut(name), gone) {
        (_, Value::Null) => _ = original.remove(name),
        (Some(Value::Array(have)), Value::Array(gone)) => {
            if list::elements(have, &gone)? == Some(list::Elements::Maps) {
                return Err(malformed("invalid patch format of primitive list"));
            }
            *have = list::without(std::mem::take(have), &gone)?;
        }
        _ => {}
    }
    Ok(())
}

fn merge_member(
    original: &mut Map<String, Value>,
    name: String,
    value: Value,
    rules: Rules<'_>,
) -> Result<(), PatchError> {
    let (below, strategy) = rules.field(&name);
    match (original.get_mut(&name), value) {
        (_, Value::Null) => _ = original.remove(&name),
        (Some(Value::Object(have)), Value::Object(changes)) => {
            if strategy == How::Replace {
                *have = changes;
            } else {
                merge_map(have, changes, below)?;
            }
        }
        (Some(Value::Array(have)), Value::Array(changes)) => {
            *have = match strategy {
                How::Merge(key) => list::merge(std::mem::take(have), changes, key, below.items())?,
                How::Plain | How::Replace => changes,
            };
        }
        (_, mut fresh) => {
            if clean(&mut fresh) == Kept::No {
                original.remove(&name);
            } else {
                original.insert(name, fresh);
            }
        }
    }
    Ok(())
}

/// Whether a value stays after its directives have been taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// Takes nulls and directives out of what is new in an object: there is nothing there to delete or to merge. A map that
/// says `$patch` does not stay.
fn clean(value: &mut Value) -> Kept {
    match value {
        Value::Object(map) => {
            if map.contains_key(DIRECTIVE) {
                return Kept::No;
            }
            map.retain(|key, inner| {
                let directive = [RETAIN, DELETE_FROM, ORDER].iter().any(|d| key.starts_with(d));
                !directive && !inner.is_null() && clean(inner) == Kept::Yes
            });
        }
        Value::Array(list) => list.retain_mut(|inner| clean(inner) == Kept::Yes),
        _ => {}
    }
    Kept::Yes
}
