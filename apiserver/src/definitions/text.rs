//! The shapes of names (`k8s.io/apimachinery/pkg/util/validation`), with upstream's words for what is wrong.

const DNS1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                       alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
                       regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const DNS1123: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                       and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                       validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn is_inner(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
}

/// What keeps a text from being a DNS label that begins with a letter: at most 63 characters, no dots.
pub(crate) fn dns1035_label(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 63 {
        problems.push("must be no more than 63 bytes".to_owned());
    }
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    if !(starts && text.bytes().all(is_inner) && !text.ends_with('-')) {
        problems.push(DNS1035.to_owned());
    }
    problems
}

/// What keeps a text from being a DNS name.
pub(crate) fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 253 {
        problems.push("must be no more than 253 bytes".to_owned());
    }
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    if !text.split('.').all(label) {
        problems.push(DNS1123.to_owned());
    }
    problems
}
