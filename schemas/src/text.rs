//! The texts that names are made of: one rule each, used by every kind.

use crate::field::{ErrorKind, FieldError, Path};

/// The longest name that fits a label's value, and so the longest of what becomes one.
pub const MAX_LABEL: usize = 63;

/// A name of lower-case letters, digits and dashes, as Kubernetes calls a DNS label.
pub fn dns_label(path: Path, name: &str, max: usize) -> Option<FieldError> {
    if name.len() > max {
        let detail = format!("must be at most {max} characters long");
        return Some(FieldError::with_value(path, ErrorKind::TooLong, name, detail));
    }
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    if !name.is_empty() && ends && name.bytes().all(inner) {
        return None;
    }
    let detail = "must consist of lower-case letters, digits and `-`, and begin and end with a letter or digit";
    Some(FieldError::invalid(path, name, detail))
}

/// A name of letters, digits and underscores: what can follow a dot in an expression or a `$` in a script.
pub fn identifier(path: Path, name: &str) -> Option<FieldError> {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let fits = name.len() <= 128
        && name.bytes().next().is_some_and(first)
        && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit());
    if fits {
        return None;
    }
    Some(FieldError::invalid(
        path,
        name,
        "must consist of letters, digits and `_`, and not begin with a digit",
    ))
}

/// The name of an environment variable that a user may set.
pub fn env_name(path: Path, name: &str) -> Option<FieldError> {
    if name == "CI" || name.starts_with("CI_") {
        let detail = "`CI` and names that begin with `CI_` are set by the system";
        return Some(FieldError::with_value(path, ErrorKind::Forbidden, name, detail));
    }
    identifier(path, name)
}

/// A label's key, `example.com/name` or `name`, and its value.
pub fn label(path: &Path, key: &str, value: &str) -> Option<FieldError> {
    if !is_label_key(key) {
        let detail = "must be a label key such as `disk` or `example.com/disk`";
        return Some(FieldError::invalid(path.child(key), key, detail));
    }
    if !is_label_value(value) {
        let detail = "must be a label value: at most 63 letters, digits, `-`, `_` and `.`";
        return Some(FieldError::invalid(path.child(key), value, detail));
    }
    None
}

/// Whether a text is a label's key: `name`, or `prefix/name` where the prefix is a DNS subdomain.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .rsplit_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Dot-separated DNS labels, at most 253 characters.
pub fn dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|part| dns_label(Path::root(""), part, MAX_LABEL).is_none())
}

/// Whether a text is a label's value: empty, or up to 63 letters, digits, `-`, `_` and `.` between letters and digits.
pub fn is_label_value(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    text.len() <= MAX_LABEL
        && bytes.first().is_none_or(|byte| plain(*byte))
        && bytes.last().is_none_or(|byte| plain(*byte))
        && bytes
            .iter()
            .all(|byte| plain(*byte) || matches!(byte, b'-' | b'_' | b'.'))
}

/// A path below a directory: relative, plain components, none of them `..`.
pub fn relative_path(path: Path, text: &str) -> Option<FieldError> {
    let fits = !text.is_empty()
        && text.len() <= 1024
        && !text.contains('\0')
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if fits {
        return None;
    }
    Some(FieldError::invalid(
        path,
        text,
        "must be a relative path without `.`, `..` and empty parts",
    ))
}
