//! The rules of a GitEvent: it is a record, and records do not change.

use serde_json::Value;

use crate::condition::SUCCEEDED;
use crate::field::{FieldError, Path};
use crate::{pipeline_run, terminal};

/// Every mistake in a GitEvent, and in what changed from `old`.
pub fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match old {
        Some(old) => {
            terminal::spec_is_final(new, old, &[], &mut errors);
            terminal::condition_is_final(new, old, SUCCEEDED, &mut errors);
        }
        None => {
            let ref_ = new.pointer("/spec/ref").and_then(Value::as_str).unwrap_or_default();
            errors.extend(pipeline_run::rules::full_ref(Path::root("spec").child("ref"), ref_));
        }
    }
    errors
}
