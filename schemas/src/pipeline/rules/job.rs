//! The rules of one job in a pipeline.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Toleration;

use super::{backoff, condition, env, group, positive};
use crate::expression::check::Scope;
use crate::field::{ErrorKind, FieldError, Path};
use crate::pipeline::{JobTemplate, Matrix, Resources, SecretUse, Shell};
use crate::{matrix, quantity, text};

/// Every mistake in a job. `scope` holds what its expressions may name, but for its matrix.
pub(super) fn validate(job: &JobTemplate, mut scope: Scope, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(matrix) = &job.matrix {
        scope.matrix = Some(axes(matrix, &path.child("matrix"), errors));
    }
    script(&job.run, &path.child("run"), errors);
    if let Some(text) = &job.if_ {
        condition(text, &scope, &path.child("if"), errors);
    }
    env(&job.env, &scope, &path.child("env"), errors);
    secrets(
        &job.secrets,
        |name| job.env.contains_key(name),
        &path.child("secrets"),
        errors,
    );
    if let Some(concurrency) = &job.concurrency {
        group(concurrency, &scope, &path.child("concurrency"), errors);
    }
    if let Some(argv) = &job.shell {
        shell(argv, &path.child("shell"), errors);
    }
    if let Some(wanted) = &job.resources {
        resources(wanted, &path.child("resources"), errors);
    }
    if let Some(retry) = &job.retry {
        backoff(retry, &path.child("retry"), errors);
    }
    positive(job.timeout, path.child("timeout"), errors);
    placement(&job.node_selector, &job.tolerations, path, errors);
    if let Some(directory) = job.checkout.as_ref().and_then(|checkout| checkout.path.as_deref()) {
        errors.extend(text::relative_path(path.child("checkout").child("path"), directory));
    }
}

fn script(run: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if run.trim().is_empty() {
        errors.push(FieldError::new(path.clone(), ErrorKind::Required, "must hold a script"));
    }
    if run.contains('\0') {
        errors.push(FieldError::new(
            path.clone(),
            ErrorKind::Invalid,
            "must not hold a NUL character",
        ));
    }
    if let Some(line) = run.lines().find(|line| line.contains("${{")) {
        let detail = "values reach a script through its environment only: put the expression into `env`, \
                      for example `env: {VALUE: \"${{ … }}\"}`, and write \"$VALUE\" in the script";
        errors.push(FieldError::with_value(
            path.clone(),
            ErrorKind::Forbidden,
            line.trim(),
            detail,
        ));
    }
}

fn axes(matrix: &Matrix, path: &Path, errors: &mut Vec<FieldError>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (axis, values) in &matrix.axes {
        let at = path.child("axes").child(axis);
        errors.extend(text::identifier(at.clone(), axis));
        names.insert(axis.clone());
        if values.is_empty() {
            errors.push(FieldError::new(at, ErrorKind::Required, "must have at least one value"));
        } else if let Some(index) = (1..values.len()).find(|index| values[..*index].contains(&values[*index])) {
            let value = values[index].to_string();
            errors.push(FieldError::with_value(
                at.index(index),
                ErrorKind::Duplicate,
                &value,
                "",
            ));
        }
    }
    for (index, extra) in matrix.include.iter().enumerate() {
        for key in extra.keys() {
            errors.extend(text::identifier(path.child("include").index(index).child(key), key));
            names.insert(key.clone());
        }
    }
    for (index, out) in matrix.exclude.iter().enumerate() {
        for key in out.keys().filter(|key| !matrix.axes.contains_key(*key)) {
            let at = path.child("exclude").index(index).child(key);
            errors.push(FieldError::with_value(
                at,
                ErrorKind::NotFound,
                key,
                "is not an axis of this matrix",
            ));
        }
    }
    let size = matrix::product(matrix).saturating_add(matrix.include.len());
    if size > matrix::MAX_COMBINATIONS {
        let detail = format!(
            "has {size} combinations; at most {} are allowed",
            matrix::MAX_COMBINATIONS
        );
        errors.push(FieldError::new(path.clone(), ErrorKind::TooMany, detail));
    } else if matrix::expand(matrix).is_empty() {
        errors.push(FieldError::new(
            path.clone(),
            ErrorKind::Required,
            "must have at least one combination",
        ));
    }
    names
}

