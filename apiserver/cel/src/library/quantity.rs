//! Kubernetes' quantities: `1.5Gi`, `100m`. Kept exactly, in billionths: that is how fine they may be.

use std::cmp::Ordering;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, unsupported};
use crate::value::{Library, OpaqueValue, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

const ONE: i128 = 1_000_000_000;
/// No quantity is read larger.
const LARGEST: i128 = i64::MAX as i128 * ONE;

/// A quantity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    billionths: i128,
    /// Kubernetes keeps it as a number of 64 bits, which alone can be taken for an integer; long ones, and fractions of
    /// powers of two, are never that.
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Short,
    Long,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.billionths == other.billionths
    }
}

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "quantity",
        overloads: &[("string_to_quantity", "(string) -> Quantity")],
        run: |_, args| match args {
            [Value::String(text)] => parse(text).map(value),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "isQuantity",
        overloads: &[("is_quantity_string", "(string) -> bool")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse(text).is_ok())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "sign",
        overloads: &[("quantity_sign", "Quantity.() -> int")],
        run: |_, args| {
            one(args, |quantity| {
                Ok(Value::Int(if quantity.billionths == 0 { 0 } else { quantity.sign() }))
            })
        },
    },
    Declaration {
        name: "isGreaterThan",
        overloads: &[("quantity_is_greater_than", "Quantity.(Quantity) -> bool")],
        run: |_, args| compared(args, |order| Value::Bool(order == Ordering::Greater)),
    },
    Declaration {
        name: "isLessThan",
        overloads: &[("quantity_is_less_than", "Quantity.(Quantity) -> bool")],
        run: |_, args| compared(args, |order| Value::Bool(order == Ordering::Less)),
    },
    Declaration {
        name: "compareTo",
        overloads: &[("quantity_compare_to", "Quantity.(Quantity) -> int")],
        run: |_, args| compared(args, |order| Value::Int(order as i64)),
    },
    Declaration {
        name: "asApproximateFloat",
        overloads: &[("quantity_get_float", "Quantity.() -> double")],
        run: |_, args| one(args, |quantity| Ok(Value::Double(quantity.approximate()))),
    },
    Declaration {
        name: "asInteger",
        overloads: &[("quantity_get_int", "Quantity.() -> int")],
        run: |_, args| {
            one(args, |quantity| match quantity.whole() {
                Some(whole) => Ok(Value::Int(whole)),
                None => refuse("cannot convert value to integer"),
            })
        },
    },
    Declaration {
        name: "isInteger",
        overloads: &[("quantity_is_integer", "Quantity.() -> bool")],
        run: |_, args| one(args, |quantity| Ok(Value::Bool(quantity.whole().is_some()))),
    },
    Declaration {
        name: "add",
        overloads: &[
            ("quantity_add", "Quantity.(Quantity) -> Quantity"),
            ("quantity_add_int", "Quantity.(int) -> Quantity"),
        ],
        run: |_: &mut Meter, args| sum(args, 1),
    },
    Declaration {
        name: "sub",
        overloads: &[
            ("quantity_sub", "Quantity.(Quantity) -> Quantity"),
            ("quantity_sub_int", "Quantity.(int) -> Quantity"),
        ],
        run: |_: &mut Meter, args| sum(args, -1),
    },
];

fn value<'a>(quantity: Quantity) -> Value<'a> {
    Value::library(Library::Quantity(quantity))
}

fn one<'a>(args: &[Value<'a>], of: fn(&Quantity) -> Outcome<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(OpaqueValue(Library::Quantity(quantity)))] => of(quantity),
        _ => unsupported(),
    }
}

fn operand(value: &Value<'_>) -> Result<Quantity, EvalError> {
    match value {
        Value::Opaque(OpaqueValue(Library::Quantity(quantity))) => Ok(*quantity),
        Value::Int(whole) => Ok(Quantity {
            billionths: i128::from(*whole) * ONE,
            form: Form::Short,
        }),
        _ => unsupported(),
    }
}

fn compared<'a>(args: &[Value<'a>], of: fn(Ordering) -> Value<'a>) -> Outcome<'a> {
    match args {
        [a @ Value::Opaque(_), b @ Value::Opaque(_)] => Ok(of(operand(a)?.billionths.cmp(&operand(b)?.billionths))),
        _ => unsupported(),
    }
}

fn sum<'a>(args: &[Value<'a>], sign: i128) -> Outcome<'a> {
    let [a @ Value::Opaque(_), b] = args else {
        return unsupported();
    };
    let (a, b) = (operand(a)?, operand(b)?);
    let billionths = a.billionths.saturating_add(b.billionths * sign);
    let short = a.form == Form::Short && b.form == Form::Short;
    let form = if short { Form::Short } else { Form::Long };
    Ok(value(Quantity { billionths, form }))
}

impl Quantity {
    fn sign(self) -> i64 {
        if self.billionths < 0 { -1 } else { 1 }
    }

    fn whole(self) -> Option<i64> {
        (self.form == Form::Short && self.billionths % ONE == 0).then(|| i64::try_from(self.billionths / ONE).ok())?
    }

