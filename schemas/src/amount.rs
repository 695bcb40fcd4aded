//! A quantity that can be added up, compared and written again, as Kubernetes writes one in its shortest form.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use crate::quantity::{self, QuantityError};

const NANO: i128 = 1_000_000_000;
const BINARY: [(&str, i128); 5] = [
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
];
const DECIMAL: [(&str, i128); 9] = [
    ("P", 1_000_000 * NANO * NANO),
    ("T", 1000 * NANO * NANO),
    ("G", NANO * NANO),
    ("M", 1_000_000 * NANO),
    ("k", 1000 * NANO),
    ("", NANO),
    ("m", 1_000_000),
    ("u", 1000),
    ("n", 1),
];

/// How it was written: `512Mi` or `500m`. Sums keep the form of what they began with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Decimal,
    Binary,
}

/// An amount of anything, exact to a billionth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    nanos: i128,
    form: Form,
}

impl Amount {
    /// Whole units.
    pub fn units(units: u64) -> Self {
        Self {
            nanos: i128::from(units) * NANO,
            form: Form::Decimal,
        }
    }

    /// Bytes, which are written with binary suffixes.
    pub fn bytes(bytes: u64) -> Self {
        Self {
            form: Form::Binary,
            ..Self::units(bytes)
        }
    }

    /// Thousandths.
    pub fn millis(millis: u64) -> Self {
        Self {
            nanos: i128::from(millis) * (NANO / 1000),
            form: Form::Decimal,
        }
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is whole.
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }
}

impl FromStr for Amount {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let form = if digits.ends_with('i') {
            Form::Binary
        } else {
            Form::Decimal
        };
        Ok(Self {
            nanos: sign * quantity::nanos(digits)?,
            form,
        })
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let form = if self.is_zero() { other.form } else { self.form };
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
            form,
        }
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(other.nanos),
            form: self.form,
        }
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos / NANO;
        if self.form == Form::Binary && self.is_whole() {
            let suffix = BINARY.iter().find(|(_, factor)| whole % factor == 0);
            let (suffix, factor) = suffix.copied().unwrap_or(("", 1));
            return write!(f, "{}{suffix}", whole / factor);
        }
        let suffix = DECIMAL.iter().find(|(_, factor)| self.nanos % factor == 0);
        let (suffix, factor) = suffix.copied().unwrap_or(("n", 1));
        write!(f, "{}{suffix}", self.nanos / factor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_written_in_their_shortest_form() {
        for (given, want) in [
            ("2000m", "2"),
            ("1500m", "1500m"),
            ("1000", "1k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0", "0"),
            ("-3", "-3"),
            ("0.5", "500m"),
            ("1e3", "1k"),
        ] {
            assert_eq!(given.parse::<Amount>().unwrap().to_string(), want, "{given}");
        }
        assert!("".parse::<Amount>().is_err() && "-".parse::<Amount>().is_err() && "1x".parse::<Amount>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(units in 0u64..1 << 50, millis in 0u64..10_000) {
            for amount in [Amount::units(units), Amount::bytes(units), Amount::millis(millis), Amount::units(units) + Amount::millis(millis)] {
                prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            }
        }

        #[test]
        fn any_text_reads_or_is_refused(text in "\\PC{0,30}") {
            let _ = text.parse::<Amount>();
        }
    }
}
