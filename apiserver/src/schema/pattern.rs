//! Patterns. Authors write them for Go's regular expressions (RE2); the `regex` crate speaks the same language but for
//! a few turns, which are translated: Perl's classes are ASCII there, braces and brackets may stand for themselves.
//! Neither backtracks, so that a pattern takes time in proportion to the text, whatever its author had in mind.

use std::collections::HashSet;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// The most that all patterns of one schema may take when compiled, in bytes.
const TOTAL_SIZE: usize = 64 << 20;
/// The most that one may take, and the least that is always granted.
const ONE_SIZE: usize = 1 << 20;
const LEAST_SIZE: usize = 16 << 10;

/// How large each of `count` patterns may get.
pub(super) fn size_limit(count: usize) -> usize {
    (TOTAL_SIZE / count.max(1)).clamp(LEAST_SIZE, ONE_SIZE)
}

/// How many different patterns a schema has, down to `depth` levels of JSON.
pub(super) fn distinct(schema: &Value, depth: usize) -> usize {
    let mut found = HashSet::new();
    collect(schema, depth, &mut found);
    found.len()
}

fn collect<'a>(schema: &'a Value, depth: usize, found: &mut HashSet<&'a str>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match schema {
        Value::Object(map) => {
            found.extend(map.get("pattern").and_then(Value::as_str));
            map.values().for_each(|inner| collect(inner, depth, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, depth, found)),
        _ => {}
    }
}

/// Compiles a pattern, or says in a line why not.
pub(super) fn compile(written: &str, size: usize) -> Result<Regex, String> {
    let translated = translate(written);
    RegexBuilder::new(&translated)
        .size_limit(size)
        .nest_limit(100)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
        })
}

/// Whether a pattern compiles; else why not.
pub(crate) fn check(written: &str) -> Result<(), String> {
    compile(written, ONE_SIZE).map(|_| ())
}

fn translate(written: &str) -> String {
    let mut out = String::with_capacity(written.len() + 8);
    let mut rest = written.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(rest.next(), in_class, &mut out),
            '[' if in_class => {
                let posix = rest.peek() == Some(&':');
                out.push_str(if posix { "[" } else { "\\[" });
                if posix {
                    for c in rest.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
            }
            '[' => {
                in_class = true;
                out.push('[');
                // A bracket that stands first closes nothing.
                out.extend(rest.next_if_eq(&'^'));
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            '{' if !in_class && !repeats(&mut rest.clone()) => out.push_str("\\{"),
            _ => out.push(c),
        }
    }
    out
}

fn escape(escaped: Option<char>, in_class: bool, out: &mut String) {
    let Some(c) = escaped else {
        out.push('\\');
        return;
    };
    let (open, close) = if in_class { ("", "") } else { ("[", "]") };
    match c {
        'd' => out.extend([open, "0-9", close]),
        'w' => out.extend([open, "0-9A-Za-z_", close]),
        's' => out.extend([open, r"\t\n\f\r ", close]),
        'D' => out.push_str("[^0-9]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        '<' | '>' => out.push(c),
        _ => out.extend(['\\', c]),
    }
}

/// Whether what follows an opening brace is a count: `2}`, `2,}` or `2,3}`.
fn repeats(rest: &mut impl Iterator<Item = char>) -> bool {
    let mut digits = 0;
    let mut commas = 0;
    for c in rest {
        match c {
            '0'..='9' => digits += 1,
            ',' if digits > 0 && commas == 0 => commas += 1,
            '}' => return digits > 0,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_go_takes_them_for() {
        let table = [
            (r"^\d+$", "12", true),
            (r"^\d+$", "१२", false),
            (r"^[\w.-]+$", "a_b.c-d", true),
            (r"^[\w.-]+$", "ä", false),
            (r"^[^\s]+$", "a b", false),
            (r"^{x}$", "{x}", true),
            (r"^a{2,3}$", "aa", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[[a]+$", "[a", true),
            (r"^[]a]+$", "]a", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^\<a\>$", "<a>", true),
            (r"^[\S]+$", "a b", false),
            (r"^\/a\-b$", "/a-b", true),
        ];
        for (pattern, text, fits) in table {
            let regex = compile(pattern, ONE_SIZE).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(regex.is_match(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_or_too_large_is_refused_in_a_line() {
        assert!(check("[a").unwrap_err().contains("unclosed character class"));
        assert_eq!(check(r"(\pL{1000}){1000}").unwrap_err(), "expression too large");
        assert!(check("a\\").is_err());
        assert_eq!(size_limit(100_000), LEAST_SIZE);
    }
}
