//! JSON patch (RFC 6902) as Go's `evanphx/json-patch` does it, since that is what clients of the Kubernetes API were
//! written against: `test` with a `null` value passes where the member is missing, and a negative index counts from
//! the end. A patch applies whole or not at all.

use serde_json::Value;

use super::PatchError;

/// The most operations in one patch; upstream's limit.
const MAX_OPERATIONS: usize = 10_000;
/// What all copies of a patch may add together, in bytes of JSON; upstream's limit. Each copy may double what is there.
const MAX_COPIED: usize = 3 << 20;
/// How deep a patch may put something: what is stored has to be read again.
const MAX_DEPTH: usize = 100;

/// Applies `patch`, a list of operations. On an error `target` is unchanged.
pub fn apply(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Malformed(
            "a JSON patch must be a list of operations".to_owned(),
        ));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations {
            limit: MAX_OPERATIONS,
            got: operations.len(),
        });
    }
    let operations = operations.iter().map(Operation::parse).collect::<Result<Vec<_>, _>>()?;
    let mut result = target.clone();
    let mut copied = 0;
    for operation in &operations {
        copied += operation.copies(&result);
        if copied > MAX_COPIED {
            return Err(PatchError::Failed(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
            )));
        }
        operation.apply(&mut result)?;
    }
    *target = result;
    Ok(())
}

/// A JSON pointer, split.
type Pointer = Vec<String>;

enum Operation {
    Add(Pointer, Value),
    Remove(Pointer),
    Replace(Pointer, Value),
    Move { from: Pointer, to: Pointer },
    Copy { from: Pointer, to: Pointer },
    Test(Pointer, Value),
}

impl Operation {
    fn parse(value: &Value) -> Result<Self, PatchError> {
        let malformed = |what: &str| PatchError::Malformed(format!("a JSON patch operation {what}: {value}"));
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        let pointer = |field: &str| -> Result<Pointer, PatchError> {
            let text = text(field).ok_or_else(|| malformed(&format!("needs `{field}`")))?;
            split(text).ok_or_else(|| malformed(&format!("needs a `{field}` that begins with `/`")))
        };
        let operand = || value.get("value").cloned().unwrap_or(Value::Null);
        match text("op") {
            Some("add") => Ok(Self::Add(pointer("path")?, operand())),
            Some("remove") => Ok(Self::Remove(pointer("path")?)),
            Some("replace") => Ok(Self::Replace(pointer("path")?, operand())),
            Some("test") => Ok(Self::Test(pointer("path")?, operand())),
            Some("move") => Ok(Self::Move {
                from: pointer("from")?,
                to: pointer("path")?,
            }),
            Some("copy") => Ok(Self::Copy {
                from: pointer("from")?,
                to: pointer("path")?,
            }),
            _ => Err(malformed("must be one of add, remove, replace, move, copy and test")),
        }
    }

    /// How many bytes it adds by copying.
    fn copies(&self, target: &Value) -> usize {
        match self {
            Self::Copy { from, .. } => find(target, from).map_or(0, |value| value.to_string().len()),
            _ => 0,
        }
    }

    fn apply(&self, target: &mut Value) -> Result<(), PatchError> {
        match self {
            Self::Add(path, value) => {
                fits(path, value)?;
                add(target, path, value.clone())
            }
            Self::Remove(path) => remove(target, path).map(|_| ()),
            Self::Replace(path, value) => {
                fits(path, value)?;
                let slot = find_mut(target, path).ok_or_else(|| missing("replace", path))?;
                *slot = value.clone();
                Ok(())
            }
            Self::Move { from, to } => {
                let value = remove(target, from)?;
                fits(to, &value)?;
                add(target, to, value)
            }
            Self::Copy { from, to } => {
                let value = find(target, from).ok_or_else(|| missing("copy", from))?;
                fits(to, value)?;
                let value = value.clone();
                add(target, to, value)
            }
            Self::Test(path, want) => {
                let found = find(target, path);
                if found.unwrap_or(&Value::Null) == want {
                    return Ok(());
                }
                Err(PatchError::Failed(format!("testing value {} failed", joined(path))))
            }
        }
    }
}

/// Refuses to put a value where it would reach too deep.
fn fits(path: &[String], value: &Value) -> Result<(), PatchError> {
    if path.len() + depth(value) <= MAX_DEPTH {
        return Ok(());
    }
    Err(PatchError::Failed(format!(
        "the patch puts something deeper than {MAX_DEPTH} levels"
    )))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn split(pointer: &str) -> Option<Pointer> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let rest = pointer.strip_prefix('/')?;
    Some(
        rest.split('/')
            .map(|part| part.replace("~1", "/").replace("~0", "~"))
            .collect(),
    )
}

fn joined(path: &[String]) -> String {
    path.iter()
        .map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1")))
        .collect()
}

fn missing(operation: &str, path: &[String]) -> PatchError {
    PatchError::Failed(format!(
        "{operation} operation does not apply: doc is missing path: {}",
        joined(path)
    ))
}

