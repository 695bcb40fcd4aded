//! Patterns. Authors write them for Go's regular expressions (RE2), which the language of rules speaks as well: its crate
//! compiles them. Here is how large they may get together.

use std::collections::HashSet;

use regex::Regex;
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
    breakbulk_cel::compile_pattern_within(written, size)
}

/// Whether a pattern compiles; else why not.
pub(crate) fn check(written: &str) -> Result<(), String> {
    compile(written, ONE_SIZE).map(|_| ())
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
        assert_eq!(
            check("[a").unwrap_err(),
            "error parsing regexp: missing closing ]: `[a`"
        );
        assert!(
            check(r"(\pL{1000}){1000}")
                .unwrap_err()
                .contains("expression too large")
        );
        assert!(check("a\\").is_err());
        assert_eq!(size_limit(100_000), LEAST_SIZE);
    }
}
