//! The rules of a Job: what is decided stays decided, and attempts only ever move forward. They hold whoever writes,
//! so that neither a confused agent nor a stale controller can run a script twice or change how it ended.

use serde_json::Value;

use super::{Attempt, JobSpec, JobStatus};
use crate::condition::SUCCEEDED;
use crate::decode::{self, ScalarPlaces};
use crate::field::{ErrorKind, FieldError, Path};
use crate::pipeline::rules::job_parts;
use crate::{pipeline_run, terminal, text};

const SCALARS: ScalarPlaces = &[&["resources", "*"]];

/// Every mistake in a Job, and in what changed from `old`.
pub fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match old {
        Some(old) => {
            terminal::spec_is_final(new, old, &["nodeName", "attempt", "cancel", "priority"], &mut errors);
            terminal::cancel_stays(new, old, &mut errors);
            terminal::condition_is_final(new, old, SUCCEEDED, &mut errors);
            attempt_number(new, old, &mut errors);
            if new.get("status") != old.get("status") {
                attempts(new, old, &mut errors);
            }
        }
        None => create(new.get("spec").unwrap_or(&Value::Null), &mut errors),
    }
    errors
}

fn create(value: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::root("spec");
    let Some(spec) = decode::decode::<JobSpec>(value, SCALARS, &root, errors) else {
        return;
    };
    for (index, var) in spec.env.iter().enumerate() {
        let at = root.child("env").index(index);
        errors.extend(text::identifier(at.child("name"), &var.name));
        if var.value.contains('\0') {
            errors.push(FieldError::new(
                at.child("value"),
                ErrorKind::Invalid,
                "must not hold a NUL character",
            ));
        }
    }
    let taken = |name: &str| spec.env.iter().any(|var| var.name == name);
    job_parts::secrets(&spec.secrets, taken, &root.child("secrets"), errors);
    job_parts::shell(&spec.shell, &root.child("shell"), errors);
    job_parts::resources(&spec.resources, &root.child("resources"), errors);
    job_parts::placement(&spec.node_selector, &spec.tolerations, &root, errors);
    if let Some(checkout) = &spec.checkout {
        let at = root.child("checkout");
        if let Some(directory) = &checkout.path {
            errors.extend(text::relative_path(at.child("path"), directory));
        }
        if let Some(ref_) = &checkout.ref_ {
            errors.extend(pipeline_run::rules::full_ref(at.child("ref"), ref_));
        }
    }
}

fn attempt_number(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let number = |object: &Value| object.pointer("/spec/attempt").and_then(Value::as_u64).unwrap_or(1);
    if number(new) < number(old) {
        let path = Path::root("spec").child("attempt");
        errors.push(FieldError::with_value(
            path,
            ErrorKind::Forbidden,
            &number(new).to_string(),
            "must not go down",
        ));
    }
}

fn attempts(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::root("status");
    let read = |object: &Value, errors: &mut Vec<FieldError>| {
        object
            .get("status")
            .map_or_else(|| Some(JobStatus::default()), |s| decode::decode(s, &[], &root, errors))
    };
    // What is stored was accepted once; if it no longer reads, that is not the writer's mistake.
    let (Some(before), Some(after)) = (read(old, &mut Vec::new()), read(new, errors)) else {
        return;
    };
    let path = root.child("attempts");
    if after.attempts.len() < before.attempts.len() {
        errors.push(FieldError::new(
            path,
            ErrorKind::Forbidden,
            "attempts are never removed",
        ));
        return;
    }
    for (index, (was, is)) in before.attempts.iter().zip(&after.attempts).enumerate() {
        changed(was, is, &path.index(index), errors);
    }
    let added = after.attempts.get(before.attempts.len()..).unwrap_or_default();
    if let Some(first) = added.first() {
        claim(first, &before, new, &path.index(before.attempts.len()), errors);
    }
    if added.len() > 1 {
        errors.push(FieldError::new(
            path,
            ErrorKind::Forbidden,
            "only one attempt is claimed at a time",
        ));
    }
}

/// An attempt keeps what identifies it, and once ended keeps how it ended; only its log may still be completed.
fn changed(was: &Attempt, is: &Attempt, path: &Path, errors: &mut Vec<FieldError>) {
    let identity = |attempt: &Attempt| {
        (
            attempt.number,
            attempt.node.clone(),
            attempt.token.clone(),
            attempt.boot_id.clone(),
            attempt.claim_time.clone(),
        )
    };
    if identity(was) != identity(is) {
        let detail = "an attempt's number, node, token, bootId and claimTime never change";
        errors.push(FieldError::new(path.clone(), ErrorKind::Forbidden, detail));
    }
    let log_moved = was.log.is_some() && was.log != is.log;
    let ended = |attempt: &Attempt| Attempt {
        log: None,
        ..attempt.clone()
    };
    if log_moved || (was.is_ended() && ended(was) != ended(is)) {
        errors.push(FieldError::new(
            path.clone(),
            ErrorKind::Forbidden,
            "what has ended never changes",
        ));
    }
}

/// A claim is for the attempt that was bound, by the node it was bound to, after all others have ended.
fn claim(new: &Attempt, before: &JobStatus, object: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let bound = object.pointer("/spec/nodeName").and_then(Value::as_str);
    if bound != Some(new.node.as_str()) {
        let detail = format!("the job is bound to {}", bound.unwrap_or("no node"));
        errors.push(FieldError::with_value(
            path.child("node"),
            ErrorKind::Forbidden,
            &new.node,
            detail,
        ));
    }
    let wanted = object.pointer("/spec/attempt").and_then(Value::as_u64).unwrap_or(1);
    let next = before.attempts.len() as u64 + 1;
    if u64::from(new.number) != wanted || wanted != next {
        let detail = format!("attempt {wanted} is bound, and {next} would be the next");
        errors.push(FieldError::with_value(
            path.child("number"),
            ErrorKind::Forbidden,
            &new.number.to_string(),
            detail,
        ));
    }
    if before.attempts.iter().any(|attempt| !attempt.is_ended()) {
        errors.push(FieldError::new(
            path.clone(),
            ErrorKind::Forbidden,
            "an earlier attempt has not ended",
        ));
    }
    if object.pointer("/spec/cancel").and_then(Value::as_bool).unwrap_or(false) {
        errors.push(FieldError::new(
            path.clone(),
            ErrorKind::Forbidden,
            "the job is cancelled",
        ));
    }
}
