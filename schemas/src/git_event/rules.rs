//! The rules of the kind that a schema cannot say.

use serde_json::Value;

use crate::field::FieldError;

/// Every mistake in `new`, and in what changed from `old`.
pub fn validate(_new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    Vec::new()
}
