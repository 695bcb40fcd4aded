//! `"…".format([…])`: cel-go's clauses `%s %d %f %e %b %x %X %o`, numbers as in its English locale.

use std::fmt::Write as _;

use crate::budget::{MAX_VALUE_DEPTH, Meter};
use crate::errors::EvalError;
use crate::library::strings::quote;
use crate::library::{refuse, time};
use crate::value::{List, Map, Value, render};

/// More digits than any double has.
const MOST_PRECISION: usize = 1_000;
const PRECISION: usize = 6;

type Outcome = Result<(), EvalError>;

pub(super) fn format(text: &str, args: &List<'_>, meter: &mut Meter) -> Result<String, EvalError> {
    let mut writer = Writer {
        out: String::new(),
        meter,
        depth: 0,
    };
    let mut rest = text;
    let mut used = 0;
    while let Some(at) = rest.find('%') {
        writer.push(&rest[..at])?;
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            writer.push("%")?;
            rest = after;
            continue;
        }
        let Some(arg) = args.get(used) else {
            return refuse(format!("index {used} out of range"));
        };
        used += 1;
        rest = clause(&mut writer, rest, &arg?)?;
    }
    writer.push(rest)?;
    Ok(writer.out)
}

/// One clause, after its percent sign; gives what follows it.
fn clause<'t>(writer: &mut Writer<'_>, clause: &'t str, arg: &Value<'_>) -> Result<&'t str, EvalError> {
    let bad = |reason: String| EvalError::failed(format!("could not parse formatting clause: {reason}"));
    let (precision, rest) = match clause.strip_prefix('.') {
        Some(after) => {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let precision = after[..digits]
                .parse::<usize>()
                .ok()
                .filter(|precision| *precision <= MOST_PRECISION);
            let precision = precision.ok_or_else(|| bad("error while parsing precision".to_owned()))?;
            (precision, &after[digits..])
        }
        None => (PRECISION, clause),
    };
    let Some(letter) = rest.chars().next() else {
        return refuse("unexpected end of string");
    };
    match letter {
        's' => writer.plain(arg)?,
        'd' => match arg {
            Value::Int(_) | Value::Uint(_) => writer.plain(arg)?,
            _ => return unfit("decimal clause can only be used on integers", arg),
        },
        'f' => writer.push(&fixed(arg, precision)?)?,
        'e' => writer.push(&scientific(arg, precision)?)?,
        'b' => writer.push(&binary(arg)?)?,
        'x' => writer.push(&hex(arg)?)?,
        'X' => writer.push(&hex(arg)?.to_uppercase())?,
        'o' => writer.push(&octal(arg)?)?,
        other => return Err(bad(format!("unrecognized formatting clause \"{other}\""))),
    }
    Ok(&rest[letter.len_utf8()..])
}

fn unfit<T>(what: &str, arg: &Value<'_>) -> Result<T, EvalError> {
    refuse(format!(
        "error during formatting: {what}, was given {}",
        arg.type_name()
    ))
}

fn number(arg: &Value<'_>, what: &str) -> Result<f64, EvalError> {
    match arg {
        Value::Double(value) => Ok(*value),
        Value::String(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => {
            Ok(text.parse().unwrap_or(f64::NAN))
        }
        _ => unfit(&format!("{what} clause can only be used on doubles"), arg),
    }
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        return Some("NaN".to_owned());
    }
    value
        .is_infinite()
        .then(|| if value > 0.0 { "\u{221e}" } else { "-\u{221e}" }.to_owned())
}

fn fixed(arg: &Value<'_>, precision: usize) -> Result<String, EvalError> {
    let value = number(arg, "fixed-point")?;
    if let Some(special) = special(value) {
        return Ok(special);
    }
    let plain = format!("{value:.precision$}");
    let (whole, fraction) = plain.split_once('.').map_or((plain.as_str(), ""), |(a, b)| (a, b));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        let _ = write!(out, ".{fraction}");
    }
    Ok(out)
}

/// With a superscript exponent of at least two digits, as the English locale has it.
fn scientific(arg: &Value<'_>, precision: usize) -> Result<String, EvalError> {
    let value = number(arg, "scientific")?;
    if let Some(special) = special(value) {
        return Ok(special);
    }
    let plain = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = plain.split_once('e') else {
        return Ok(plain);
    };
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(("", exponent), |digits| ("\u{207b}", digits));
    let mut out = format!("{mantissa}\u{202f}\u{d7}\u{202f}10{sign}");
    if digits.len() < 2 {
        out.push('\u{2070}');
    }
    let raised = [
        '\u{2070}', '\u{b9}', '\u{b2}', '\u{b3}', '\u{2074}', '\u{2075}', '\u{2076}', '\u{2077}', '\u{2078}',
        '\u{2079}',
    ];
    let digits = digits
        .bytes()
        .map(|digit| raised[usize::from(digit.wrapping_sub(b'0')) % 10]);
    out.extend(digits);
    Ok(out)
}

