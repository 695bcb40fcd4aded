//! Admission policies and their bindings.

use std::collections::BTreeSet;

use breakbulk_cel::{Composition, Environment, Type};
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Value, json};

use super::selection::{
    conditions, default, default_match_resources, elements, expression_of, label_selector, match_resources, one_of,
    quoted, required, text,
};
use super::webhooks::{DNS_1035, is_dns_1035_label};
use crate::admission::expression::{Asks, Params, compile, environment};
use crate::registry::metadata::{check_name, is_qualified};
use crate::registry::object;
use crate::registry::resource::{NameRule, Rules};

/// The most annotations of one policy, and the longest expression of one, in bytes.
const MAX_ANNOTATIONS: usize = 20;
const MAX_VALUE_EXPRESSION: usize = 5 << 10;

/// Policies.
pub(in crate::registry) const POLICY: Rules = Rules {
    validate: |new, _| policy(new),
    prepare: |new, _| {
        if new["spec"].is_object() {
            default(&mut new["spec"], "failurePolicy", json!("Fail"));
            if let Some(constraints) = new["spec"].get_mut("matchConstraints") {
                default_match_resources(constraints);
            }
        }
    },
};
/// Bindings.
pub(in crate::registry) const BINDING: Rules = Rules {
    validate: |new, _| binding(new),
    prepare: |new, _| {
        if let Some(resources) = new.get_mut("spec").and_then(|spec| spec.get_mut("matchResources")) {
            default_match_resources(resources);
        }
    },
};

fn policy(new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&new["spec"], Path::root("spec"));
    one_of(
        &spec["failurePolicy"],
        path.child("failurePolicy"),
        &["Fail", "Ignore"],
        &mut errors,
    );
    let params = if spec["paramKind"].is_object() {
        param_kind(&spec["paramKind"], &path.child("paramKind"), &mut errors);
        Params::Given
    } else {
        Params::Absent
    };
    constraints(&spec["matchConstraints"], &path.child("matchConstraints"), &mut errors);
    let plain = environment(params, Asks::Authorizer);
    conditions(
        &spec["matchConditions"],
        &path.child("matchConditions"),
        &plain,
        &mut errors,
    );
    let variables = variables(&spec["variables"], &path.child("variables"), &plain, &mut errors);
    let all = plain.with_variables(&variables);
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    if empty(&spec["validations"]) && empty(&spec["auditAnnotations"]) {
        let detail = "validations or auditAnnotations must be non-empty";
        errors.push(required(path.child("validations"), detail));
        errors.push(required(path.child("auditAnnotations"), detail));
    }
    let silent = environment(params, Asks::Nobody).with_variables(&variables);
    for (path, given) in elements(&spec["validations"], &path.child("validations")) {
        validation(given, &path, &all, &silent, &mut errors);
    }
    let name = object::meta(new, "name");
    annotations(
        name,
        &spec["auditAnnotations"],
        &path.child("auditAnnotations"),
        &all,
        &mut errors,
    );
    errors
}

fn constraints(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !given.is_object() {
        errors.push(required(path.clone(), ""));
        return;
    }
    match_resources(given, path, errors);
    if given["resourceRules"].as_array().is_none_or(Vec::is_empty) {
        errors.push(required(path.child("resourceRules"), ""));
    }
}

fn param_kind(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (version, kind) = (text(given, "apiVersion"), text(given, "kind"));
    let at = path.child("apiVersion");
    if version.is_empty() {
        errors.push(required(at, ""));
    } else {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        if group.contains('/') {
            let why = format!("unexpected GroupVersion string: {}", text(given, "apiVersion"));
            errors.push(FieldError::invalid(at, text(given, "apiVersion"), why));
        } else {
            if !group.is_empty()
                && let Err(expected) = check_name(group, NameRule::Subdomain)
            {
                errors.push(FieldError::invalid(at.clone(), group, expected));
            }
            if !is_dns_1035_label(version) {
                errors.push(FieldError::invalid(at, version, DNS_1035));
            }
        }
    }
    if kind.is_empty() {
        errors.push(required(path.child("kind"), ""));
    } else if !is_dns_1035_label(&kind.to_lowercase()) {
        let why = format!("may have mixed case, but should otherwise match: {DNS_1035}");
        errors.push(FieldError::invalid(path.child("kind"), kind, why));
    }
}

/// Checks the variables and gives those that compile.
fn variables(given: &Value, path: &Path, plain: &Environment, errors: &mut Vec<FieldError>) -> Composition {
    let mut variables = Composition::new();
    let mut names = BTreeSet::new();
    for (path, variable) in elements(given, path) {
        let (name, expression) = (text(variable, "name"), text(variable, "expression"));
        let at = path.child("name");
        if name.trim().is_empty() {
            errors.push(required(at, "name is not specified"));
        } else if !is_identifier(name) {
            errors.push(FieldError::invalid(at, name, "name is not a valid CEL identifier"));
        } else if !names.insert(name) {
            errors.push(FieldError::with_value(at, ErrorKind::Duplicate, name, ""));
        }
        let at = path.child("expression");
        if expression.trim().is_empty() {
            errors.push(required(at, "expression is not specified"));
            continue;
        }
        match compile(&plain.with_variables(&variables), expression, &[]) {
            // A second one of a name has been told of.
            Ok(program) => _ = variables.add(name, program),
            Err(why) => errors.push(FieldError::invalid(at, expression, why)),
        }
    }
    variables
}

