//! Conversions between types, and the size of things.

use std::sync::Arc;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, time, unsupported};
use crate::value::{Library, OpaqueValue, Value, render};

type Outcome<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "size",
        overloads: &[
            ("size_bytes", "(bytes) -> int"),
            ("bytes_size", "bytes.() -> int"),
            ("size_list", "(list(A)) -> int"),
            ("list_size", "list(A).() -> int"),
            ("size_map", "(map(A, B)) -> int"),
            ("map_size", "map(A, B).() -> int"),
            ("size_string", "(string) -> int"),
            ("string_size", "string.() -> int"),
        ],
        run: size,
    },
    Declaration {
        name: "type",
        overloads: &[("type", "(A) -> type(A)")],
        run: type_of,
    },
    Declaration {
        name: "dyn",
        overloads: &[("to_dyn", "(A) -> dyn")],
        run: dynamic,
    },
    Declaration {
        name: "bool",
        overloads: &[
            ("bool_to_bool", "(bool) -> bool"),
            ("string_to_bool", "(string) -> bool"),
        ],
        run: to_bool,
    },
    Declaration {
        name: "bytes",
        overloads: &[
            ("bytes_to_bytes", "(bytes) -> bytes"),
            ("string_to_bytes", "(string) -> bytes"),
        ],
        run: to_bytes,
    },
    Declaration {
        name: "double",
        overloads: &[
            ("double_to_double", "(double) -> double"),
            ("int64_to_double", "(int) -> double"),
            ("string_to_double", "(string) -> double"),
            ("uint64_to_double", "(uint) -> double"),
        ],
        run: to_double,
    },
    Declaration {
        name: "int",
        overloads: &[
            ("int64_to_int64", "(int) -> int"),
            ("double_to_int64", "(double) -> int"),
            ("duration_to_int64", "(duration) -> int"),
            ("string_to_int64", "(string) -> int"),
            ("timestamp_to_int64", "(timestamp) -> int"),
            ("uint64_to_int64", "(uint) -> int"),
        ],
        run: to_int,
    },
    Declaration {
        name: "uint",
        overloads: &[
            ("uint64_to_uint64", "(uint) -> uint"),
            ("double_to_uint64", "(double) -> uint"),
            ("int64_to_uint64", "(int) -> uint"),
            ("string_to_uint64", "(string) -> uint"),
        ],
        run: to_uint,
    },
    Declaration {
        name: "string",
        overloads: &[
            ("string_to_string", "(string) -> string"),
            ("bool_to_string", "(bool) -> string"),
            ("bytes_to_string", "(bytes) -> string"),
            ("double_to_string", "(double) -> string"),
            ("duration_to_string", "(duration) -> string"),
            ("int64_to_string", "(int) -> string"),
            ("timestamp_to_string", "(timestamp) -> string"),
            ("uint64_to_string", "(uint) -> string"),
            ("ip_to_string", "(Ip) -> string"),
            ("cidr_to_string", "(Cidr) -> string"),
        ],
        run: to_string,
    },
    Declaration {
        name: "duration",
        overloads: &[
            ("duration_to_duration", "(duration) -> duration"),
            ("int64_to_duration", "(int) -> duration"),
            ("string_to_duration", "(string) -> duration"),
        ],
        run: to_duration,
    },
    Declaration {
        name: "timestamp",
        overloads: &[
            ("timestamp_to_timestamp", "(timestamp) -> timestamp"),
            ("int64_to_timestamp", "(int) -> timestamp"),
            ("string_to_timestamp", "(string) -> timestamp"),
        ],
        run: to_timestamp,
    },
];

fn size<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [value] = args else { return unsupported() };
    let size = value.size().ok_or(EvalError::NoSuchOverload)?;
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn type_of<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(Value::Type(value.type_name())),
        _ => unsupported(),
    }
}

fn dynamic<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(value.clone()),
        _ => unsupported(),
    }
}

