//! Numbers: bounds, steps, and how Go writes them, since messages quote them.

use serde_json::{Number, Value};

use super::format::FormatRule;
use super::trail::Trail;
use super::validate::Walk;
use super::{Bound, Limits, Node, Type};

/// Whether a number is whole, also one that is written with a fraction of nothing: `1.0`.
pub(super) fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// A number as Go's `%v` writes it.
pub(super) fn go(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-4..1e21).contains(&size) || !size.is_finite() {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

impl Walk<'_> {
    pub(super) fn number(&mut self, node: &Node, number: &Number, value: &Value, trail: &Trail<'_>) {
        self.range(node, number, trail);
        let limits = &node.limits;
        if let Some(step) = limits.multiple_of
            && !is_multiple(number, step)
        {
            self.invalid(trail, value, &format!("should be a multiple of {}", go(step)));
        }
        self.bounds(limits, number, value, trail);
    }

    fn bounds(&mut self, limits: &Limits, number: &Number, value: &Value, trail: &Trail<'_>) {
        let or_equal = |bound: &Bound| if bound.exclusive { "" } else { " or equal to" };
        if let Some(max) = &limits.maximum
            && exceeds(number, max)
        {
            self.invalid(
                trail,
                value,
                &format!("should be less than{} {}", or_equal(max), go(max.at)),
            );
        }
        if let Some(min) = &limits.minimum
            && falls_short(number, min)
        {
            self.invalid(
                trail,
                value,
                &format!("should be greater than{} {}", or_equal(min), go(min.at)),
            );
        }
    }

    /// Whether the number fits the machine type that type and format stand for.
    fn range(&mut self, node: &Node, number: &Number, trail: &Trail<'_>) {
        let whole = || {
            number
                .as_i64()
                .or_else(|| number.as_f64().filter(|n| n.fract() == 0.0).and_then(to_i64))
        };
        let format = node.limits.format.as_ref();
        let fits = match (node.type_, format.map(|format| format.rule)) {
            (Some(Type::Integer), Some(FormatRule::Int32)) => whole().is_some_and(|n| i32::try_from(n).is_ok()),
            (Some(Type::Integer), _) => whole().is_some(),
            (Some(Type::Number), Some(FormatRule::Float)) => {
                number.as_f64().is_none_or(|number| number.abs() <= f64::from(f32::MAX))
            }
            _ => true,
        };
        if fits {
            return;
        }
        let type_ = node.type_.map_or("", Type::name);
        let how = format.map_or_else(|| "(default format)".to_owned(), |f| format!("with format {}", f.name));
        let path = trail.dotted();
        self.composite(format!("Checked value must be of type {type_} {how} in {path}"));
    }
}

/// The same number as an integer, where the conversion loses nothing.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn to_i64(number: f64) -> Option<i64> {
    const RANGE: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    RANGE.contains(&number).then_some(number as i64)
}

fn whole_bound(number: &Number, bound: f64) -> Option<(i64, i64)> {
    let bound = to_i64(bound).filter(|_| bound.fract() == 0.0)?;
    Some((number.as_i64()?, bound))
}

fn exceeds(number: &Number, max: &Bound) -> bool {
    match whole_bound(number, max.at) {
        Some((number, bound)) => number > bound || (max.exclusive && number == bound),
        None => {
            let number = number.as_f64().unwrap_or_default();
            number > max.at || (max.exclusive && number >= max.at)
        }
    }
}

fn falls_short(number: &Number, min: &Bound) -> bool {
    match whole_bound(number, min.at) {
        Some((number, bound)) => number < bound || (min.exclusive && number == bound),
        None => {
            let number = number.as_f64().unwrap_or_default();
            number < min.at || (min.exclusive && number <= min.at)
        }
    }
}

fn is_multiple(number: &Number, step: f64) -> bool {
    if let Some((number, step)) = whole_bound(number, step) {
        return step > 0 && number % step == 0;
    }
    let number = number.as_f64().unwrap_or_default();
    if step <= 0.0 {
        return false;
    }
    let times = if step < 1.0 { 1.0 / step * number } else { number / step };
    let difference = (times - times.trunc()).abs();
    times.is_finite() && difference <= 1e-9 * (2.0 * times.abs()).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        let table = [
            (1.0, "1"),
            (1.5, "1.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
        ];
        for (number, text) in table {
            assert_eq!(go(number), text);
        }
    }

    #[test]
    fn multiples_are_found_despite_binary_fractions() {
        let number = |n: f64| Number::from_f64(n).unwrap();
        assert!(is_multiple(&number(0.3), 0.1) && is_multiple(&Number::from(6), 3.0));
        assert!(!is_multiple(&number(0.35), 0.1) && !is_multiple(&Number::from(7), 3.0));
        assert!(!is_multiple(&Number::from(7), 0.0));
    }
}
