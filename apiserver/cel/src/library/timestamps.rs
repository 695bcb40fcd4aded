//! The parts of a moment, in UTC or another zone, and of a span of time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, time, unsupported};
use crate::value::{Moment, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

macro_rules! part {
    ($name:literal, $id:literal, $of:expr) => {
        Declaration {
            name: $name,
            overloads: &[
                (concat!("timestamp_to_", $id), "timestamp.() -> int"),
                (concat!("timestamp_to_", $id, "_with_tz"), "timestamp.(string) -> int"),
            ],
            run: |_: &mut Meter, args| part(args, $of, None),
        }
    };
    ($name:literal, $id:literal, $of:expr, $span:literal, $nanoseconds:literal) => {
        Declaration {
            name: $name,
            overloads: &[
                (concat!("timestamp_to_", $id), "timestamp.() -> int"),
                (concat!("timestamp_to_", $id, "_with_tz"), "timestamp.(string) -> int"),
                (concat!("duration_to_", $span), "duration.() -> int"),
            ],
            run: |_: &mut Meter, args| part(args, $of, Some($nanoseconds)),
        }
    };
}

pub(super) const FUNCTIONS: &[Declaration] = &[
    part!("getFullYear", "year", |at| i64::from(at.year())),
    part!("getMonth", "month", |at| i64::from(at.month()) - 1),
    part!("getDayOfYear", "day_of_year", |at| i64::from(at.day_of_year()) - 1),
    part!("getDayOfMonth", "day_of_month", |at| i64::from(at.day()) - 1),
    part!("getDate", "day_of_month_1_based", |at| i64::from(at.day())),
    part!("getDayOfWeek", "day_of_week", |at| i64::from(
        at.weekday().to_sunday_zero_offset()
    )),
    part!(
        "getHours",
        "hours",
        |at| i64::from(at.hour()),
        "hours",
        3_600_000_000_000
    ),
    part!(
        "getMinutes",
        "minutes",
        |at| i64::from(at.minute()),
        "minutes",
        60_000_000_000
    ),
    part!(
        "getSeconds",
        "seconds",
        |at| i64::from(at.second()),
        "seconds",
        1_000_000_000
    ),
    part!(
        "getMilliseconds",
        "milliseconds",
        |at| i64::from(at.millisecond()),
        "milliseconds",
        1_000_000
    ),
];

/// A part of a moment; of a span, how many times the unit is in it.
fn part<'a>(args: &[Value<'a>], of: fn(&DateTime) -> i64, unit: Option<i64>) -> Outcome<'a> {
    match (args, unit) {
        ([Value::Timestamp(at)], _) => shown(*at, &TimeZone::UTC, of),
        ([Value::Timestamp(at), Value::String(zone)], _) => shown(*at, &time::zone(zone)?, of),
        ([Value::Duration(span)], Some(unit)) => Ok(Value::Int(span / unit)),
        _ => unsupported(),
    }
}

fn shown<'a>(at: Moment, zone: &TimeZone, of: fn(&DateTime) -> i64) -> Outcome<'a> {
    match at.clock(zone) {
        Some(clock) => Ok(Value::Int(of(&clock))),
        None => refuse("timestamp overflow"),
    }
}
