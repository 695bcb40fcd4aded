//! ResourceQuotas: limits are amounts of what can be limited, and scopes fit to them
//! (`k8s.io/kubernetes/pkg/apis/core/validation`, `ValidateResourceQuota`).

use breakbulk_schemas::amount::Amount;
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::Value;

use crate::registry::names;
use crate::registry::resource::Rules;

pub(in crate::registry) const RULES: Rules = Rules {
    validate,
    prepare: |_, _| {},
};

/// What is limited in whole numbers.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// What is limited in amounts.
const MEASURED: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
const SCOPES: [&str; 6] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
];
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::root("spec");
    limits(&new["spec"]["hard"], &spec.child("hard"), &mut errors);
    for field in ["hard", "used"] {
        limits(&new["status"][field], &Path::root("status").child(field), &mut errors);
    }
    scopes(&new["spec"], &spec, &mut errors);
    selector(
        &new["spec"],
        &spec.child("scopeSelector").child("matchExpressions"),
        &mut errors,
    );
    let set = |quota: &Value| {
        let mut list: Vec<String> = names_of(&quota["spec"]["scopes"]).map(str::to_owned).collect();
        list.sort();
        list
    };
    if old.is_some_and(|old| set(old) != set(new)) {
        let detail = "field is immutable";
        errors.push(FieldError::new(spec.child("scopes"), ErrorKind::Invalid, detail));
    }
    errors
}

fn names_of(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn limits(hard: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, amount) in hard.as_object().into_iter().flatten() {
        let path = path.key(name);
        let wrong = names::qualified(name).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid(path.clone(), name, text)));
        let counted = COUNTED.contains(&name.as_str()) || name.starts_with("count/");
        if !name.contains('/') && !counted && !MEASURED.contains(&name.as_str()) && !name.starts_with("hugepages-") {
            let detail = "must be a standard resource for quota";
            errors.push(FieldError::invalid(path.clone(), name, detail));
        }
        let text = match amount {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match text.parse::<Amount>() {
            Err(error) => errors.push(FieldError::invalid(path, &text, error.to_string())),
            Ok(amount) if amount.is_negative() => {
                errors.push(FieldError::invalid(path, &text, "must be greater than or equal to 0"));
            }
            Ok(amount) if counted && !amount.is_whole() => {
                errors.push(FieldError::invalid(path, &text, "must be an integer"));
            }
            Ok(_) => {}
        }
    }
}

/// Whether a scope says something about what is limited (`IsResourceQuotaScopeValidForResource`).
fn fits(scope: &str, name: &str) -> bool {
    match scope {
        "BestEffort" => name == "pods",
        "CrossNamespacePodAffinity" | "Terminating" | "NotTerminating" | "NotBestEffort" => {
            name == "pods" || MEASURED.contains(&name)
        }
        _ => true,
    }
}

fn is_standard(name: &str) -> bool {
    COUNTED.contains(&name) || MEASURED.contains(&name)
}

fn scopes(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let path = path.child("scopes");
    let given: Vec<&str> = names_of(&spec["scopes"]).collect();
    let invalid = |detail: &str| FieldError::new(path.clone(), ErrorKind::Invalid, detail);
    for scope in &given {
        if !SCOPES.contains(scope) {
            errors.push(FieldError::invalid(path.clone(), scope, "unsupported scope"));
        }
        let mut hard = spec["hard"].as_object().into_iter().flatten();
        if hard.any(|(name, _)| is_standard(name) && !fits(scope, name)) {
            errors.push(invalid("unsupported scope applied to resource"));
        }
    }
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| given.contains(scope)) {
            errors.push(invalid("conflicting scopes"));
        }
    }
}

fn selector(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let expressions = spec["scopeSelector"]["matchExpressions"].as_array();
    for (index, expression) in expressions.into_iter().flatten().enumerate() {
        let path = path.index(index);
        let text = |field: &str| expression[field].as_str().unwrap_or("");
        let (scope, operator) = (text("scopeName"), text("operator"));
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path.child("scopeName"), scope, "unsupported scope"));
        }
        if scope != "PriorityClass" && operator != "Exists" {
            let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(path.child("operator"), operator, detail));
        } else if !OPERATORS.contains(&operator) {
            errors.push(FieldError::invalid(
                path.child("operator"),
                operator,
                "not a valid selector operator",
            ));
        }
        let some = names_of(&expression["values"]).next().is_some();
        match (operator, some) {
            ("In" | "NotIn", false) => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::new(path.child("values"), ErrorKind::Required, detail));
            }
            ("Exists" | "DoesNotExist", true) => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::new(path.child("values"), ErrorKind::Invalid, detail));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(spec: &Value) -> Vec<String> {
        validate(&json!({ "spec": spec }), None)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn limits_are_amounts_of_what_can_be_limited() {
        assert!(told(&json!({"hard": {"cpu": "1500m", "pods": "3", "count/jobs.breakbulk.dev": "2"}})).is_empty());
        assert_eq!(
            told(&json!({"hard": {"bananas": "1"}})),
            ["spec.hard[bananas]: Invalid value: \"bananas\": must be a standard resource for quota"]
        );
        assert_eq!(told(&json!({"hard": {"pods": "1500m", "memory": "-1"}})).len(), 2);
    }

    #[test]
    fn scopes_fit_to_limits_and_to_each_other() {
        assert!(told(&json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotTerminating"]})).is_empty());
        assert_eq!(
            told(&json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]})),
            ["spec.scopes: Invalid value: unsupported scope applied to resource"]
        );
        assert_eq!(
            told(&json!({"scopes": ["Terminating", "NotTerminating", "Odd"]})).len(),
            2
        );
        let selector =
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}});
        assert_eq!(told(&selector).len(), 1);
    }
}