/// Every mistake in a list of secrets. `taken` tells which variables the environment sets already.
pub(crate) fn secrets(secrets: &[SecretUse], taken: impl Fn(&str) -> bool, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen: BTreeMap<(&str, &str), ()> = BTreeMap::new();
    for (index, secret) in secrets.iter().enumerate() {
        let at = path.index(index);
        match (&secret.env, &secret.file) {
            (Some(name), None) => {
                errors.extend(text::env_name(at.child("env"), name));
                if taken(name) || seen.insert(("env", name), ()).is_some() {
                    let detail = "the variable is set twice";
                    errors.push(FieldError::with_value(
                        at.child("env"),
                        ErrorKind::Duplicate,
                        name,
                        detail,
                    ));
                }
            }
            (None, Some(file)) => {
                let fits =
                    !file.is_empty() && file.len() <= 128 && !file.contains(['/', '\0']) && file != "." && file != "..";
                if !fits {
                    errors.push(FieldError::invalid(at.child("file"), file, "must be a plain file name"));
                }
                if seen.insert(("file", file), ()).is_some() {
                    errors.push(FieldError::with_value(at.child("file"), ErrorKind::Duplicate, file, ""));
                }
            }
            (Some(_), Some(_)) => {
                errors.push(FieldError::new(
                    at,
                    ErrorKind::Forbidden,
                    "must have one of `env` and `file`, not both",
                ));
            }
            (None, None) => errors.push(FieldError::new(
                at,
                ErrorKind::Required,
                "must have one of `env` and `file`",
            )),
        }
    }
}

/// Every mistake in a shell.
pub(crate) fn shell(shell: &Shell, path: &Path, errors: &mut Vec<FieldError>) {
    let program = shell.0.first().map_or("", String::as_str);
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        let detail = "must begin with a program: a name such as `bash`, or an absolute path";
        errors.push(FieldError::invalid(path.clone(), program, detail));
    }
    if shell.0.iter().any(|part| part.contains('\0') || part.len() > 4096) {
        errors.push(FieldError::new(
            path.clone(),
            ErrorKind::Invalid,
            "must not hold NUL or parts over 4,096 bytes",
        ));
    }
}

/// Every mistake in resources.
pub(crate) fn resources(resources: &Resources, path: &Path, errors: &mut Vec<FieldError>) {
    let wanted = [
        ("cpu", &resources.cpu, quantity::cpu_millis as fn(&crate::Scalar) -> _),
        ("memory", &resources.memory, quantity::memory_bytes),
    ];
    for (field, value, read) in wanted {
        if let Some(value) = value
            && let Err(error) = read(value)
        {
            errors.push(FieldError::invalid(
                path.child(field),
                &value.to_string(),
                error.to_string(),
            ));
        }
    }
}

/// Every mistake in where a job may run.
pub(crate) fn placement(
    selector: &BTreeMap<String, String>,
    tolerations: &[Toleration],
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let at = path.child("nodeSelector");
    errors.extend(selector.iter().filter_map(|(key, value)| text::label(&at, key, value)));
    for (index, toleration) in tolerations.iter().enumerate() {
        let at = path.child("tolerations").index(index);
        let operator = toleration.operator.as_deref().unwrap_or("Equal");
        if !matches!(operator, "Equal" | "Exists") {
            let detail = "supported values: \"Equal\", \"Exists\"";
            errors.push(FieldError::with_value(
                at.child("operator"),
                ErrorKind::NotSupported,
                operator,
                detail,
            ));
        }
        if operator == "Exists" && toleration.value.as_deref().is_some_and(|value| !value.is_empty()) {
            let value = toleration.value.as_deref().unwrap_or_default();
            errors.push(FieldError::invalid(
                at.child("value"),
                value,
                "must be empty when `operator` is 'Exists'",
            ));
        }
        if let Some(effect) = toleration.effect.as_deref()
            && !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute")
        {
            let detail = "supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"";
            errors.push(FieldError::with_value(
                at.child("effect"),
                ErrorKind::NotSupported,
                effect,
                detail,
            ));
        }
    }
}
