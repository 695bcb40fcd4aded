//! JSON values as structured merge sees them: numbers are equal when they mean the same number (`2` and `2.0`), every
//! two values have an order, and there is one text for messages and one for keys of `FieldsV1`.
//!
//! The order decides where an element stands in a sorted field set. It is total: integers and floats are compared
//! exactly, so that sorting never meets a contradiction. The texts are what Go's formatting makes of the same values,
//! since clients and people match on them. Nothing here knows of schemas or paths.

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Whether two values mean the same.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b) == Ordering::Equal,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => left == right,
    }
}

/// The order of all values: numbers, strings, booleans, lists, maps, null; within a kind as expected.
pub(crate) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => compare_lists(a, b),
        (Value::Object(a), Value::Object(b)) => {
            let (mut a, mut b): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
            a.sort_by_key(|(key, _)| *key);
            b.sort_by_key(|(key, _)| *key);
            for ((a_key, a), (b_key, b)) in a.iter().zip(&b) {
                let order = a_key.cmp(b_key).then_with(|| compare(a, b));
                if order != Ordering::Equal {
                    return order;
                }
            }
            a.len().cmp(&b.len())
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn compare_lists(left: &[Value], right: &[Value]) -> Ordering {
    let differing = left.iter().zip(right).map(|(a, b)| compare(a, b));
    differing
        .into_iter()
        .find(|order| *order != Ordering::Equal)
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

enum Numeric {
    Whole(i128),
    Float(f64),
}

fn numeric(number: &Number) -> Numeric {
    match (number.as_i64(), number.as_u64()) {
        (Some(whole), _) => Numeric::Whole(i128::from(whole)),
        (None, Some(whole)) => Numeric::Whole(i128::from(whole)),
        (None, None) => Numeric::Float(number.as_f64().unwrap_or(0.0)),
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    match (numeric(left), numeric(right)) {
        (Numeric::Whole(a), Numeric::Whole(b)) => a.cmp(&b),
        (Numeric::Float(a), Numeric::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Numeric::Whole(a), Numeric::Float(b)) => compare_whole_to_float(a, b),
        (Numeric::Float(a), Numeric::Whole(b)) => compare_whole_to_float(b, a).reverse(),
    }
}

/// Exact: a whole number from JSON fits 65 bits, so any float beyond that lies outside of it.
fn compare_whole_to_float(whole: i128, float: f64) -> Ordering {
    const BEYOND: f64 = 1e20;
    if float >= BEYOND {
        return Ordering::Less;
    }
    if float <= -BEYOND {
        return Ordering::Greater;
    }
    #[allow(clippy::cast_possible_truncation)] // Bounded above; the fraction is looked at next.
    let truncated = float.trunc() as i128;
    whole.cmp(&truncated).then_with(|| {
        let fraction = float.fract();
        0.0_f64.partial_cmp(&fraction).unwrap_or(Ordering::Equal)
    })
}

/// The text of a value inside a path: strings quoted, numbers plain.
pub(crate) fn path_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => quote(text),
        Value::Array(items) => format!("[{}]", items.iter().map(path_text).collect::<Vec<_>>().join(",")),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{key}={}", path_text(value)))
            .collect(),
    }
}

/// A number as Go prints it by default: floats get an exponent below 1e-4 and from 1e21 on.
pub(crate) fn number_text(number: &Number) -> String {
    match numeric(number) {
        Numeric::Whole(whole) => whole.to_string(),
        Numeric::Float(float) => {
            let size = float.abs();
            if size != 0.0 && !(1e-4..1e21).contains(&size) {
                exponent_text(float, 2)
            } else {
                float.to_string()
            }
        }
    }
}

fn exponent_text(float: f64, digits: usize) -> String {
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{exponent:0>digits$}")
        }
        None => text,
    }
}

/// A string in double quotes as Go's `%q` writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c => push_escape(&mut out, u32::from(c)),
        }
    }
    out.push('"');
    out
}

fn push_escape(out: &mut String, code: u32) {
    // Writing to a string cannot fail.
    let _ = match code {
        0..=0x7f => write!(out, "\\x{code:02x}"),
        0x80..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Whether Go counts the character as printable, up to the rarer format characters.
pub(crate) fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
                | '\u{f0000}'..='\u{10ffff}'))
}

