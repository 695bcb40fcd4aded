//! Takes out of an object what stands at a path. Paths are told in two ways, with map keys in brackets and as if they were
//! fields, and keys may hold dots and brackets themselves: what a path means is found in the object.

use serde_json::Value;

enum Step {
    Key(String),
    Index(usize),
}

/// Removes what stands at a path, if anything does; of a list the whole, so that no other element changes its place.
pub(super) fn take_out(value: &mut Value, path: &str) {
    let mut steps = Vec::new();
    if !find(value, path, &mut steps) {
        return;
    }
    let Some(last) = steps.pop() else { return };
    let mut place = value;
    for step in steps {
        let next = match (step, place) {
            (Step::Key(key), Value::Object(map)) => map.get_mut(&key),
            (Step::Index(index), Value::Array(list)) => list.get_mut(index),
            _ => None,
        };
        let Some(next) = next else { return };
        place = next;
    }
    match (last, place) {
        (Step::Key(key), Value::Object(map)) => _ = map.remove(&key),
        (Step::Index(_), Value::Array(list)) => list.clear(),
        _ => {}
    }
}

/// Finds the way along a path: each value is looked at once at the most, since its own path is as long as it is.
fn find(value: &Value, path: &str, steps: &mut Vec<Step>) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, inner)| {
            let Some(behind) = behind(path, key) else { return false };
            steps.push(Step::Key(key.clone()));
            let found = behind.is_empty() || find(inner, behind, steps);
            if !found {
                steps.pop();
            }
            found
        }),
        Value::Array(list) => {
            let index = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let Some((index, behind)) = index.and_then(|(index, behind)| Some((index.parse::<usize>().ok()?, behind)))
            else {
                return false;
            };
            let Some(inner) = list.get(index) else { return false };
            steps.push(Step::Index(index));
            let found = behind.is_empty() || find(inner, behind, steps);
            if !found {
                steps.pop();
            }
            found
        }
        _ => false,
    }
}

/// What is left of a path behind a key, if it begins with that.
fn behind<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    if let Some(rest) = path.strip_prefix('[')
        && let Some(rest) = rest.strip_prefix(key).and_then(|rest| rest.strip_prefix(']'))
    {
        return Some(rest);
    }
    let rest = path.strip_prefix('.').unwrap_or(path).strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_found_however_the_path_writes_it() {
        let object = json!({"spec": {"a.b": {"x": [1, 2]}, "a": {"c": 1}, "d[0]": {"y": 1}, "": 1}});
        let table = [
            (
                "spec.a.b.x[1]",
                json!({"spec": {"a.b": {"x": []}, "a": {"c": 1}, "d[0]": {"y": 1}, "": 1}}),
            ),
            (
                "spec[a.b].x",
                json!({"spec": {"a.b": {}, "a": {"c": 1}, "d[0]": {"y": 1}, "": 1}}),
            ),
            (
                "spec.a.c",
                json!({"spec": {"a.b": {"x": [1, 2]}, "a": {}, "d[0]": {"y": 1}, "": 1}}),
            ),
            (
                "spec[d[0]].y",
                json!({"spec": {"a.b": {"x": [1, 2]}, "a": {"c": 1}, "d[0]": {}, "": 1}}),
            ),
            (
                "spec.d[0]",
                json!({"spec": {"a.b": {"x": [1, 2]}, "a": {"c": 1}, "": 1}}),
            ),
        ];
        for (path, left) in table {
            let mut value = object.clone();
            take_out(&mut value, path);
            assert_eq!(value, left, "{path}");
        }
        for nothing in ["", "..", "[", "spec.nope", "spec.a.c.d", "spec.a.b.x[7]", "<nil>"] {
            let mut value = object.clone();
            take_out(&mut value, nothing);
            assert_eq!(value, object, "{nothing}");
        }
    }
}