fn signed(value: i64, show: &dyn Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", show(value.unsigned_abs()))
}

fn binary(arg: &Value<'_>) -> Result<String, EvalError> {
    match arg {
        Value::Int(value) => Ok(signed(*value, &|value| format!("{value:b}"))),
        Value::Uint(value) => Ok(format!("{value:b}")),
        Value::Bool(value) => Ok(u8::from(*value).to_string()),
        _ => unfit("only integers and bools can be formatted as binary", arg),
    }
}

fn octal(arg: &Value<'_>) -> Result<String, EvalError> {
    match arg {
        Value::Int(value) => Ok(signed(*value, &|value| format!("{value:o}"))),
        Value::Uint(value) => Ok(format!("{value:o}")),
        _ => unfit("octal clause can only be used on integers", arg),
    }
}

fn hex(arg: &Value<'_>) -> Result<String, EvalError> {
    let bytes = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    };
    match arg {
        Value::Int(value) => Ok(signed(*value, &|value| format!("{value:x}"))),
        Value::Uint(value) => Ok(format!("{value:x}")),
        Value::String(text) => Ok(bytes(text.as_bytes())),
        Value::Bytes(raw) => Ok(bytes(raw)),
        _ => unfit("only integers, byte buffers, and strings can be formatted as hex", arg),
    }
}

/// Text that grows within the budget: a value can be far larger to write than to make.
struct Writer<'m> {
    out: String,
    meter: &'m mut Meter,
    depth: usize,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) -> Outcome {
        self.meter.work(1 + text.len() as u64 / 10)?;
        self.meter.allow_size((self.out.len() + text.len()) as u64)?;
        self.out.push_str(text);
        Ok(())
    }

    fn plain(&mut self, value: &Value<'_>) -> Outcome {
        match value {
            Value::Null => self.push("null"),
            Value::Bool(value) => self.push(&value.to_string()),
            Value::Int(value) => self.push(&value.to_string()),
            Value::Uint(value) => self.push(&value.to_string()),
            Value::Double(value) => self.push(&render::double(*value)),
            Value::String(text) => self.push(text),
            Value::Bytes(bytes) => self.push(&String::from_utf8_lossy(bytes)),
            Value::Timestamp(at) => self.push(&time::show_timestamp(*at)),
            Value::Duration(span) => self.push(&time::show_duration(*span)),
            Value::Type(name) => self.push(name),
            Value::List(list) => self.list(list),
            Value::Map(map) => self.map(map),
            other => unfit(
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
                other,
            ),
        }
    }

    /// Inside a list or map: as a literal.
    fn nested(&mut self, value: &Value<'_>) -> Outcome {
        match value {
            Value::String(text) => self.push(&quote(text)),
            Value::Bytes(bytes) => {
                let text = quote(&String::from_utf8_lossy(bytes));
                self.push(&format!("b{text}"))
            }
            Value::Double(value) if value.is_finite() => self.push(&format!("{value:.6}")),
            Value::Double(value) => self.push(&quote(&render::double(*value))),
            Value::Timestamp(at) => self.push(&format!("timestamp(\"{}\")", time::show_timestamp(*at))),
            Value::Duration(span) => self.push(&format!("duration(\"{}\")", time::show_duration(*span))),
            Value::Type(name) => self.push(&format!("type({name})")),
            other => self.plain(other),
        }
    }

    fn deeper(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > MAX_VALUE_DEPTH {
            return refuse("value nests too deep");
        }
        Ok(())
    }

    fn list(&mut self, list: &List<'_>) -> Outcome {
        self.deeper()?;
        self.push("[")?;
        for (index, item) in list.iter().enumerate() {
            if index > 0 {
                self.push(", ")?;
            }
            self.nested(&item?)?;
        }
        self.depth -= 1;
        self.push("]")
    }

    fn map(&mut self, map: &Map<'_>) -> Outcome {
        self.deeper()?;
        self.push("{")?;
        for (index, entry) in map.entries().enumerate() {
            let (key, value) = entry?;
            if index > 0 {
                self.push(", ")?;
            }
            self.nested(&key.value())?;
            self.push(":")?;
            self.nested(&value)?;
        }
        self.depth -= 1;
        self.push("}")
    }
}
