//! Every mistake of an object in one answer, although a kind's own rules expect an object that has passed its schema:
//! what the schema refuses is taken out of a copy, and the rules are asked about the rest.

use breakbulk_schemas::field::FieldError;
use serde_json::Value;

use super::Resource;

/// The schema's mistakes, and those that the kind's own rules find in what the schema has nothing against.
pub(super) fn all(resource: &Resource, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = match (resource.schema(), old) {
        (None, _) => Vec::new(),
        (Some(schema), None) => schema.validate(value),
        // What was wrong before and is not touched stays as it is.
        (Some(schema), Some(old)) => schema.validate_update(value, old),
    };
    if errors.is_empty() {
        return (resource.rules.validate)(value, old);
    }
    let mut rest = value.clone();
    errors.iter().for_each(|error| take_out(&mut rest, error.path.as_str()));
    let more = (resource.rules.validate)(&rest, old);
    let told: Vec<String> = errors.iter().map(|error| error.path.as_str().to_owned()).collect();
    errors.extend(
        more.into_iter()
            .filter(|error| !told.iter().any(|path| related(path, error.path.as_str()))),
    );
    errors
}

/// Whether one path lies on the way to the other: then the second mistake follows from the first.
fn related(one: &str, other: &str) -> bool {
    let below = |path: &str, root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    below(one, other) || below(other, one)
}

/// Removes what stands at a path; of a list the whole, so that no other element changes its place.
fn take_out(value: &mut Value, path: &str) {
    let mut names = segments(path);
    let Some(last) = names.pop() else { return };
    let mut place = value;
    for name in names {
        let next = match place {
            Value::Object(map) => map.get_mut(name),
            Value::Array(list) => name.parse::<usize>().ok().and_then(|index| list.get_mut(index)),
            _ => None,
        };
        match next {
            Some(next) => place = next,
            None => return,
        }
    }
    match place {
        Value::Object(map) => _ = map.remove(last),
        Value::Array(list) => list.clear(),
        _ => {}
    }
}

/// `spec.jobs[a.b].needs[1]` as `spec`, `jobs`, `a.b`, `needs`, `1`.
fn segments(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some((name, behind)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            names.push(name);
            rest = behind;
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        names.push(&rest[..end]);
        rest = &rest[end..];
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    #[test]
    fn mistakes_of_both_kinds_are_told_together_and_none_twice() {
        let registry = Registry::new();
        let pipelines = registry.find("breakbulk.dev", "v1", "pipelines").unwrap();
        let object = json!({"metadata": {"name": "p"}, "spec": {"jobs": {
            "a": {"run": "x", "needs": ["zzz"], "timeout": "soon"},
            "b": {"run": "x", "if": "1 +", "needs": [7]},
        }}});
        let errors: Vec<String> = all(&pipelines, &object, None).iter().map(ToString::to_string).collect();
        let count = |part: &str| errors.iter().filter(|error| error.starts_with(part)).count();
        for place in [
            "spec.jobs.a.timeout",
            "spec.jobs.b.needs[0]",
            "spec.jobs.a.needs[0]",
            "spec.jobs.b.if",
        ] {
            assert_eq!(count(place), 1, "{place} in {errors:#?}");
        }
    }

    #[test]
    fn paths_are_taken_apart_as_they_are_written() {
        assert_eq!(
            segments("spec.jobs[a.b].needs[1]"),
            ["spec", "jobs", "a.b", "needs", "1"]
        );
        assert!(related("spec.a", "spec.a[0].b") && !related("spec.a", "spec.ab"));
        assert!(segments("..").is_empty() && segments("[").is_empty());
    }
}
