//! The rules of a PipelineRun: what it may be made of, and that what has been decided stays.

use serde_json::Value;

use super::PipelineRunSpec;
use crate::condition::SUCCEEDED;
use crate::decode::{self, ScalarPlaces};
use crate::field::{ErrorKind, FieldError, Path};
use crate::{pipeline, terminal, text};

const SCALARS: ScalarPlaces = &[&["params", "*"]];

/// Every mistake in a run, and in what changed from `old`.
pub fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(name) = new.pointer("/metadata/name").and_then(Value::as_str) {
        let path = Path::root("metadata").child("name");
        errors.extend((name.len() > text::MAX_LABEL).then(|| {
            let detail = format!(
                "must be at most {} characters long: it becomes a label of its jobs",
                text::MAX_LABEL
            );
            FieldError::with_value(path, ErrorKind::TooLong, name, detail)
        }));
    }
    let root = Path::root("spec");
    match old {
        Some(old) => {
            terminal::spec_is_final(new, old, &["cancel", "priority"], &mut errors);
            terminal::cancel_stays(new, old, &mut errors);
            terminal::condition_is_final(new, old, SUCCEEDED, &mut errors);
            frozen(new, old, &mut errors);
        }
        None => create(new.get("spec").unwrap_or(&Value::Null), &root, &mut errors),
    }
    errors
}

fn create(value: &Value, root: &Path, errors: &mut Vec<FieldError>) {
    if let Some(inline) = value.get("pipelineSpec").filter(|inline| !inline.is_null()) {
        pipeline::rules::validate_spec(inline, &root.child("pipelineSpec"), errors);
        if !errors.is_empty() {
            // It does not decode either, and its mistakes would be told twice.
            return;
        }
    }
    let Some(spec) = decode::decode::<PipelineRunSpec>(value, SCALARS, root, errors) else {
        return;
    };
    let given = [
        spec.pipeline_ref.is_some(),
        spec.pipeline_spec.is_some(),
        spec.rerun_of.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        1 => {}
        0 => {
            let detail = "must have one of `pipelineRef`, `pipelineSpec` and `rerunOf`";
            errors.push(FieldError::new(root.clone(), ErrorKind::Required, detail));
        }
        _ => {
            let detail = "must have only one of `pipelineRef`, `pipelineSpec` and `rerunOf`";
            errors.push(FieldError::new(root.clone(), ErrorKind::Forbidden, detail));
        }
    }
    if spec.rerun_of.is_some() {
        for (field, set) in [("params", !spec.params.is_empty()), ("source", spec.source.is_some())] {
            if set {
                let detail = "a rerun takes this over from the run before";
                errors.push(FieldError::new(root.child(field), ErrorKind::Forbidden, detail));
            }
        }
    }
    for name in spec.params.keys() {
        errors.extend(text::identifier(root.child("params").child(name), name));
    }
    if let Some(ref_) = spec.source.as_ref().and_then(|source| source.ref_.as_deref()) {
        errors.extend(full_ref(root.child("source").child("ref"), ref_));
    }
}

/// A full ref name, as `git check-ref-format` has it, so that nothing else ever reaches a git command.
pub(crate) fn full_ref(path: Path, ref_: &str) -> Option<FieldError> {
    let plain = |c: char| !c.is_control() && !matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let fits = ref_.strip_prefix("refs/").is_some_and(|rest| !rest.is_empty())
        && ref_.len() <= 512
        && ref_.chars().all(plain)
        && !ref_.contains("..")
        && !ref_.contains("@{")
        && ref_.split('/').all(|part| {
            !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(['.']) && !part.ends_with(".lock")
        });
    if fits {
        return None;
    }
    Some(FieldError::invalid(
        path,
        ref_,
        "must be a full ref name such as `refs/heads/main` or `refs/tags/v1`",
    ))
}

/// What a run froze at its start never changes.
fn frozen(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    for field in ["pipelineSpec", "params", "startTime"] {
        let pointer = format!("/status/{field}");
        let (Some(before), after) = (old.pointer(&pointer), new.pointer(&pointer)) else {
            continue;
        };
        if after != Some(before) {
            let path = Path::root("status").child(field);
            errors.push(FieldError::new(
                path,
                ErrorKind::Forbidden,
                "was frozen when the run started and never changes",
            ));
        }
    }
}
