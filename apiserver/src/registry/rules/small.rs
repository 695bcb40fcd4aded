//! Leases and PriorityClasses, whose rules are short (`pkg/apis/coordination/validation`, `pkg/apis/scheduling/validation`).

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Value, json};

use crate::registry::resource::Rules;
use crate::registry::{names, object};

pub(in crate::registry) const LEASE: Rules = Rules {
    validate: |lease, _| lease_errors(&lease["spec"]),
    prepare: |_, _| {},
};
pub(in crate::registry) const PRIORITY_CLASS: Rules = Rules {
    validate: priority_errors,
    prepare: priority,
};

/// The highest priority that is not the system's.
const HIGHEST: i64 = 1_000_000_000;
/// The classes of the system, by name and value.
pub(crate) const SYSTEM_PRIORITIES: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

fn lease_errors(spec: &Value) -> Vec<FieldError> {
    let path = Path::root("spec");
    let mut errors = Vec::new();
    let mut at_least = |field: &str, least: i64, detail: &str| {
        if let Some(given) = spec[field].as_i64().filter(|given| *given < least) {
            errors.push(FieldError {
                value: Some(given.to_string()),
                ..FieldError::new(path.child(field), ErrorKind::Invalid, detail)
            });
        }
    };
    at_least("leaseDurationSeconds", 1, "must be greater than 0");
    at_least("leaseTransitions", 0, "must be greater than or equal to 0");
    if let Some(strategy) = spec["strategy"].as_str() {
        errors.extend(strategy_errors(strategy));
    }
    let set = |field: &str| spec[field].as_str().is_some_and(|text| !text.is_empty());
    if set("preferredHolder") && !set("strategy") {
        let detail = "may only be specified if `strategy` is defined";
        errors.push(FieldError::new(
            path.child("preferredHolder"),
            ErrorKind::Forbidden,
            detail,
        ));
    }
    errors
}

/// The name of a way to choose a leader: Kubernetes' one, or somebody's own with a domain before it.
fn strategy_errors(strategy: &str) -> Vec<FieldError> {
    // Upstream's path says it twice.
    let path = Path::root("spec").child("strategy").child("strategy");
    if strategy.contains('/') {
        let wrong = names::qualified(strategy).into_iter();
        return wrong
            .map(|detail| FieldError::invalid(path.clone(), strategy, detail))
            .collect();
    }
    if strategy == "OldestEmulationVersion" {
        return Vec::new();
    }
    let detail = "supported values: \"OldestEmulationVersion\"";
    vec![FieldError::with_value(path, ErrorKind::NotSupported, strategy, detail)]
}

fn priority(class: &mut Value, _: Option<&Value>) {
    if class["preemptionPolicy"].is_null() {
        class["preemptionPolicy"] = json!("PreemptLowerPriority");
    }
}

fn priority_errors(class: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        if class["value"] != old["value"] {
            let detail = "may not be changed in an update.";
            errors.push(FieldError::new(Path::root("value"), ErrorKind::Forbidden, detail));
        }
        if class["preemptionPolicy"] != old["preemptionPolicy"] {
            let given = class["preemptionPolicy"].as_str().unwrap_or("");
            errors.push(FieldError::invalid(
                Path::root("preemptionPolicy"),
                given,
                "field is immutable",
            ));
        }
        return errors;
    }
    let (name, value) = (object::meta(class, "name"), class["value"].as_i64().unwrap_or(0));
    if name.starts_with("system-") {
        if let Some(why) = not_of_the_system(name, value, class["globalDefault"] == true) {
            let detail =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            let path = Path::root("metadata").child("name");
            errors.push(FieldError::new(path, ErrorKind::Forbidden, detail));
        }
    } else if value > HIGHEST {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.push(FieldError::new(Path::root("value"), ErrorKind::Forbidden, detail));
    }
    let path = Path::root("preemptionPolicy");
    match class["preemptionPolicy"].as_str() {
        None | Some("PreemptLowerPriority" | "Never") => {}
        Some("") => errors.push(FieldError::new(path, ErrorKind::Required, "")),
        Some(policy) => {
            let expected = "supported values: \"PreemptLowerPriority\", \"Never\"";
            errors.push(FieldError::with_value(path, ErrorKind::NotSupported, policy, expected));
        }
    }
    errors
}

fn not_of_the_system(name: &str, value: i64, default: bool) -> Option<String> {
    let Some((_, known)) = SYSTEM_PRIORITIES.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value != *known {
        return Some(format!("value of {name} PriorityClass must be {known}"));
    }
    default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_class_keeps_its_value_and_the_systems_names() {
        let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
        assert!(priority_errors(&class("mine", HIGHEST), None).is_empty());
        assert!(priority_errors(&class(SYSTEM_PRIORITIES[0].0, SYSTEM_PRIORITIES[0].1), None).is_empty());
        assert_eq!(priority_errors(&class("mine", HIGHEST + 1), None).len(), 1);
        assert_eq!(priority_errors(&class("system-mine", 1), None).len(), 1);
        let errors = priority_errors(&class("mine", 2), Some(&class("mine", 1)));
        assert_eq!(
            errors[0].to_string(),
            "value: Forbidden: may not be changed in an update."
        );
    }

    #[test]
    fn a_lease_lasts() {
        assert!(lease_errors(&json!({"leaseDurationSeconds": 1, "leaseTransitions": 0})).is_empty());
        let errors = lease_errors(&json!({"leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "x"}));
        assert_eq!(errors.len(), 3);
        assert_eq!(
            errors[0].to_string(),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
        );
        assert!(lease_errors(&json!({"strategy": "OldestEmulationVersion"})).is_empty());
        assert!(lease_errors(&json!({"strategy": "e.org/own", "preferredHolder": "x"})).is_empty());
        assert_eq!(lease_errors(&json!({"strategy": "Odd"})).len(), 1);
    }
}
