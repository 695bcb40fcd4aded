//! What webhooks and policies have in common: rules, selectors, match conditions
//! (`pkg/apis/admissionregistration/validation/validation.go`, whose texts these are).

use std::collections::BTreeSet;

use breakbulk_cel::{Environment, Type};
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Value, json};

use crate::admission::expression;
use crate::registry::metadata::{check_name, is_qualified};
use crate::registry::resource::NameRule;
use crate::selector::LabelSelector;

/// The most match conditions of one webhook or policy.
const MAX_CONDITIONS: usize = 64;

/// A value that is missing.
pub(super) fn required(path: Path, detail: &str) -> FieldError {
    FieldError::new(path, ErrorKind::Required, detail)
}

/// A string of an object; empty when it is not there.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or("")
}

/// The elements of a list, with their paths.
pub(super) fn elements<'a>(list: &'a Value, path: &'a Path) -> impl Iterator<Item = (Path, &'a Value)> {
    let list = list.as_array().into_iter().flatten().enumerate();
    list.map(|(index, value)| (path.index(index), value))
}

/// A list that quotes as JSON in a message.
pub(super) fn quoted(path: Path, value: &Value, detail: &str) -> FieldError {
    let mut error = FieldError::with_value(path, ErrorKind::Invalid, "", detail);
    error.value = Some(value.to_string().chars().take(120).collect());
    error
}

/// A value that must be one of a few, if it is there.
pub(super) fn one_of(value: &Value, path: Path, allowed: &[&str], errors: &mut Vec<FieldError>) {
    let Some(given) = value.as_str() else { return };
    if !allowed.contains(&given) {
        let list: Vec<String> = allowed.iter().map(|name| format!("{name:?}")).collect();
        let detail = format!("supported values: {}", list.join(", "));
        errors.push(FieldError::with_value(path, ErrorKind::NotSupported, given, detail));
    }
}

/// Sets a field that is not there.
pub(super) fn default(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

/// Fills in what rules leave out.
pub(super) fn default_rules(rules: &mut Value) {
    for rule in rules
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter(|rule| rule.is_object())
    {
        default(rule, "scope", json!("*"));
    }
}

/// Fills in what a `matchConstraints` or `matchResources` leaves out.
pub(super) fn default_match_resources(resources: &mut Value) {
    if !resources.is_object() {
        return;
    }
    default(resources, "matchPolicy", json!("Equivalent"));
    default(resources, "namespaceSelector", json!({}));
    default(resources, "objectSelector", json!({}));
    for field in ["resourceRules", "excludeResourceRules"] {
        if let Some(rules) = resources.get_mut(field) {
            default_rules(rules);
        }
    }
}

/// A `matchConstraints` or `matchResources`.
pub(super) fn match_resources(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    one_of(
        &given["matchPolicy"],
        path.child("matchPolicy"),
        &["Equivalent", "Exact"],
        errors,
    );
    for field in ["namespaceSelector", "objectSelector"] {
        label_selector(&given[field], &path.child(field), errors);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        let path = path.child(field);
        for (path, rule) in elements(&given[field], &path) {
            resource_names(&rule["resourceNames"], &path.child("resourceNames"), errors);
            self::rule(rule, &path, errors);
        }
    }
}

fn resource_names(names: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (path, name) in elements(names, path) {
        let name = name.as_str().unwrap_or("");
        if let Err(expected) = check_name(name, NameRule::Segment) {
            errors.push(FieldError::invalid(path.clone(), name, expected));
        }
        if !seen.insert(name) {
            errors.push(FieldError::with_value(path, ErrorKind::Duplicate, name, ""));
        }
    }
}

/// One rule.
pub(super) fn rule(rule: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let lists = [
        ("operations", "if '*' is present, must not specify other operations"),
        ("apiGroups", "if '*' is present, must not specify other API groups"),
        ("apiVersions", "if '*' is present, must not specify other API versions"),
    ];
    for (field, alone) in lists {
        let list = rule[field].as_array().map_or(&[] as &[Value], Vec::as_slice);
        if list.is_empty() {
            errors.push(required(path.child(field), ""));
        }
        if list.len() > 1 && list.iter().any(|value| value == "*") {
            errors.push(quoted(path.child(field), &rule[field], alone));
        }
    }
    for (path, operation) in elements(&rule["operations"], &path.child("operations")) {
        one_of(operation, path, &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"], errors);
    }
    for (path, version) in elements(&rule["apiVersions"], &path.child("apiVersions")) {
        if version == "" {
            errors.push(required(path, ""));
        }
    }
    resources(&rule["resources"], &path.child("resources"), errors);
    one_of(
        &rule["scope"],
        path.child("scope"),
        &["*", "Cluster", "Namespaced"],
        errors,
    );
}

fn resources(list: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let names: Vec<&str> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if names.is_empty() {
        errors.push(required(path.clone(), ""));
    }
    let (mut all_of, mut in_all) = (BTreeSet::new(), BTreeSet::new());
    for (index, name) in names.iter().enumerate() {
        let at = path.index(index);
        if name.is_empty() {
            errors.push(required(at, ""));
            continue;
        }
        let Some((resource, sub)) = name.split_once('/') else {
            continue;
        };
        if all_of.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {name}");
            errors.push(FieldError::invalid(at.clone(), name, detail));
        }
        if in_all.contains(sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {name}");
            errors.push(FieldError::invalid(at, name, detail));
        }
        if sub == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            in_all.insert(sub);
        }
    }
    if names.len() > 1 && names.contains(&"*/*") {
        let alone = "if '*/*' is present, must not specify other resources";
        errors.push(quoted(path.clone(), list, alone));
    }
    if names.contains(&"*") && names.iter().any(|name| *name != "*" && !name.contains('/')) {
        let alone = "if '*' is present, must not specify other resources without subresources";
        errors.push(quoted(path.clone(), list, alone));
    }
}