    #[expect(clippy::cast_precision_loss, reason = "the result is approximate by definition")]
    fn approximate(self) -> f64 {
        (self.billionths / ONE) as f64 + (self.billionths % ONE) as f64 / 1e9
    }
}

fn bad<T>() -> Result<T, EvalError> {
    refuse("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
}

/// Sign, decimal number, and a suffix: of a power of 1024 or of 1000, or an exponent. What is finer than a billionth is
/// rounded up, away from zero.
fn parse(text: &str) -> Result<Quantity, EvalError> {
    if text.is_empty() {
        return refuse("quantities must not be empty");
    }
    let (negative, rest) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return bad();
    }
    if !is_suffix(suffix) {
        return bad();
    }
    let Some(scale) = scale(suffix) else {
        return refuse("unable to parse quantity's suffix");
    };
    let form = form(whole, fraction, scale);
    let magnitude = scaled(whole, fraction, scale);
    let billionths = if negative { -magnitude } else { magnitude };
    Ok(Quantity { billionths, form })
}

/// Letters that suffixes are made of, then an exponent.
fn is_suffix(text: &str) -> bool {
    let rest = text.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|c| c.is_ascii_digit())
}

/// Whether 64 bits are enough by Kubernetes' reckoning, which goes by the number of digits.
fn form(whole: &str, fraction: &str, scale: Scale) -> Form {
    let whole = whole.trim_start_matches('0').len();
    let short = match scale {
        Scale::Decimal(_) => whole + fraction.len() <= 18,
        Scale::Binary(bits) => fraction.is_empty() && whole + (bits * 3 / 10) as usize <= 14,
    };
    if short { Form::Short } else { Form::Long }
}

/// What a suffix multiplies with.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of two.
    Binary(u32),
    /// A power of ten.
    Decimal(i32),
}

fn scale(suffix: &str) -> Option<Scale> {
    Some(match suffix {
        "Ki" => Scale::Binary(10),
        "Mi" => Scale::Binary(20),
        "Gi" => Scale::Binary(30),
        "Ti" => Scale::Binary(40),
        "Pi" => Scale::Binary(50),
        "Ei" => Scale::Binary(60),
        "n" => Scale::Decimal(-9),
        "u" => Scale::Decimal(-6),
        "m" => Scale::Decimal(-3),
        "" => Scale::Decimal(0),
        "k" => Scale::Decimal(3),
        "M" => Scale::Decimal(6),
        "G" => Scale::Decimal(9),
        "T" => Scale::Decimal(12),
        "P" => Scale::Decimal(15),
        "E" => Scale::Decimal(18),
        other => Scale::Decimal(other.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

/// The number in billionths, at most [`LARGEST`]; the arithmetic is on decimal digits, so that nothing is lost.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> i128 {
    let (shift, factor) = match scale {
        Scale::Decimal(power) => (i64::from(power), 1),
        Scale::Binary(bits) => (0, 1_i128 << bits),
    };
    let digits: Vec<u8> = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|digit| digit - b'0')
        .collect();
    // How many of the digits stand before the point, once the number is in billionths.
    let point = i64::try_from(whole.len())
        .unwrap_or(i64::MAX)
        .saturating_add(shift)
        .saturating_add(9);
    let mut total: i128 = 0;
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
    let Some(significant) = digits.get(first..).filter(|digits| !digits.is_empty()) else {
        return 0;
    };
    let before = point.saturating_sub(i64::try_from(first).unwrap_or(i64::MAX));
    if before > 40 {
        return LARGEST;
    }
    if factor == 1 {
        let mut rest = false;
        for (index, digit) in significant.iter().enumerate() {
            if i64::try_from(index).is_ok_and(|index| index < before) {
                total = total.saturating_mul(10).saturating_add(i128::from(*digit));
            } else {
                rest |= *digit != 0;
            }
        }
        let missing = before - i64::try_from(significant.len()).unwrap_or(i64::MAX);
        for _ in 0..missing.max(0) {
            total = total.saturating_mul(10);
        }
        return total.saturating_add(i128::from(rest)).min(LARGEST);
    }
    binary_scaled(whole, fraction, factor)
}

/// Times a power of two. Digits behind the eighteenth place matter only for rounding up.
fn binary_scaled(whole: &str, fraction: &str, factor: i128) -> i128 {
    let whole: i128 = whole
        .trim_start_matches('0')
        .parse()
        .unwrap_or(if whole.trim_start_matches('0').is_empty() {
            0
        } else {
            i128::MAX
        });
    let mut total = whole.saturating_mul(factor).saturating_mul(ONE);
    let (mut numerator, mut denominator) = (0_i128, 1_i128);
    for digit in fraction.bytes().take(9) {
        numerator = numerator * 10 + i128::from(digit - b'0');
        denominator *= 10;
    }
    // At most 2^60 · 10^9 · 10^9 / 10^9: the product stays within 127 bits when the unit is divided first.
    let product = numerator.saturating_mul(factor).saturating_mul(ONE / denominator);
    total = total.saturating_add(product);
    let finer = fraction.bytes().skip(9).any(|digit| digit != b'0');
    total.saturating_add(i128::from(finer)).min(LARGEST)
}
