//! What is wrong with a value, field by field, in upstream's words.

use std::fmt;

use crate::fieldpath::PathElement;

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, as in [`crate::Path`]'s text; empty for the whole value.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Everything that is wrong with a value, up to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// A message with a hundred mistakes helps nobody more than one with a thousand.
    const MOST: usize = 100;

    pub(crate) fn one(message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.push(message);
        errors
    }

    pub(crate) fn push(&mut self, message: impl Into<String>) {
        if self.0.len() < Self::MOST {
            self.0.push(FieldError {
                path: String::new(),
                message: message.into(),
            });
        }
    }

    /// Takes over what was found below an element.
    pub(crate) fn adopt(&mut self, element: &PathElement, below: Self) {
        let room = Self::MOST.saturating_sub(self.0.len());
        if below.0.is_empty() || room == 0 {
            return;
        }
        let prefix = element.to_string();
        self.0.extend(below.0.into_iter().take(room).map(|error| FieldError {
            path: format!("{prefix}{}", error.path),
            message: error.message,
        }));
    }

    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// A field that the schema does not have was walked into.
    pub(crate) fn no_type() -> Self {
        Self::one("schema error: invalid atom: inlined")
    }

    pub(crate) fn too_deep() -> Self {
        Self::one("exceeded max depth")
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            many => {
                f.write_str("errors:")?;
                many.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for FieldErrors {}
