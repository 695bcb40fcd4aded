//! A duration as users write it: `90s`, `1h30m`, `250ms`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written like Go and Kubernetes write it: numbers with a unit each (`h`, `m`, `s`, `ms`),
/// largest first, for example `1h30m`. Never negative; at most [`Duration::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It does not read as numbers with units.
    #[error("must be a duration such as `90s`, `15m` or `1h30m`")]
    Syntax,
    /// It is longer than a year.
    #[error("must be at most 8784h")]
    TooLong,
}

impl Duration {
    /// One leap year: longer waits are mistakes, and the bound keeps sums within every clock's range.
    pub const MAX: Self = Self::from_secs(8784 * 3600);

    /// Whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// Whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }
}

impl From<Duration> for std::time::Duration {
    fn from(value: Duration) -> Self {
        value.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 32 {
            return Err(DurationError::Syntax);
        }
        let mut rest = text;
        let mut millis: u64 = 0;
        let mut last_unit = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Syntax)?;
            let number: u64 = rest[..digits].parse().map_err(|_| DurationError::Syntax)?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = match &rest[..letters] {
                "h" => 3_600_000,
                "m" => 60_000,
                "s" => 1_000,
                "ms" => 1,
                _ => return Err(DurationError::Syntax),
            };
            if unit >= last_unit {
                return Err(DurationError::Syntax);
            }
            last_unit = unit;
            rest = &rest[letters..];
            millis = number
                .checked_mul(unit)
                .and_then(|n| millis.checked_add(n))
                .ok_or(DurationError::TooLong)?;
        }
        let duration = Self::from_millis(millis);
        if duration > Self::MAX {
            Err(DurationError::TooLong)
        } else {
            Ok(duration)
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_millis();
        if total == 0 {
            return f.write_str("0s");
        }
        for (unit, size, modulo) in [
            ("h", 3_600_000, u128::MAX),
            ("m", 60_000, 60),
            ("s", 1_000, 60),
            ("ms", 1, 1000),
        ] {
            let count = total / size % modulo;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(h|ms|m|s))+$", "maxLength": 32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["90s", "1h30m", "250ms", "1h1ms", "8784h"] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration, "{text}");
        }
        assert_eq!("90s".parse::<Duration>().unwrap().to_string(), "1m30s");
        assert_eq!(Duration::from_secs(0).to_string(), "0s");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1d",
            "1m1h",
            "1s1s",
            "1.5h",
            " 1s",
            "99999999999999999999h",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
        assert_eq!("8785h".parse::<Duration>(), Err(DurationError::TooLong));
    }
}
