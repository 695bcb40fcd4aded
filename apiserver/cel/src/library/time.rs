//! Moments and spans of time: how their texts are read and written. The texts are Go's; moments are those of the years
//! 1 to 9999, spans are 64 bits of nanoseconds.

use std::sync::LazyLock;

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use crate::errors::EvalError;
use crate::library::refuse;
use crate::value::Moment;

const SECOND: i128 = 1_000_000_000;

fn in_range(at: Option<Moment>) -> Result<Moment, EvalError> {
    at.ok_or_else(|| EvalError::failed("timestamp overflow"))
}

/// A moment moved by nanoseconds.
pub(crate) fn shifted(at: Moment, by: i128) -> Result<Moment, EvalError> {
    in_range(Moment::from_nanoseconds(at.nanoseconds() + by))
}

pub(crate) fn from_seconds(seconds: i64) -> Result<Moment, EvalError> {
    in_range(Moment::from_nanoseconds(i128::from(seconds) * SECOND))
}

fn bad_time<T>(text: &str) -> Result<T, EvalError> {
    refuse(format!(
        "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse"
    ))
}

/// RFC 3339, as strictly as Go reads it.
pub(crate) fn parse_timestamp(text: &str) -> Result<Moment, EvalError> {
    if !is_rfc3339(text.as_bytes()) {
        return bad_time(text);
    }
    let zone = text.rfind(['Z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(zone);
    let offset = if zone == "Z" { Some(0) } else { zone_seconds(zone) };
    match (clock.parse(), offset) {
        (Ok(clock), Some(offset)) => in_range(Moment::from_clock(clock, offset)),
        _ => bad_time(text),
    }
}

fn is_rfc3339(text: &[u8]) -> bool {
    let shape = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text
                .iter()
                .zip(shape)
                .all(|(c, s)| if *s == b'0' { c.is_ascii_digit() } else { c == s })
    };
    let Some((date, rest)) = text.split_at_checked(19) else {
        return false;
    };
    // jiff reads a leap second as the second before it; Go refuses it.
    if !shape(date, b"0000-00-00T00:00:00") || date[17] > b'5' {
        return false;
    }
    let zone = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|c| c.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        other => other,
    };
    zone == b"Z" || shape(zone, b"+00:00") || shape(zone, b"-00:00")
}

/// A day, at its midnight in UTC.
pub(crate) fn parse_date(text: &str) -> Result<Moment, EvalError> {
    match text.parse::<Date>() {
        Ok(day) if text.len() == 10 => in_range(Moment::from_clock(day.to_datetime(Time::midnight()), 0)),
        _ => bad_time(text),
    }
}

pub(crate) fn show_timestamp(at: Moment) -> String {
    at.to_string()
}

/// In seconds: `1.5s`.
#[expect(clippy::cast_precision_loss, reason = "Go writes the seconds as a double, too")]
pub(crate) fn show_duration(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let rest = nanoseconds % 1_000_000_000;
    format!("{}s", seconds as f64 + rest as f64 / 1e9)
}

fn bad_duration<T>(text: &str) -> Result<T, EvalError> {
    refuse(format!("time: invalid duration {text:?}"))
}

/// Go's notation: `1h30m`, `-1.5s`, `0`.
pub(crate) fn parse_duration(text: &str) -> Result<i64, EvalError> {
    let go_unit = |unit: &str| match unit {
        "ns" => Some(1),
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(SECOND),
        "m" => Some(60 * SECOND),
        "h" => Some(3_600 * SECOND),
        _ => None,
    };
    match spans(text, &go_unit) {
        Some(nanoseconds) => i64::try_from(nanoseconds).or_else(|_| bad_duration(text)),
        None => bad_duration(text),
    }
}

/// As OpenAPI's format `duration` has it: Go's notation, or numbers with words: `3 days`.
pub(crate) fn parse_schema_duration(text: &str) -> Result<i64, EvalError> {
    if let Ok(span) = parse_duration(text) {
        return Ok(span);
    }
    let word_unit = |unit: &str| match unit.trim_end_matches('s') {
        "n" | "nano" | "nanosecond" => Some(1),
        "u" | "\u{b5}" | "micro" | "microsecond" => Some(1_000),
        "m" if unit == "ms" => Some(1_000_000),
        "milli" | "millisecond" => Some(1_000_000),
        "" | "sec" | "second" => Some(SECOND),
        "m" | "min" | "minute" => Some(60 * SECOND),
        "h" | "hr" | "hour" => Some(3_600 * SECOND),
        "d" | "day" => Some(86_400 * SECOND),
        "w" | "wk" | "week" => Some(604_800 * SECOND),
        _ => None,
    };
    match spans(&text.replace(' ', ""), &word_unit) {
        Some(nanoseconds) => i64::try_from(nanoseconds).or_else(|_| bad_duration(text)),
        None => bad_duration(text),
    }
}

/// The sum of numbers with units.
fn spans(text: &str, unit_of: &dyn Fn(&str) -> Option<i128>) -> Option<i128> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    while total == 0 || !rest.is_empty() {
        let number = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .filter(|length| *length > 0)?;
        let (value, after) = rest.split_at(number);
        let length = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(length);
        total = total.checked_add(scaled(value, unit_of(unit)?)?)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    Some(if negative { -total } else { total })
}

/// A decimal number times a unit, cut off at whole nanoseconds.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || whole.len() > 19 {
        return None;
    }
    let mut total = if whole.is_empty() {
        0
    } else {
        whole.parse::<i128>().ok()?
    }
    .checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes().take(18) {
        let digit = i128::from(digit - b'0');
        // Kept exact: the unit is divided by ten only as long as it can be.
        total += digit * place / 10;
        place /= 10;
    }
    Some(total)
}

/// A zone by its name or its distance from UTC.
pub(crate) fn zone(name: &str) -> Result<TimeZone, EvalError> {
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if name.contains(':') {
        let offset = zone_seconds(name).and_then(|seconds| i32::try_from(seconds).ok());
        let offset = offset.and_then(|seconds| Offset::from_seconds(seconds).ok());
        let unknown = || EvalError::failed(format!("unknown time zone {name}"));
        return offset.map(TimeZone::fixed).ok_or_else(unknown);
    }
    // Only the names compiled in: what a rule means must not depend on the machine.
    static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    BUNDLED
        .get(name)
        .map_err(|_| EvalError::failed(format!("unknown time zone {name}")))
}

/// `+01:30`, `-05:00` or `01:00`, in seconds ahead of UTC.
fn zone_seconds(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let negative = hours.starts_with('-');
    let hours = hours.strip_prefix(['+', '-']).unwrap_or(hours);
    let number = |text: &str, most: i64| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        text.parse::<i64>().ok().filter(|value| digits && *value <= most)
    };
    let seconds = (number(hours, 23)? * 60 + number(minutes, 59)?) * 60;
    Some(if negative { -seconds } else { seconds })
}