/// A label selector.
pub(super) fn label_selector(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Ok(Some(typed)) = serde_json::from_value::<Option<_>>(given.clone()) else {
        return;
    };
    if let Err(error) = LabelSelector::from_object(&typed) {
        errors.push(quoted(path.clone(), given, &error.to_string()));
        return;
    }
    for (key, value) in given["matchLabels"].as_object().into_iter().flatten() {
        let at = path.child("matchLabels");
        label(&at, key, [value.as_str().unwrap_or("")].into_iter(), errors);
    }
    for (at, expression) in elements(&given["matchExpressions"], &path.child("matchExpressions")) {
        let values = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        label(&at, text(expression, "key"), values, errors);
    }
}

fn label<'a>(path: &Path, key: &str, values: impl Iterator<Item = &'a str>, errors: &mut Vec<FieldError>) {
    if !breakbulk_schemas::text::is_label_key(key) {
        let detail = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
                      an alphanumeric character";
        errors.push(FieldError::invalid(path.clone(), key, detail));
    }
    for value in values.filter(|value| !breakbulk_schemas::text::is_label_value(value)) {
        let detail = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                      and must start and end with an alphanumeric character";
        errors.push(FieldError::invalid(path.clone(), value, detail));
    }
}

/// Match conditions.
pub(super) fn conditions(given: &Value, path: &Path, environment: &Environment, errors: &mut Vec<FieldError>) {
    let count = given.as_array().map_or(0, Vec::len);
    if count > MAX_CONDITIONS {
        let detail = format!("must have at most {MAX_CONDITIONS} items");
        errors.push(quoted_count(path.clone(), count, detail));
        return;
    }
    let mut names = BTreeSet::new();
    for (path, condition) in elements(given, path) {
        let name = text(condition, "name");
        expression_of(condition, "expression", "", environment, &[Type::Bool], &path, errors);
        let at = path.child("name");
        if name.is_empty() {
            errors.push(required(at, ""));
            continue;
        }
        if !is_qualified(name) {
            let detail = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                          with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                          validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain \
                          prefix and '/' (e.g. 'example.com/MyName')";
            errors.push(FieldError::invalid(at.clone(), name, detail));
        }
        if !names.insert(name) {
            errors.push(FieldError::with_value(at, ErrorKind::Duplicate, name, ""));
        }
    }
}

fn quoted_count(path: Path, count: usize, detail: String) -> FieldError {
    let mut error = FieldError::new(path, ErrorKind::TooMany, detail);
    error.value = Some(count.to_string());
    error
}

/// An expression that must be there and compile.
pub(super) fn expression_of(
    object: &Value,
    field: &str,
    missing: &str,
    environment: &Environment,
    types: &[Type],
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let (given, path) = (text(object, field), path.child(field));
    if given.trim().is_empty() {
        errors.push(required(path, missing));
    } else if let Err(why) = expression::compile(environment, given, types) {
        errors.push(FieldError::invalid(path, given, why));
    }
}
