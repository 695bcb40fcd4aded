//! Texts of values in messages and of numbers in strings, as Go writes them.

use crate::value::Key;

/// A key in a message.
pub(crate) fn key(key: &Key<'_>) -> String {
    match key {
        Key::Bool(value) => value.to_string(),
        Key::Int(value) => value.to_string(),
        Key::Uint(value) => value.to_string(),
        Key::String(text) => (**text).to_owned(),
    }
}

/// The shortest text that reads back as the number; with an exponent below 0.0001 and from a million on, as Go's `%g` does.
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..PLAIN_BELOW).contains(&exponent) {
        return format!("{value}");
    }
    with_exponent(mantissa, exponent)
}

/// Exponents from here on are written out.
const PLAIN_BELOW: i32 = 6;

/// Go writes the exponent's sign and at least two digits of it.
pub(crate) fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
