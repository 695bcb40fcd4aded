//! The rules of a Pipeline that a schema cannot say: names, needs, expressions, triggers. Every mistake is found in one
//! pass, so that a manifest with five of them shows five.

mod job;

/// The rules of the parts that a job of a pipeline and a Job object share.
pub(crate) mod job_parts {
    pub(crate) use super::job::{placement, resources, secrets, shell};
}

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Concurrency, Defaults, ParamSpec, ParamType, PipelineSpec, PushTrigger, Retry};
use crate::decode::{self, ScalarPlaces};
use crate::expression::check::{self, Scope, Want};
use crate::expression::{Expression, Template};
use crate::field::{ErrorKind, FieldError, Path};
use crate::graph::Graph;
use crate::{Duration, Scalar, matrix, text};

/// The longest name: with a suffix it becomes a run's, and that a label's value.
const MAX_NAME: usize = 52;

/// The most Jobs one run may have, matrices unfolded: each has an entry in the run's status.
const MAX_JOBS: usize = 2000;

/// Where a pipeline's scalars stand below its spec.
pub(crate) const SCALARS: ScalarPlaces = &[
    &["env", "*"],
    &["params", "*", "default"],
    &["params", "*", "options", "*"],
    &["defaults", "resources", "*"],
    &["jobs", "*", "env", "*"],
    &["jobs", "*", "matrix", "axes", "*", "*"],
    &["jobs", "*", "matrix", "include", "*", "*"],
    &["jobs", "*", "matrix", "exclude", "*", "*"],
    &["jobs", "*", "resources", "*"],
    &["finally", "*", "env", "*"],
    &["finally", "*", "matrix", "axes", "*", "*"],
    &["finally", "*", "matrix", "include", "*", "*"],
    &["finally", "*", "matrix", "exclude", "*", "*"],
    &["finally", "*", "resources", "*"],
];

/// Every mistake in a Pipeline.
pub fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(name) = new.pointer("/metadata/name").and_then(Value::as_str)
        && name.len() > MAX_NAME
    {
        let detail = format!("must be at most {MAX_NAME} characters long");
        errors.push(FieldError::with_value(
            Path::root("metadata").child("name"),
            ErrorKind::TooLong,
            name,
            detail,
        ));
    }
    validate_spec(
        new.get("spec").unwrap_or(&Value::Null),
        &Path::root("spec"),
        &mut errors,
    );
    errors
}

/// Every mistake in a pipeline's spec, wherever it stands.
pub(crate) fn validate_spec(value: &Value, root: &Path, errors: &mut Vec<FieldError>) {
    let Some(spec) = decode::decode::<PipelineSpec>(value, SCALARS, root, errors) else {
        return;
    };
    params(&spec.params, &root.child("params"), errors);
    let scope = pipeline_scope(&spec);
    env(&spec.env, &scope, &root.child("env"), errors);
    if let Some(concurrency) = &spec.concurrency {
        group(concurrency, &scope, &root.child("concurrency"), errors);
    }
    if let Some(push) = spec.triggers.as_ref().and_then(|triggers| triggers.push.as_ref()) {
        push_trigger(
            push,
            spec.repository.as_deref(),
            &root.child("triggers").child("push"),
            errors,
        );
    }
    if let Some(defaults) = &spec.defaults {
        defaults_of(defaults, &root.child("defaults"), errors);
    }
    positive(spec.timeout, root.child("timeout"), errors);
    if let Err(mistakes) = Graph::build(&spec, root) {
        errors.extend(mistakes);
    }
    jobs(&spec, root, errors);
}

fn jobs(spec: &PipelineSpec, root: &Path, errors: &mut Vec<FieldError>) {
    let all: BTreeSet<String> = spec.jobs.keys().cloned().collect();
    let scope = pipeline_scope(spec);
    let mut count = 0usize;
    for (section, templates, ended) in [("jobs", &spec.jobs, None), ("finally", &spec.finally, Some(&all))] {
        for (name, template) in templates {
            let path = root.child(section).child(name);
            errors.extend(text::dns_label(path.clone(), name, text::MAX_LABEL));
            let mut scope = scope.clone();
            scope.needs = template
                .needs
                .iter()
                .chain(ended.into_iter().flatten())
                .cloned()
                .collect();
            job::validate(template, scope, &path, errors);
            count += template
                .matrix
                .as_ref()
                .map_or(1, |m| matrix::product(m).max(1) + m.include.len());
        }
    }
    if count > MAX_JOBS {
        let detail =
            format!("makes {count} jobs with its matrices unfolded; at most {MAX_JOBS} are allowed in one run");
        errors.push(FieldError::new(root.child("jobs"), ErrorKind::TooMany, detail));
    }
}

/// What expressions outside jobs may name.
fn pipeline_scope(spec: &PipelineSpec) -> Scope {
    Scope {
        params: spec
            .params
            .iter()
            .map(|(name, param)| (name.clone(), param.type_))
            .collect(),
        needs: BTreeSet::new(),
        matrix: None,
    }
}

fn params(params: &BTreeMap<String, ParamSpec>, root: &Path, errors: &mut Vec<FieldError>) {
    for (name, param) in params {
        let path = root.child(name);
        errors.extend(text::identifier(path.clone(), name));
        for (index, option) in param.options.iter().enumerate() {
            errors.extend(fits(option, param.type_, path.child("options").index(index)));
        }
        if let Some(default) = &param.default {
            errors.extend(fits(default, param.type_, path.child("default")));
            errors.extend(allowed(default, param, path.child("default")));
        }
    }
}

