//! Configurations of admission webhooks.

use std::collections::BTreeSet;

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Value, json};

use super::selection::{
    conditions, default, default_rules, elements, label_selector, one_of, quoted, required, rule, text,
};
use crate::admission::expression::{Asks, Params, environment};
use crate::registry::metadata::check_name;
use crate::registry::resource::{NameRule, Rules};

/// Webhooks that change objects.
pub(in crate::registry) const MUTATING: Rules = Rules {
    validate: |new, _| {
        let mut errors = errors(new);
        for (path, hook) in elements(&new["webhooks"], &Path::root("webhooks")) {
            let path = path.child("reinvocationPolicy");
            one_of(&hook["reinvocationPolicy"], path, &["IfNeeded", "Never"], &mut errors);
        }
        errors
    },
    prepare: |new, _| {
        defaults(new);
        for hook in hooks(new) {
            default(hook, "reinvocationPolicy", json!("Never"));
        }
    },
};
/// Webhooks that do not.
pub(in crate::registry) const VALIDATING: Rules = Rules {
    validate: |new, _| errors(new),
    prepare: |new, _| defaults(new),
};

fn hooks(new: &mut Value) -> impl Iterator<Item = &mut Value> {
    let hooks = new.get_mut("webhooks").and_then(Value::as_array_mut);
    hooks.into_iter().flatten().filter(|hook| hook.is_object())
}

fn defaults(new: &mut Value) {
    for hook in hooks(new) {
        default(hook, "failurePolicy", json!("Fail"));
        default(hook, "matchPolicy", json!("Equivalent"));
        default(hook, "namespaceSelector", json!({}));
        default(hook, "objectSelector", json!({}));
        default(hook, "timeoutSeconds", json!(10));
        if let Some(rules) = hook.get_mut("rules") {
            default_rules(rules);
        }
        let service = &mut hook["clientConfig"]["service"];
        if service.is_object() {
            default(service, "port", json!(443));
        } else if let Some(config) = hook["clientConfig"].as_object_mut() {
            config.remove("service");
        }
    }
}

fn errors(new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (path, hook) in elements(&new["webhooks"], &Path::root("webhooks")) {
        let name = text(hook, "name");
        webhook(hook, &path, &mut errors);
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::with_value(
                path.child("name"),
                ErrorKind::Duplicate,
                name,
                "",
            ));
        }
    }
    errors
}

fn webhook(hook: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    versions(
        &hook["admissionReviewVersions"],
        &path.child("admissionReviewVersions"),
        errors,
    );
    full_name(text(hook, "name"), path.child("name"), errors);
    for (path, rule) in elements(&hook["rules"], &path.child("rules")) {
        self::rule(rule, &path, errors);
    }
    one_of(
        &hook["failurePolicy"],
        path.child("failurePolicy"),
        &["Fail", "Ignore"],
        errors,
    );
    one_of(
        &hook["matchPolicy"],
        path.child("matchPolicy"),
        &["Equivalent", "Exact"],
        errors,
    );
    let effects = path.child("sideEffects");
    if text(hook, "sideEffects").is_empty() {
        errors.push(required(effects, "must specify one of None, NoneOnDryRun"));
    } else {
        one_of(&hook["sideEffects"], effects, &["None", "NoneOnDryRun"], errors);
    }
    if !hook["timeoutSeconds"].is_null() && !hook["timeoutSeconds"].as_i64().is_some_and(|s| (1..=30).contains(&s)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(quoted(path.child("timeoutSeconds"), &hook["timeoutSeconds"], detail));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        label_selector(&hook[field], &path.child(field), errors);
    }
    client_config(&hook["clientConfig"], &path.child("clientConfig"), errors);
    let environment = environment(Params::Absent, Asks::Authorizer);
    conditions(
        &hook["matchConditions"],
        &path.child("matchConditions"),
        &environment,
        errors,
    );
}

fn versions(list: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let names: Vec<&str> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if names.is_empty() {
        errors.push(required(path.clone(), "must specify one of v1"));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        if !seen.insert(name) {
            errors.push(FieldError::invalid(path.index(index), name, "duplicate version"));
        } else if !is_dns_1035_label(name) {
            errors.push(FieldError::invalid(path.index(index), name, DNS_1035));
        }
    }
    if !names.contains(&"v1") {
        errors.push(quoted(path.clone(), list, "must include at least one of v1"));
    }
}

/// What a label of RFC 1035 is.
pub(super) const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
     with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Whether a text is one.
pub(super) fn is_dns_1035_label(text: &str) -> bool {
    check_name(text, NameRule::Label).is_ok() && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn full_name(name: &str, path: Path, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(required(path, ""));
        return;
    }
    if let Err(expected) = check_name(name, NameRule::Subdomain) {
        errors.push(FieldError::invalid(path.clone(), name, expected));
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

/// A `clientConfig`: of admission here, and of conversion in the same words.
pub(in crate::registry) fn client_config(config: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match (config["url"].as_str(), config["service"].is_object()) {
        (Some(url), false) => self::url(url, &path.child("url"), errors),
        (None, true) => service(&config["service"], &path.child("service"), errors),
        _ => errors.push(required(path.clone(), "exactly one of url or service is required")),
    }
}

fn url(given: &str, path: &Path, errors: &mut Vec<FieldError>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut wrong = |value: &str, detail: String| errors.push(FieldError::invalid(path.clone(), value, detail));
    let (before, fragment) = given.split_once('#').unwrap_or((given, ""));
    let (before, query) = before.split_once('?').unwrap_or((before, ""));
    let (scheme, rest) = before.split_once("://").unwrap_or(("", before));
    let authority = rest.split('/').next().filter(|_| !scheme.is_empty()).unwrap_or("");
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        wrong(scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        wrong(host, format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        wrong(user, "user information is not permitted in the URL".to_owned());
    }
    if !fragment.is_empty() {
        wrong(fragment, "fragments are not permitted in the URL".to_owned());
    }
    if !query.is_empty() {
        wrong(query, "query parameters are not permitted in the URL".to_owned());
    }
    if before.parse::<http::Uri>().is_err() {
        let why = format!("url must be a valid URL{FORM}");
        errors.push(required(path.clone(), &why));
    }
}

fn service(service: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (field, missing) in [
        ("name", "service name is required"),
        ("namespace", "service namespace is required"),
    ] {
        let given = text(service, field);
        if given.is_empty() {
            errors.push(required(path.child(field), missing));
        }
    }
    if !service["port"].is_null() && !service["port"].as_i64().is_some_and(|port| (1..=65535).contains(&port)) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(quoted(path.child("port"), &service["port"], detail));
    }
    service_path(text(service, "path"), &path.child("path"), errors);
}

fn service_path(given: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if given.is_empty() || given == "/" {
        return;
    }
    let mut wrong = |detail: String| errors.push(FieldError::invalid(path.clone(), given, detail));
    let Some(rest) = given.strip_prefix('/') else {
        wrong("must start with a '/'".to_owned());
        return;
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    for (index, step) in rest.split('/').enumerate() {
        if step.is_empty() {
            wrong(format!("segment[{index}] may not be empty"));
        } else if let Err(expected) = check_name(step, NameRule::Subdomain) {
            wrong(format!("segment[{index}]: {expected}"));
        }
    }
}