/// An index into a list of `len`; negative ones count from the end.
fn index(part: &str, len: usize) -> Option<usize> {
    match part.strip_prefix('-') {
        Some(back) => len.checked_sub(back.parse().ok()?),
        None => part.parse().ok(),
    }
}

fn find<'a>(target: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(target, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(index(part, list.len())?),
        _ => None,
    })
}

fn find_mut<'a>(target: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(target, |value, part| match value {
        Value::Object(map) => map.get_mut(part),
        Value::Array(list) => {
            let at = index(part, list.len())?;
            list.get_mut(at)
        }
        _ => None,
    })
}

fn add(target: &mut Value, path: &[String], value: Value) -> Result<(), PatchError> {
    let Some((last, parent)) = path.split_last() else {
        *target = value;
        return Ok(());
    };
    match find_mut(target, parent) {
        Some(Value::Object(map)) => {
            map.insert(last.clone(), value);
            Ok(())
        }
        Some(Value::Array(list)) => {
            let at = if last == "-" {
                Some(list.len())
            } else {
                index(last, list.len() + 1)
            };
            let at = at.filter(|at| *at <= list.len()).ok_or_else(|| missing("add", path))?;
            list.insert(at, value);
            Ok(())
        }
        _ => Err(missing("add", path)),
    }
}

fn remove(target: &mut Value, path: &[String]) -> Result<Value, PatchError> {
    let Some((last, parent)) = path.split_last() else {
        return Ok(std::mem::take(target));
    };
    let removed = match find_mut(target, parent) {
        Some(Value::Object(map)) => map.remove(last),
        Some(Value::Array(list)) => index(last, list.len())
            .filter(|at| *at < list.len())
            .map(|at| list.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| missing("remove", path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn copies_that_double_and_paths_without_end_are_refused() {
        let copies: Value = (0..200)
            .map(|n| json!({"op": "copy", "from": "", "path": format!("/c{n}")}))
            .collect();
        let failed = apply(&mut json!({"a": 1}), &copies).unwrap_err();
        assert!(
            matches!(&failed, PatchError::Failed(why) if why.contains("accumulated size")),
            "{failed:?}"
        );
        let deep: Value = (1..300)
            .map(|n| json!({"op": "add", "path": "/a".repeat(n), "value": {}}))
            .collect();
        assert!(matches!(apply(&mut json!({}), &deep), Err(PatchError::Failed(_))));
    }

    fn patched(target: &Value, patch: &Value) -> Result<Value, PatchError> {
        let mut value = target.clone();
        apply(&mut value, patch).map(|()| value)
    }

    #[test]
    fn operations_do_what_they_say() {
        let target = json!({"a": [1, 2], "b": {"c/d": 1}});
        let patch = json!([
            {"op": "test", "path": "/b/c~1d", "value": 1},
            {"op": "add", "path": "/a/-", "value": 3},
            {"op": "add", "path": "/a/0", "value": 0},
            {"op": "remove", "path": "/a/-1"},
            {"op": "copy", "from": "/b", "path": "/e"},
            {"op": "move", "from": "/b/c~1d", "path": "/f"},
            {"op": "replace", "path": "/a/1", "value": 9},
        ]);
        assert_eq!(
            patched(&target, &patch),
            Ok(json!({"a": [0, 9, 2], "b": {}, "e": {"c/d": 1}, "f": 1}))
        );
    }

    #[test]
    fn testing_for_null_passes_where_nothing_is() {
        let patch = json!([{"op": "test", "path": "/metadata/finalizers", "value": null}]);
        assert!(patched(&json!({"metadata": {}}), &patch).is_ok());
        assert!(patched(&json!({"metadata": {"finalizers": ["x"]}}), &patch).is_err());
    }

    #[test]
    fn copies_do_not_double_without_end() {
        let copies: Vec<Value> = (0..200)
            .map(|n| json!({"op": "copy", "from": "/a", "path": format!("/a/{n}")}))
            .collect();
        let mut value = json!({"a": {"x": "y"}});
        let refused = apply(&mut value, &Value::Array(copies)).unwrap_err();
        assert!(matches!(refused, PatchError::Failed(why) if why.contains("accumulated size")));
        assert_eq!(value, json!({"a": {"x": "y"}}));
    }

    #[test]
    fn a_patch_that_fails_changes_nothing() {
        let target = json!({"a": 1});
        for patch in [
            json!([{"op": "add", "path": "/b", "value": 1}, {"op": "remove", "path": "/c"}]),
            json!([{"op": "replace", "path": "/x", "value": 1}]),
            json!([{"op": "add", "path": "/x/y", "value": 1}]),
            json!([{"op": "jump", "path": "/x"}]),
            json!({"op": "add"}),
        ] {
            let mut value = target.clone();
            assert!(apply(&mut value, &patch).is_err(), "{patch}");
            assert_eq!(value, target);
        }
    }
}