/// Says so where a value is not of a parameter's type.
pub fn fits(value: &Scalar, type_: ParamType, path: Path) -> Option<FieldError> {
    let (fits, want) = match type_ {
        ParamType::String => (matches!(value, Scalar::String(_)), "a string (quote it)"),
        ParamType::Int => (matches!(value, Scalar::Int(_)), "a whole number"),
        ParamType::Bool => (matches!(value, Scalar::Bool(_)), "true or false"),
    };
    let shown = value.to_string();
    (!fits).then(|| FieldError::with_value(path, ErrorKind::TypeInvalid, &shown, format!("must be {want}")))
}

/// Says so where a value is not among a parameter's options.
pub fn allowed(value: &Scalar, param: &ParamSpec, path: Path) -> Option<FieldError> {
    if param.options.is_empty() || param.options.contains(value) {
        return None;
    }
    let options: Vec<_> = param
        .options
        .iter()
        .map(|option| format!("{:?}", option.to_string()))
        .collect();
    let detail = format!("supported values: {}", options.join(", "));
    Some(FieldError::with_value(
        path,
        ErrorKind::NotSupported,
        &value.to_string(),
        detail,
    ))
}

fn env(env: &BTreeMap<String, Scalar>, scope: &Scope, root: &Path, errors: &mut Vec<FieldError>) {
    for (name, value) in env {
        errors.extend(text::env_name(root.child(name), name));
        if let Scalar::String(value) = value {
            template(value, scope, &root.child(name), errors);
        }
    }
}

fn template(value: &str, scope: &Scope, path: &Path, errors: &mut Vec<FieldError>) {
    match Template::parse(value) {
        Ok(template) => {
            for expression in template.expressions() {
                let mistakes = check::check(expression, scope, Want::Text);
                errors.extend(
                    mistakes
                        .into_iter()
                        .map(|m| FieldError::invalid(path.clone(), expression.text(), m)),
                );
            }
        }
        Err(error) => errors.push(FieldError::invalid(path.clone(), value, error.to_string())),
    }
}

fn condition(value: &str, scope: &Scope, path: &Path, errors: &mut Vec<FieldError>) {
    if value.contains("${{") {
        let detail = "is an expression already: write it without `${{` and `}}`";
        errors.push(FieldError::invalid(path.clone(), value, detail));
        return;
    }
    match Expression::parse(value) {
        Ok(expression) => {
            let mistakes = check::check(&expression, scope, Want::Condition);
            errors.extend(
                mistakes
                    .into_iter()
                    .map(|m| FieldError::invalid(path.clone(), value, m)),
            );
        }
        Err(error) => errors.push(FieldError::invalid(path.clone(), value, error.to_string())),
    }
}

fn group(concurrency: &Concurrency, scope: &Scope, path: &Path, errors: &mut Vec<FieldError>) {
    template(&concurrency.group, scope, &path.child("group"), errors);
}

fn push_trigger(push: &PushTrigger, repository: Option<&str>, path: &Path, errors: &mut Vec<FieldError>) {
    if repository.is_none() {
        let detail = "a push trigger needs `spec.repository`: the GitRepository whose pushes are meant";
        errors.push(FieldError::new(path.clone(), ErrorKind::Required, detail));
    }
    for (field, patterns) in [
        ("branches", &push.branches),
        ("tags", &push.tags),
        ("paths", &push.paths),
    ] {
        for (index, pattern) in patterns.iter().enumerate() {
            let glob = if field == "paths" {
                pattern.strip_prefix('!').unwrap_or(pattern)
            } else {
                pattern
            };
            if glob.is_empty() || glob.len() > 512 || globset::Glob::new(glob).is_err() {
                let detail = "must be a glob such as `main`, `release-*` or `src/**`";
                errors.push(FieldError::invalid(path.child(field).index(index), pattern, detail));
            }
        }
    }
}

fn defaults_of(defaults: &Defaults, path: &Path, errors: &mut Vec<FieldError>) {
    positive(defaults.timeout, path.child("timeout"), errors);
    if let Some(shell) = &defaults.shell {
        job::shell(shell, &path.child("shell"), errors);
    }
    if let Some(resources) = &defaults.resources {
        job::resources(resources, &path.child("resources"), errors);
    }
    if let Some(retry) = &defaults.retry {
        backoff(retry, &path.child("retry"), errors);
    }
    job::placement(&defaults.node_selector, &defaults.tolerations, path, errors);
}

fn positive(duration: Option<Duration>, path: Path, errors: &mut Vec<FieldError>) {
    if let Some(duration) = duration
        && duration < Duration::from_secs(1)
    {
        errors.push(FieldError::invalid(path, &duration.to_string(), "must be at least 1s"));
    }
}

fn backoff(retry: &Retry, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(backoff) = &retry.backoff
        && let Some(max) = backoff.max
        && max < backoff.initial
    {
        let detail = format!("must not be less than `initial` ({})", backoff.initial);
        errors.push(FieldError::invalid(
            path.child("backoff").child("max"),
            &max.to_string(),
            detail,
        ));
    }
}
