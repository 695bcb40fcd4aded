//! Every mistake of an object in one answer, although a kind's own rules expect an object that has passed its schema:
//! what the schema refuses is taken out of a copy, and the rules are asked about the rest.

mod scale;
mod take_out;

use breakbulk_cel::Budget;
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::Value;

use self::take_out::take_out;
use super::Resource;
use super::resource::Definition;
use crate::rules::{Scope, Verdict};

/// What upstream says when rules were not asked because the object may not be what they expect.
const NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing \
                           errors to complete validation";

/// The schema's mistakes, those that its rules find, and those that the kind's own rules find in what the schema has
/// nothing against. What is wrong but was so before is a warning. The rules are evaluated within the budget.
pub(super) fn all(resource: &Resource, value: &Value, old: Option<&Value>, budget: &mut Budget) -> Verdict {
    let mut found = by_schema(resource, value, old, budget);
    let errors = &mut found.errors;
    if errors.is_empty() {
        *errors = (resource.rules.validate)(value, old);
        return found;
    }
    let mut rest = value.clone();
    errors.iter().for_each(|error| take_out(&mut rest, error.path.as_str()));
    let more = (resource.rules.validate)(&rest, old);
    let told: Vec<String> = errors.iter().map(|error| error.path.as_str().to_owned()).collect();
    errors.extend(
        more.into_iter()
            .filter(|error| !told.iter().any(|path| related(path, error.path.as_str()))),
    );
    found
}

/// Whether expressions have to be compiled before there is an answer: that takes its time.
pub(super) fn compiles(resource: &Resource, value: &Value) -> bool {
    match resource.group.as_str() {
        "admissionregistration.k8s.io" => true,
        "apiextensions.k8s.io" => has_rules(value),
        _ => resource.definition().is_some_and(Definition::is_to_be_compiled),
    }
}

/// Whether a definition has rules anywhere in its schemas.
fn has_rules(definition: &Value) -> bool {
    match definition {
        Value::Object(map) => map.contains_key("x-kubernetes-validations") || map.values().any(has_rules),
        Value::Array(list) => list.iter().any(has_rules),
        _ => false,
    }
}

fn by_schema(resource: &Resource, value: &Value, old: Option<&Value>, budget: &mut Budget) -> Verdict {
    let Some(definition) = resource.definition() else {
        return Verdict::default();
    };
    let mut errors = match old {
        None => definition.schema.validate(value),
        // What was wrong before and is not touched stays as it is.
        Some(old) => definition.schema.validate_update(value, old),
    };
    errors.extend(scale::mistakes(resource, value, old));
    let Some(programs) = definition.programs() else {
        return Verdict {
            errors,
            ..Verdict::default()
        };
    };
    if errors.iter().any(is_in_the_way) {
        errors.push(FieldError::with_value(
            Path::root("<nil>"),
            ErrorKind::Invalid,
            "null",
            NOT_CHECKED,
        ));
        return Verdict {
            errors,
            ..Verdict::default()
        };
    }
    let scope = Scope { base: None, budget };
    let mut verdict = programs.judge(&definition.schema, value, old, scope);
    verdict.errors.splice(..0, errors);
    verdict
}

/// Whether rules cannot be asked about an object with this mistake: they expect types, sizes and required fields.
fn is_in_the_way(error: &FieldError) -> bool {
    matches!(
        error.kind,
        ErrorKind::NotSupported
            | ErrorKind::Required
            | ErrorKind::TooLong
            | ErrorKind::TooMany
            | ErrorKind::TypeInvalid
    )
}

/// Whether one path lies on the way to the other: then the second mistake follows from the first.
fn related(one: &str, other: &str) -> bool {
    let below = |path: &str, root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    below(one, other) || below(other, one)
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
        let errors: Vec<String> = all(&pipelines, &object, None, &mut Budget::for_object())
            .errors
            .iter()
            .map(ToString::to_string)
            .collect();
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
    fn a_path_is_related_to_what_is_below_it() {
        assert!(related("spec.a", "spec.a[0].b") && !related("spec.a", "spec.ab"));
    }
}