fn to_bool<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::String(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => refuse("type conversion error from 'string' to 'bool'"),
        },
        _ => unsupported(),
    }
}

fn to_bytes<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bytes(bytes)] => Ok(Value::Bytes(bytes.clone())),
        [Value::String(text)] => Ok(Value::Bytes(Arc::from(text.as_bytes()))),
        _ => unsupported(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the language defines the conversion as the nearest double"
)]
fn to_double<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Double(value)] => Ok(Value::Double(*value)),
        [Value::Int(value)] => Ok(Value::Double(*value as f64)),
        [Value::Uint(value)] => Ok(Value::Double(*value as f64)),
        [Value::String(text)] => match text.parse() {
            Ok(value) => Ok(Value::Double(value)),
            Err(_) => refuse(format!("strconv.ParseFloat: parsing {:?}: invalid syntax", &**text)),
        },
        _ => unsupported(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be in range; the fraction is cut off by definition"
)]
fn to_int<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    const LIMIT: f64 = 9_223_372_036_854_775_807.0;
    match args {
        [Value::Int(value) | Value::Duration(value)] => Ok(Value::Int(*value)),
        [Value::Double(value)] if *value > -LIMIT && *value < LIMIT => Ok(Value::Int(*value as i64)),
        [Value::Double(_)] => refuse("integer overflow"),
        [Value::Timestamp(at)] => Ok(Value::Int(at.seconds())),
        [Value::Uint(value)] => {
            i64::try_from(*value).map_or_else(|_| refuse("integer overflow"), |v| Ok(Value::Int(v)))
        }
        [Value::String(text)] => match text.parse() {
            Ok(value) => Ok(Value::Int(value)),
            Err(error) => refuse(number_error("ParseInt", text, &error)),
        },
        _ => unsupported(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in range; the fraction is cut off by definition"
)]
fn to_uint<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    const LIMIT: f64 = 18_446_744_073_709_551_615.0;
    match args {
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Double(value)] if *value >= 0.0 && *value < LIMIT => Ok(Value::Uint(*value as u64)),
        [Value::Double(_)] => refuse("unsigned integer overflow"),
        [Value::Int(value)] => {
            u64::try_from(*value).map_or_else(|_| refuse("unsigned integer overflow"), |v| Ok(Value::Uint(v)))
        }
        [Value::String(text)] => match text.parse() {
            Ok(value) => Ok(Value::Uint(value)),
            Err(error) => refuse(number_error("ParseUint", text, &error)),
        },
        _ => unsupported(),
    }
}

fn number_error(parser: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let reason = match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{parser}: parsing {text:?}: {reason}")
}

fn to_string<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [Value::String(text)] => Value::String(text.clone()),
        [Value::Bool(value)] => Value::text(value.to_string()),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => return refuse("invalid UTF-8 in bytes, cannot convert to string"),
        },
        [Value::Double(value)] => Value::text(render::double(*value)),
        [Value::Duration(span)] => Value::text(time::show_duration(*span)),
        [Value::Int(value)] => Value::text(value.to_string()),
        [Value::Timestamp(at)] => Value::text(time::show_timestamp(*at)),
        [Value::Uint(value)] => Value::text(value.to_string()),
        [Value::Opaque(OpaqueValue(Library::Ip(ip)))] => Value::text(ip.to_string()),
        [Value::Opaque(OpaqueValue(Library::Cidr(cidr)))] => Value::text(cidr.to_string()),
        _ => return unsupported(),
    })
}

fn to_duration<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Duration(value) | Value::Int(value)] => Ok(Value::Duration(*value)),
        [Value::String(text)] => time::parse_duration(text).map(Value::Duration),
        _ => unsupported(),
    }
}

fn to_timestamp<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Timestamp(at)] => Ok(Value::Timestamp(*at)),
        [Value::Int(seconds)] => time::from_seconds(*seconds).map(Value::Timestamp),
        [Value::String(text)] => time::parse_timestamp(text).map(Value::Timestamp),
        _ => unsupported(),
    }
}
