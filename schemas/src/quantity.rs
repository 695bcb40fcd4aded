//! Kubernetes quantities, as far as resources need them: `500m`, `2`, `1.5`, `512Mi`, `2G`, `1e3`.

use crate::Scalar;

/// Why a value is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It does not read as a number with a suffix.
    #[error("must be a quantity such as `500m`, `2`, `512Mi` or `2G`")]
    Syntax,
    /// It is not more than nothing.
    #[error("must be more than 0")]
    NotPositive,
    /// It is larger than any machine.
    #[error("must be at most 1Pi")]
    TooLarge,
}

/// The largest value, in whole units: no machine has more bytes of memory than this for years to come.
const MAX: i128 = 1 << 50;

/// Processors in thousandths, rounded up.
pub fn cpu_millis(value: &Scalar) -> Result<u64, QuantityError> {
    scaled(value, 1000)
}

/// Bytes, rounded up.
pub fn memory_bytes(value: &Scalar) -> Result<u64, QuantityError> {
    scaled(value, 1)
}

fn scaled(value: &Scalar, per_unit: i128) -> Result<u64, QuantityError> {
    let nanos = match value {
        Scalar::Int(number) => i128::from(*number) * NANO,
        Scalar::String(text) => nanos(text)?,
        Scalar::Bool(_) => return Err(QuantityError::Syntax),
    };
    if nanos <= 0 {
        return Err(QuantityError::NotPositive);
    }
    if nanos > MAX * NANO {
        return Err(QuantityError::TooLarge);
    }
    let scaled = (nanos * per_unit + NANO - 1) / NANO;
    u64::try_from(scaled).map_err(|_| QuantityError::TooLarge)
}

const NANO: i128 = 1_000_000_000;

/// The value in billionths of a unit.
pub(crate) fn nanos(text: &str) -> Result<i128, QuantityError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 24 || fraction.len() > 9 || fraction.contains('.') {
        return Err(QuantityError::Syntax);
    }
    let parse = |digits: &str| {
        if digits.is_empty() {
            Ok(0)
        } else {
            digits.parse::<i128>()
        }
    };
    let whole = parse(whole).map_err(|_| QuantityError::Syntax)?;
    let padded = format!("{fraction:0<9}");
    let fraction = parse(&padded).map_err(|_| QuantityError::Syntax)?;
    let base = whole * NANO + fraction;
    let times = |factor: i128| base.checked_mul(factor).ok_or(QuantityError::TooLarge);
    match suffix {
        "" => Ok(base),
        "n" => Ok(base / NANO),
        "u" => Ok(base / 1_000_000),
        "m" => Ok(base / 1000),
        "k" => times(1000),
        "M" => times(1_000_000),
        "G" => times(NANO),
        "T" => times(1000 * NANO),
        "P" => times(1_000_000 * NANO),
        "Ki" => times(1 << 10),
        "Mi" => times(1 << 20),
        "Gi" => times(1 << 30),
        "Ti" => times(1 << 40),
        "Pi" => times(1 << 50),
        _ => exponent(suffix).and_then(|power| times(10i128.pow(power))),
    }
}

fn exponent(suffix: &str) -> Result<u32, QuantityError> {
    let digits = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Syntax)?;
    let power: u32 = digits.parse().map_err(|_| QuantityError::Syntax)?;
    if power > 15 {
        Err(QuantityError::TooLarge)
    } else {
        Ok(power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, millis) in [
            ("500m", 500),
            ("2", 2000),
            ("1.5", 1500),
            ("0.1", 100),
            ("1u", 1),
            ("1e3", 1_000_000),
        ] {
            assert_eq!(cpu_millis(&text.into()), Ok(millis), "{text}");
        }
        for (text, bytes) in [("512Mi", 512 << 20), ("2G", 2_000_000_000), ("1.5Ki", 1536), ("1", 1)] {
            assert_eq!(memory_bytes(&text.into()), Ok(bytes), "{text}");
        }
        assert_eq!(cpu_millis(&Scalar::Int(3)), Ok(3000));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            "x",
            "1x",
            "-1",
            "1.2.3",
            "1 Gi",
            "0",
            "9999999999999999999",
            "1e99",
            "9999999999Pi",
            ".",
            "Mi",
        ] {
            assert!(memory_bytes(&text.into()).is_err(), "{text}");
        }
    }
}
