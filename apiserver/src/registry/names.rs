//! What names, keys and values may look like, with upstream's words for what is wrong with them
//! (`k8s.io/apimachinery/pkg/util/validation`). Every function returns all that is wrong; nothing is as good.

use super::resource::NameRule;

const LABEL_BYTES: usize = 63;
const SUBDOMAIN_BYTES: usize = 253;
const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const ENDS: &str = "and must start and end with an alphanumeric character";

fn too_long(most: usize) -> String {
    format!("must be no more than {most} bytes")
}

/// Upstream's form of an expression that was not met, with its stray commas.
fn unlike(words: &str, examples: &[&str], expression: &str) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    let examples = examples.join(" or ");
    format!("{words} (e.g. {examples}regex used for validation is '{expression}')")
}

fn is_label(part: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
}

/// A lowercase RFC 1123 subdomain.
pub fn subdomain(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > SUBDOMAIN_BYTES {
        wrong.push(too_long(SUBDOMAIN_BYTES));
    }
    if !name.split('.').all(is_label) {
        let words = format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {ENDS}"
        );
        wrong.push(unlike(&words, &["example.com"], &format!("{LABEL}(\\.{LABEL})*")));
    }
    wrong
}

/// A lowercase RFC 1123 label.
pub fn label(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > LABEL_BYTES {
        wrong.push(too_long(LABEL_BYTES));
    }
    if is_label(name) {
        return wrong;
    }
    if name.split('.').all(is_label) {
        wrong.push("must not contain dots".to_owned());
    } else {
        let words =
            format!("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {ENDS}");
        wrong.push(unlike(&words, &["my-name", "123-abc"], LABEL));
    }
    wrong
}

/// Anything that can stand in a path.
fn segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|part| name.contains(**part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// An object's name.
pub fn of_object(name: &str, rule: NameRule) -> Vec<String> {
    match rule {
        NameRule::Subdomain => subdomain(name),
        NameRule::Label => label(name),
        NameRule::Segment if name.len() > SUBDOMAIN_BYTES => vec![too_long(SUBDOMAIN_BYTES)],
        NameRule::Segment => segment(name),
    }
}

/// The first thing that is wrong with an object's name.
pub fn first_problem(name: &str, rule: NameRule) -> Option<String> {
    of_object(name, rule).into_iter().next()
}

/// The beginning of an object's name: it may end with a dash.
pub fn of_prefix(base: &str, rule: NameRule) -> Vec<String> {
    match base.strip_suffix('-') {
        Some(kept) if !kept.is_empty() => of_object(&format!("{kept}a"), rule),
        _ => of_object(base, rule),
    }
}

/// A key of labels: a name, with or without a domain before it.
pub fn qualified(key: &str) -> Vec<String> {
    let examples = &["MyName", "my.name", "123-abc"];
    let words = format!("must consist of alphanumeric characters, '-', '_' or '.', {ENDS}");
    let unlike_name = unlike(&words, examples, QUALIFIED);
    let parts: Vec<&str> = key.split('/').collect();
    let mut wrong = Vec::new();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(subdomain(prefix).iter().map(|text| format!("prefix part {text}")));
            }
            *name
        }
        _ => {
            let optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {unlike_name} {optional}")];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_BYTES {
        wrong.push(format!("name part {}", too_long(LABEL_BYTES)));
    }
    if !is_qualified_part(name) {
        wrong.push(format!("name part {unlike_name}"));
    }
    wrong
}

fn is_qualified_part(name: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ends(name.bytes().next()) && ends(name.bytes().last()) && name.bytes().all(inner)
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > LABEL_BYTES {
        wrong.push(too_long(LABEL_BYTES));
    }
    if !value.is_empty() && !is_qualified_part(value) {
        let words = format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {ENDS}"
        );
        let expression = format!("({QUALIFIED})?");
        wrong.push(unlike(&words, &["MyValue", "my_value", "12345"], &expression));
    }
    wrong
}

/// A key of a ConfigMap or Secret.
pub fn config_key(key: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if key.len() > SUBDOMAIN_BYTES {
        wrong.push(too_long(SUBDOMAIN_BYTES));
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if key.is_empty() || !key.bytes().all(fine) {
        let words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        wrong.push(unlike(words, &["key.name", "KEY_NAME", "key-name"], "[-._a-zA-Z0-9]+"));
    }
    match key {
        "." | ".." => wrong.push(format!("must not be '{key}'")),
        _ if key.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_upstreams_words() {
        assert_eq!(
            label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
              end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(label("a.b"), ["must not contain dots"]);
        assert_eq!(
            subdomain("a_b"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
              start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        let long = "x".repeat(64);
        assert_eq!(qualified(&long), ["name part must be no more than 63 bytes"]);
        assert_eq!(qualified("/x"), ["prefix part must be non-empty"]);
        assert_eq!(qualified("a/b/c").len(), 1);
        assert_eq!(qualified("").len(), 2);
        assert_eq!(label_value(&format!("{long}-")).len(), 2);
        assert_eq!(
            of_object("a/b%", NameRule::Segment),
            ["may not contain '/'", "may not contain '%'"]
        );
    }

    #[test]
    fn the_beginning_of_a_name_may_end_with_a_dash() {
        assert!(of_prefix("run-", NameRule::Subdomain).is_empty());
        assert!(!of_prefix("-", NameRule::Subdomain).is_empty());
        assert!(!of_prefix("Run-", NameRule::Label).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_sent_makes_them_panic(text in "\\PC{0,80}") {
            for rule in [NameRule::Subdomain, NameRule::Label, NameRule::Segment] {
                let _ = (of_object(&text, rule), of_prefix(&text, rule));
            }
            let _ = (qualified(&text), label_value(&text), config_key(&text));
        }

        #[test]
        fn a_label_is_also_a_subdomain_and_a_label_value(text in "[a-z0-9.-]{0,70}") {
            if label(&text).is_empty() {
                prop_assert!(subdomain(&text).is_empty() && label_value(&text).is_empty() && qualified(&text).is_empty());
            }
        }
    }
}
