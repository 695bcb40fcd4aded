//! What is wrong with a field: path, value, and what was expected. The API server turns these into the causes
//! of a 422, with upstream's texts (`k8s.io/apimachinery/pkg/util/validation/field`).

use std::fmt;

/// The path of a field, as users write it: `spec.jobs.build.run`, `spec.triggers.push.branches[2]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

/// What kind of mistake it is; the reason of a Status cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A value is missing.
    Required,
    /// A value is malformed or out of range.
    Invalid,
    /// A value is not one of those allowed.
    NotSupported,
    /// A value stands twice where it must be unique.
    Duplicate,
    /// What a value refers to is not there.
    NotFound,
    /// The value may not be set, or not be changed.
    Forbidden,
    /// A string is longer than allowed.
    TooLong,
    /// A list or map has more entries than allowed.
    TooMany,
    /// The value has the wrong type.
    TypeInvalid,
}

/// One mistake in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where.
    pub path: Path,
    /// What kind.
    pub kind: ErrorKind,
    /// The offending value, shortened, as JSON would show it; none where the value is missing or secret.
    pub value: Option<String>,
    /// What was expected.
    pub detail: String,
}

impl Path {
    /// A path of one name.
    pub fn root(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// A field below. A name that is not an identifier is written `[name]`, as upstream does for map keys.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let plain = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if plain {
            Self(format!("{}.{name}", self.0))
        } else {
            Self(format!("{}[{name}]", self.0))
        }
    }

    /// An element of a list below.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The value of a key of a map below: `spec.hard[pods]`.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ErrorKind {
    /// The cause's `reason` on the wire.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

impl FieldError {
    /// Longest value quoted in a message, in characters: enough to recognise it, too little to flood a terminal.
    const VALUE_CHARS: usize = 120;

    /// A mistake without a value to show.
    pub fn new(path: Path, kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            path,
            kind,
            value: None,
            detail: detail.into(),
        }
    }

    /// A malformed string value.
    pub fn invalid(path: Path, value: &str, detail: impl Into<String>) -> Self {
        Self::with_value(path, ErrorKind::Invalid, value, detail)
    }

    /// A mistake that quotes a string value.
    pub fn with_value(path: Path, kind: ErrorKind, value: &str, detail: impl Into<String>) -> Self {
        let mut shown: String = value.chars().take(Self::VALUE_CHARS).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self {
            path,
            kind,
            value: Some(format!("{shown:?}")),
            detail: detail.into(),
        }
    }

    /// The text behind the path: `Invalid value: "x": must be …`.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if let Some(value) = &self.value {
            text.push_str(": ");
            text.push_str(value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}