fn is_identifier(name: &str) -> bool {
    const RESERVED: [&str; 19] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "void",
    ];
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    begins && goes_on && !RESERVED.contains(&name) && !matches!(name, "var" | "while")
}

fn validation(given: &Value, path: &Path, all: &Environment, silent: &Environment, errors: &mut Vec<FieldError>) {
    expression_of(
        given,
        "expression",
        "expression is not specified",
        all,
        &[Type::Bool],
        path,
        errors,
    );
    let (message, expression) = (text(given, "message"), text(given, "messageExpression"));
    if !expression.is_empty() {
        let at = path.child("messageExpression");
        if expression.trim().is_empty() {
            errors.push(FieldError::invalid(at, expression, "must be non-empty if specified"));
        } else if let Err(why) = compile(silent, expression, &[Type::String]) {
            errors.push(FieldError::invalid(at, expression, why));
        }
    }
    let at = path.child("message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(
            at,
            message,
            "message must be non-empty if specified",
        ));
    } else if message.trim().contains('\n') {
        errors.push(FieldError::invalid(at, message, "message must not contain line breaks"));
    } else if message.is_empty() && text(given, "expression").trim().contains('\n') {
        errors.push(required(
            at,
            "message must be specified if expression contains line breaks",
        ));
    }
    let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
    one_of(&given["reason"], path.child("reason"), &reasons, errors);
}

fn annotations(policy: &str, given: &Value, path: &Path, all: &Environment, errors: &mut Vec<FieldError>) {
    if given.as_array().is_some_and(|list| list.len() > MAX_ANNOTATIONS) {
        let detail = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(quoted(path.clone(), given, &detail));
        return;
    }
    let mut keys = BTreeSet::new();
    for (path, annotation) in elements(given, path) {
        let (key, expression) = (text(annotation, "key"), text(annotation, "valueExpression"));
        let at = path.child("key");
        if key.is_empty() {
            errors.push(required(at.clone(), ""));
        } else if !policy.is_empty() && !is_qualified(&format!("{policy}/{key}")) {
            let detail = "Audit annotation key must be a qualified name under the policy's name";
            errors.push(FieldError::invalid(at.clone(), key, detail));
        }
        if !key.is_empty() && !keys.insert(key) {
            errors.push(FieldError::with_value(at, ErrorKind::Duplicate, key, ""));
        }
        if expression.trim().len() > MAX_VALUE_EXPRESSION {
            let detail = format!("must not exceed {MAX_VALUE_EXPRESSION} bytes in length");
            errors.push(required(path.child("valueExpression"), &detail));
            continue;
        }
        let missing = "valueExpression is not specified";
        let types = [Type::String, Type::Null];
        expression_of(annotation, "valueExpression", missing, all, &types, &path, errors);
    }
}

fn binding(new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&new["spec"], Path::root("spec"));
    let policy = text(spec, "policyName");
    if policy.is_empty() {
        errors.push(required(path.child("policyName"), ""));
    } else if let Err(expected) = check_name(policy, NameRule::Subdomain) {
        errors.push(FieldError::invalid(path.child("policyName"), policy, expected));
    }
    if spec["paramRef"].is_object() {
        param_ref(&spec["paramRef"], &path.child("paramRef"), &mut errors);
    }
    if spec["matchResources"].is_object() {
        match_resources(&spec["matchResources"], &path.child("matchResources"), &mut errors);
    }
    actions(
        &spec["validationActions"],
        &path.child("validationActions"),
        &mut errors,
    );
    errors
}

fn param_ref(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let (name, selector) = (text(given, "name"), &given["selector"]);
    match (name.is_empty(), selector.is_object()) {
        (false, true) => {
            for field in ["name", "selector"] {
                errors.push(FieldError::new(path.child(field), ErrorKind::Forbidden, EXCLUSIVE));
            }
        }
        (true, false) => errors.push(required(path.clone(), "one of name or selector must be specified")),
        _ => {}
    }
    if !name.is_empty()
        && let Err(expected) = check_name(name, NameRule::Segment)
    {
        errors.push(FieldError::invalid(path.child("name"), name, expected));
    }
    label_selector(selector, &path.child("selector"), errors);
    let at = path.child("parameterNotFoundAction");
    if text(given, "parameterNotFoundAction").is_empty() {
        errors.push(required(at, ""));
    } else {
        one_of(&given["parameterNotFoundAction"], at, &["Allow", "Deny"], errors);
    }
}

fn actions(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (path, action) in elements(given, path) {
        one_of(action, path.clone(), &["Audit", "Deny", "Warn"], errors);
        let action = action.as_str().unwrap_or("");
        if !seen.insert(action) {
            errors.push(FieldError::with_value(path, ErrorKind::Duplicate, action, ""));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.push(quoted(path.clone(), given, detail));
    }
    if seen.is_empty() {
        errors.push(required(path.clone(), "at least one validation action is required"));
    }
}
