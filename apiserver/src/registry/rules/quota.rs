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
pub(super) const COUNTED: [&str; 9] = [
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

fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::root("spec");
    limits(&new["spec"]["hard"], &spec.child("hard"), &mut errors);
    for field in ["hard", "used"] {
        limits(&new["status"][field], &Path::root("status").child(field), &mut errors);
    }
    scopes(&new["spec"], &spec, &mut errors);
    selector(&new["spec"], &spec, &mut errors);
    let set = |quota: &Value| {
        let mut list: Vec<String> = names_of(&quota["spec"]["scopes"]).map(str::to_owned).collect();
        list.sort();
        list
    };
    if old.is_some_and(|old| set(old) != set(new)) {
        let detail = "field is immutable";
        errors.push(wrong(spec.child("scopes"), &new["spec"]["scopes"], detail));
    }
    errors
}

/// A mistake in a whole list or object.
fn wrong(path: Path, value: &Value, detail: &str) -> FieldError {
    FieldError {
        value: Some(value.to_string()),
        ..FieldError::new(path, ErrorKind::Invalid, detail)
    }
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

/// Scopes that a quota cannot have both.
const PAIRS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

fn misfits(spec: &Value, scope: &str) -> usize {
    let hard = spec["hard"].as_object().into_iter().flatten();
    hard.filter(|(name, _)| is_standard(name) && !fits(scope, name)).count()
}

fn conflicts(given: &[&str]) -> usize {
    let both = |pair: &&[&str; 2]| pair.iter().all(|scope| given.contains(scope));
    PAIRS.iter().filter(both).count()
}

fn scopes(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let path = path.child("scopes");
    let given: Vec<&str> = names_of(&spec["scopes"]).collect();
    let invalid = |detail: &str| wrong(path.clone(), &spec["scopes"], detail);
    for scope in &given {
        if !SCOPES.contains(scope) {
            errors.push(invalid("unsupported scope"));
        }
        errors.extend((0..misfits(spec, scope)).map(|_| invalid("unsupported scope applied to resource")));
    }
    errors.extend((0..conflicts(&given)).map(|_| invalid("conflicting scopes")));
}

/// Upstream tells of no place in the list.
fn selector(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let selector = &spec["scopeSelector"];
    let expressions = path.child("scopeSelector").child("matchExpressions");
    let mut given = Vec::new();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let scope = expression["scopeName"].as_str().unwrap_or("");
        given.push(scope);
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(
                expressions.child("scopeName"),
                scope,
                "unsupported scope",
            ));
        }
        let unfit = "unsupported scope applied to resource";
        errors.extend((0..misfits(spec, scope)).map(|_| wrong(expressions.clone(), selector, unfit)));
        operator(expression, scope, &expressions, errors);
    }
    let conflict = || wrong(expressions.clone(), &spec["scopes"], "conflicting scopes");
    errors.extend((0..conflicts(&given)).map(|_| conflict()));
}

fn operator(expression: &Value, scope: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let operator = expression["operator"].as_str().unwrap_or("");
    let yes_or_no = SCOPES.contains(&scope) && scope != "PriorityClass";
    if yes_or_no && operator != "Exists" {
        let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                      ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                      ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(FieldError::invalid(path.child("operator"), operator, detail));
    }
    let values = &expression["values"];
    match (operator, names_of(values).next().is_some()) {
        ("In" | "NotIn", false) => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(FieldError::new(path.child("values"), ErrorKind::Required, detail));
        }
        ("Exists" | "DoesNotExist", true) => {
            let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(wrong(path.child("values"), values, detail));
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
        _ => errors.push(FieldError::invalid(
            path.child("operator"),
            operator,
            "not a valid selector operator",
        )),
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
            ["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"]
        );
        assert_eq!(
            told(&json!({"scopes": ["Terminating", "NotTerminating", "Odd"]})).len(),
            2
        );
        let selector =
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}});
        assert_eq!(told(&selector).len(), 1);
        let selector = json!({"hard": {"cpu": "1"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "BestEffort", "operator": "Exists"}, {"scopeName": "NotBestEffort", "operator": "In"},
        ]}});
        let told = told(&selector);
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(
            told[0].starts_with("spec.scopeSelector.matchExpressions: Invalid value: {"),
            "{told:#?}"
        );
    }
}
