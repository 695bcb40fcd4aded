//! What roles and bindings have to be, beyond their types, and what is filled in where they leave it out
//! (`kubernetes/pkg/apis/rbac/validation`, `…/v1/defaults.go`).

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Value, json};

use super::rbac::GROUP;

fn is_empty(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn required(path: Path, detail: &str) -> FieldError {
    FieldError::new(path, ErrorKind::Required, detail)
}

fn quoting(path: Path, value: &Value, detail: &str) -> FieldError {
    let mut error = FieldError::new(path, ErrorKind::Invalid, detail);
    error.value = Some(value.to_string());
    error
}

fn unsupported(path: Path, value: &str, supported: &[&str]) -> FieldError {
    let names: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
    let detail = format!("supported values: {}", names.join(", "));
    FieldError::with_value(path, ErrorKind::NotSupported, value, detail)
}

/// The mistakes of a Role.
pub fn role(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (rule, path) in rules(new) {
        if !is_empty(&rule["nonResourceURLs"]) {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(quoting(path.child("nonResourceURLs"), &rule["nonResourceURLs"], detail));
        }
        rule_errors(rule, &path, &mut errors);
    }
    errors
}

/// The mistakes of a ClusterRole.
pub fn cluster_role(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (rule, path) in rules(new) {
        rule_errors(rule, &path, &mut errors);
    }
    let aggregation = &new["aggregationRule"];
    if aggregation.is_object() {
        let path = Path::root("aggregationRule").child("clusterRoleSelectors");
        let selectors = &aggregation["clusterRoleSelectors"];
        if is_empty(selectors) {
            errors.push(required(
                path.clone(),
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (index, selector) in selectors.as_array().into_iter().flatten().enumerate() {
            if let Err(error) = super::aggregation::selector(selector) {
                errors.push(quoting(path.index(index), selector, &error.to_string()));
            }
        }
    }
    errors
}

fn rules(role: &Value) -> impl Iterator<Item = (&Value, Path)> {
    let rules = role["rules"].as_array().into_iter().flatten().enumerate();
    rules.map(|(index, rule)| (rule, Path::root("rules").index(index)))
}

fn rule_errors(rule: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if is_empty(&rule["verbs"]) {
        errors.push(required(path.child("verbs"), "verbs must contain at least one value"));
    }
    let of_resources = ["apiGroups", "resources", "resourceNames"].map(|field| !is_empty(&rule[field]));
    if !is_empty(&rule["nonResourceURLs"]) {
        if of_resources.contains(&true) {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(quoting(path.child("nonResourceURLs"), &rule["nonResourceURLs"], detail));
        }
        return;
    }
    if !of_resources[0] {
        let detail = "resource rules must supply at least one api group";
        errors.push(required(path.child("apiGroups"), detail));
    }
    if !of_resources[1] {
        let detail = "resource rules must supply at least one resource";
        errors.push(required(path.child("resources"), detail));
    }
}

/// The mistakes of a RoleBinding.
pub fn role_binding(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    binding(new, old, &["ClusterRole", "Role"])
}

/// The mistakes of a ClusterRoleBinding.
pub fn cluster_role_binding(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    binding(new, old, &["ClusterRole"])
}

fn binding(new: &Value, old: Option<&Value>, kinds: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let reference = &new["roleRef"];
    let path = Path::root("roleRef");
    let text = |field: &str| reference[field].as_str().unwrap_or("");
    if text("apiGroup") != GROUP {
        errors.push(unsupported(path.child("apiGroup"), text("apiGroup"), &[GROUP]));
    }
    if !kinds.contains(&text("kind")) {
        errors.push(unsupported(path.child("kind"), text("kind"), kinds));
    }
    match text("name") {
        "" => errors.push(required(path.child("name"), "")),
        name if name == "." || name == ".." || name.contains(['/', '%']) => {
            let detail = "may not be '.' or '..' and may not contain '/' or '%'";
            errors.push(FieldError::invalid(path.child("name"), name, detail));
        }
        _ => {}
    }
    for (index, subject) in new["subjects"].as_array().into_iter().flatten().enumerate() {
        subject_errors(subject, &Path::root("subjects").index(index), &mut errors);
    }
    if old.is_some_and(|old| old["roleRef"] != *reference) {
        errors.push(quoting(path, reference, "cannot change roleRef"));
    }
    errors
}

fn subject_errors(subject: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let text = |field: &str| subject[field].as_str().unwrap_or("");
    if text("name").is_empty() {
        errors.push(required(path.child("name"), ""));
    }
    let group = match text("kind") {
        "ServiceAccount" => {
            if !text("name").is_empty() && !breakbulk_schemas::text::dns_subdomain(text("name")) {
                let detail =
                    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'";
                errors.push(FieldError::invalid(path.child("name"), text("name"), detail));
            }
            if text("namespace").is_empty() {
                errors.push(required(path.child("namespace"), ""));
            }
            ""
        }
        "User" | "Group" => GROUP,
        other => {
            let kinds = ["Group", "ServiceAccount", "User"];
            return errors.push(unsupported(path.child("kind"), other, &kinds));
        }
    };
    if text("apiGroup") != group {
        errors.push(unsupported(path.child("apiGroup"), text("apiGroup"), &[group]));
    }
}

/// Fills in what a binding leaves out.
pub fn default_binding(new: &mut Value, _old: Option<&Value>) {
    let default_group = |of: &mut Value| {
        if let Some(of) = of.as_object_mut()
            && of.get("apiGroup").is_none_or(|group| group == "" || group.is_null())
        {
            of.insert("apiGroup".to_owned(), json!(GROUP));
        }
    };
    if let Some(reference) = new.get_mut("roleRef") {
        default_group(reference);
    }
    for subject in new
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if subject["kind"] == "User" || subject["kind"] == "Group" {
            default_group(subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_say_what_they_are_about() {
        let new = json!({"rules": [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": [], "apiGroups": [], "resources": []},
            {"verbs": ["get"], "nonResourceURLs": ["/x"]},
        ]});
        let two = [
            "rules[1].verbs: Required value: verbs must contain at least one value",
            "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[1].resources: Required value: resource rules must supply at least one resource",
        ];
        assert_eq!(texts(&cluster_role(&new, None)), two);
        assert_eq!(
            texts(&role(&new, None)).last().unwrap(),
            "rules[2].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"
        );
    }

    #[test]
    fn a_binding_keeps_its_role_and_names_its_subjects_well() {
        let binding = |role: &str, subjects: Value| {
            let mut new = json!({"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": subjects});
            default_binding(&mut new, None);
            new
        };
        let old = binding("a", json!([{"kind": "User", "name": "ann"}]));
        assert!(role_binding(&old, None).is_empty());
        let new = binding(
            "b",
            json!([{"kind": "ServiceAccount", "name": "ci"}, {"kind": "Robot", "name": "r"}]),
        );
        assert_eq!(
            texts(&cluster_role_binding(&new, Some(&old))),
            [
                "subjects[0].namespace: Required value",
                "subjects[1].kind: Unsupported value: \"Robot\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
                "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"b\"}: \
                 cannot change roleRef",
            ]
        );
    }
}
