//! Dates, times and durations, in the corners of Go's parsers.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

pub(super) fn is_date(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| match at {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    shape && text.parse::<Date>().is_ok()
}

/// A date, `T`, and a time with a zone. Hours, minutes and seconds are in range; the zone is not looked into.
pub(super) fn is_date_time(text: &str) -> bool {
    let Some((_, time)) = text.split_once(['t', 'T']).filter(|(date, _)| is_date(date)) else {
        return false;
    };
    let pair = |at: usize, most: u8| {
        let digits = time
            .get(at..at + 2)
            .filter(|two| two.bytes().all(|b| b.is_ascii_digit()));
        digits
            .and_then(|two| two.parse::<u8>().ok())
            .is_some_and(|number| number <= most)
    };
    let colons = time.get(2..3) == Some(":") && time.get(5..6) == Some(":");
    if !(colons && pair(0, 23) && pair(3, 59) && pair(6, 59)) {
        return false;
    }
    let rest = &time[8..];
    let zone = |zone: &str| {
        zone.eq_ignore_ascii_case("z")
            || (zone.len() == 6
                && zone.bytes().enumerate().all(|(at, b)| match at {
                    0 => matches!(b, b'+' | b'-'),
                    3 => b == b':',
                    _ => b.is_ascii_digit(),
                }))
    };
    if zone(rest) {
        return true;
    }
    // A fraction: one character that is no line break (a dot, but upstream takes any), and digits.
    let mut chars = rest.chars();
    let digits = match chars.next() {
        Some(c) if c != '\n' => chars.as_str(),
        _ => return false,
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    end > 0 && zone(&digits[end..])
}

/// Go's durations (`1h30m`, `-1.5s`), and amounts of units as people write them (`2 days`).
pub(super) fn is_duration(text: &str) -> bool {
    is_go_duration(text) || is_worded_duration(text)
}

fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let unit_end = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return false,
        };
        let digits = number.bytes().any(|b| b.is_ascii_digit()) && number.bytes().filter(|b| *b == b'.').count() <= 1;
        // Go takes `.5` and `1.`.
        let Some(number) = format!("0{number}")
            .trim_end_matches('.')
            .parse::<f64>()
            .ok()
            .filter(|_| digits)
        else {
            return false;
        };
        nanoseconds += number * scale;
        rest = behind;
    }
    nanoseconds <= 9_223_372_036_854_775_807.0
}

fn is_worded_duration(text: &str) -> bool {
    static AMOUNT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)").expect("a constant pattern compiles"));
    const EXACT: [&str; 14] = [
        "ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk", "nano", "micro", "milli",
    ];
    const LONG: [&str; 8] = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    let mut found = false;
    for amount in AMOUNT.captures_iter(text) {
        if amount[1].parse::<i64>().is_err() {
            return false;
        }
        let unit = amount[2].to_lowercase();
        found |= EXACT.contains(&unit.as_str()) || LONG.iter().any(|word| unit.starts_with(word));
    }
    found
}