/// The JSON text of a value inside a `k:` or `v:` key, as upstream's encoder writes it: `<`, `>`, `&` and the two line
/// separators are escaped in strings, a whole float loses its point.
pub(crate) fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&json_number(number)),
        Value::String(text) => push_json_string(out, text, Escape::Html),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json_string(out, key, Escape::Html);
                out.push(':');
                push_json(out, value);
            }
            out.push('}');
        }
    }
}

fn json_number(number: &Number) -> String {
    match numeric(number) {
        Numeric::Whole(whole) => whole.to_string(),
        Numeric::Float(float) => {
            let size = float.abs();
            if size != 0.0 && !(1e-6..1e21).contains(&size) {
                exponent_text(float, 1)
            } else {
                float.to_string()
            }
        }
    }
}

/// How much of a JSON string is escaped beyond what JSON demands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// What JSON demands: names of key fields.
    Plain,
    /// Also what HTML would misread: values.
    Html,
}

pub(crate) fn push_json_string(out: &mut String, text: &str, escape: Escape) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => push_unicode_escape(out, c),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if escape == Escape::Html => push_unicode_escape(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push_unicode_escape(out: &mut String, c: char) {
    let _ = write!(out, "\\u{:04x}", u32::from(c));
}

/// The text of a value in an error message, as Go's `%v` prints the wrapped value.
pub(crate) fn error_text(value: &Value) -> String {
    format!("&{{{}}}", plain(value))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let fields: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", plain(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

/// The same as Go's `%#v` prints it.
pub(crate) fn error_syntax(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{}}}", syntax(value))
}

fn syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => quote(text),
        Value::Array(items) => {
            format!(
                "[]interface {{}}{{{}}}",
                items.iter().map(syntax).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(map) => {
            let fields: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{}:{}", quote(key), syntax(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        Value::Bool(_) | Value::Number(_) => plain(value),
    }
}

/// The Go type a decoded JSON value has, for error messages.
pub(crate) fn type_text(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json_text(value: &Value) -> String {
        let mut out = String::new();
        push_json(&mut out, value);
        out
    }

    #[test]
    fn a_whole_float_is_the_integer_it_means() {
        assert!(equal(&json!(2), &json!(2.0)));
        assert!(equal(&json!({"a": [1, 2.0]}), &json!({"a": [1.0, 2]})));
        assert!(!equal(&json!(2), &json!("2")));
        assert!(!equal(&json!(2), &json!(2.5)));
        assert_eq!(compare(&json!(u64::MAX), &json!(1e30)), Ordering::Less);
        assert_eq!(
            compare(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992.0)),
            Ordering::Greater
        );
        assert_eq!(compare(&json!(-3), &json!(-3.5)), Ordering::Greater);
        assert_eq!(compare(&json!(3), &json!(3.5)), Ordering::Less);
    }

    #[test]
    fn values_of_different_kinds_have_a_fixed_order() {
        let sorted = [
            json!(1),
            json!("a"),
            json!(false),
            json!(true),
            json!([]),
            json!([1]),
            json!({}),
            json!(null),
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(&pair[1], &pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn text_in_paths_is_quoted_as_in_go() {
        assert_eq!(path_text(&json!("a\"b\n\u{1}\u{a0}ä")), "\"a\\\"b\\n\\x01\\u00a0ä\"");
        assert_eq!(path_text(&json!(80)), "80");
        assert_eq!(path_text(&json!(2.0)), "2");
        assert_eq!(path_text(&json!(1e21)), "1e+21");
        assert_eq!(path_text(&json!(0.000_05)), "5e-05");
        assert_eq!(path_text(&json!([1, "x"])), "[1,\"x\"]");
    }

    #[test]
    fn text_in_keys_is_escaped_as_upstream_does() {
        assert_eq!(
            json_text(&json!("<a&b>\u{2028}\u{8}")),
            "\"\\u003ca\\u0026b\\u003e\\u2028\\u0008\""
        );
        assert_eq!(json_text(&json!(2.0)), "2");
        assert_eq!(json_text(&json!(1e-7)), "1e-7");
        assert_eq!(json_text(&json!(1e21)), "1e+21");
        assert_eq!(json_text(&json!({"a": [true, null]})), "{\"a\":[true,null]}");
    }
}
