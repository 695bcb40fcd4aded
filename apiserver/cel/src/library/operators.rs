//! Operators: arithmetic with overflow an error, comparison across kinds of numbers, membership and indices. `&&`, `||`,
//! `?:` and the macros are evaluated where they stand and are declared here for their types alone.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::eval::index;
use crate::library::{Declaration, refuse, time, unsupported};
use crate::value::{Value, compare};

type Outcome<'a> = Result<Value<'a>, EvalError>;

macro_rules! comparison {
    ($name:literal, $run:ident, $prefix:literal) => {
        Declaration {
            name: $name,
            overloads: &[
                (concat!($prefix, "_bool"), "(bool, bool) -> bool"),
                (concat!($prefix, "_int64"), "(int, int) -> bool"),
                (concat!($prefix, "_int64_double"), "(int, double) -> bool"),
                (concat!($prefix, "_int64_uint64"), "(int, uint) -> bool"),
                (concat!($prefix, "_uint64"), "(uint, uint) -> bool"),
                (concat!($prefix, "_uint64_double"), "(uint, double) -> bool"),
                (concat!($prefix, "_uint64_int64"), "(uint, int) -> bool"),
                (concat!($prefix, "_double"), "(double, double) -> bool"),
                (concat!($prefix, "_double_int64"), "(double, int) -> bool"),
                (concat!($prefix, "_double_uint64"), "(double, uint) -> bool"),
                (concat!($prefix, "_string"), "(string, string) -> bool"),
                (concat!($prefix, "_bytes"), "(bytes, bytes) -> bool"),
                (concat!($prefix, "_timestamp"), "(timestamp, timestamp) -> bool"),
                (concat!($prefix, "_duration"), "(duration, duration) -> bool"),
            ],
            run: $run,
        }
    };
}

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "_+_",
        overloads: &[
            ("add_int64", "(int, int) -> int"),
            ("add_uint64", "(uint, uint) -> uint"),
            ("add_double", "(double, double) -> double"),
            ("add_string", "(string, string) -> string"),
            ("add_bytes", "(bytes, bytes) -> bytes"),
            ("add_list", "(list(A), list(A)) -> list(A)"),
            ("add_timestamp_duration", "(timestamp, duration) -> timestamp"),
            ("add_duration_timestamp", "(duration, timestamp) -> timestamp"),
            ("add_duration_duration", "(duration, duration) -> duration"),
        ],
        run: add,
    },
    Declaration {
        name: "_-_",
        overloads: &[
            ("subtract_int64", "(int, int) -> int"),
            ("subtract_uint64", "(uint, uint) -> uint"),
            ("subtract_double", "(double, double) -> double"),
            ("subtract_timestamp_timestamp", "(timestamp, timestamp) -> duration"),
            ("subtract_timestamp_duration", "(timestamp, duration) -> timestamp"),
            ("subtract_duration_duration", "(duration, duration) -> duration"),
        ],
        run: subtract,
    },
    Declaration {
        name: "_*_",
        overloads: &[
            ("multiply_int64", "(int, int) -> int"),
            ("multiply_uint64", "(uint, uint) -> uint"),
            ("multiply_double", "(double, double) -> double"),
        ],
        run: multiply,
    },
    Declaration {
        name: "_/_",
        overloads: &[
            ("divide_int64", "(int, int) -> int"),
            ("divide_uint64", "(uint, uint) -> uint"),
            ("divide_double", "(double, double) -> double"),
        ],
        run: divide,
    },
    Declaration {
        name: "_%_",
        overloads: &[
            ("modulo_int64", "(int, int) -> int"),
            ("modulo_uint64", "(uint, uint) -> uint"),
        ],
        run: modulo,
    },
    Declaration {
        name: "-_",
        overloads: &[
            ("negate_int64", "(int) -> int"),
            ("negate_double", "(double) -> double"),
        ],
        run: negate,
    },
    Declaration {
        name: "!_",
        overloads: &[("logical_not", "(bool) -> bool")],
        run: not,
    },
    Declaration {
        name: "_==_",
        overloads: &[("equals", "(A, A) -> bool")],
        run: equals,
    },
    Declaration {
        name: "_!=_",
        overloads: &[("not_equals", "(A, A) -> bool")],
        run: not_equals,
    },
    comparison!("_<_", less, "less"),
    comparison!("_<=_", less_equals, "less_equals"),
    comparison!("_>_", greater, "greater"),
    comparison!("_>=_", greater_equals, "greater_equals"),
    Declaration {
        name: "@in",
        overloads: &[
            ("in_list", "(A, list(A)) -> bool"),
            ("in_map", "(A, map(A, B)) -> bool"),
        ],
        run: is_in,
    },
    Declaration {
        name: "_[_]",
        overloads: &[
            ("index_list", "(list(A), int) -> A"),
            ("index_map", "(map(A, B), A) -> B"),
            ("optional_list_index_int", "(optional(list(A)), int) -> optional(A)"),
            ("optional_map_index_value", "(optional(map(A, B)), A) -> optional(B)"),
        ],
        run: at,
    },
    Declaration {
        name: "_[?_]",
        overloads: &[
            ("list_optindex_optional_int", "(list(A), int) -> optional(A)"),
            (
                "optional_list_optindex_optional_int",
                "(optional(list(A)), int) -> optional(A)",
            ),
            ("map_optindex_optional_value", "(map(A, B), A) -> optional(B)"),
            (
                "optional_map_optindex_optional_value",
                "(optional(map(A, B)), A) -> optional(B)",
            ),
        ],
        run: optional_at,
    },
    Declaration {
        name: "_?_:_",
        overloads: &[("conditional", "(bool, A, A) -> A")],
        run: never,
    },
];

fn never<'a>(_: &mut Meter, _: &[Value<'a>]) -> Outcome<'a> {
    unsupported()
}

fn int<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map_or_else(|| refuse("integer overflow"), |value| Ok(Value::Int(value)))
}

fn uint<'a>(value: Option<u64>) -> Outcome<'a> {
    value.map_or_else(|| refuse("unsigned integer overflow"), |value| Ok(Value::Uint(value)))
}

fn span<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map_or_else(|| refuse("duration overflow"), |value| Ok(Value::Duration(value)))
}

pub(super) fn add<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_add(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_add(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::String(a), Value::String(b)] => {
            meter.allow_size(a.len() as u64 + b.len() as u64)?;
            let mut text = String::with_capacity(a.len() + b.len());
            text.push_str(a);
            text.push_str(b);
            Ok(Value::text(text))
        }
        [Value::Bytes(a), Value::Bytes(b)] => Ok(Value::Bytes(Arc::from([&**a, &**b].concat()))),
        [Value::List(a), Value::List(b)] => Ok(Value::List(compare::joined(a, b, meter)?)),
        [Value::Timestamp(at), Value::Duration(by)] | [Value::Duration(by), Value::Timestamp(at)] => {
            time::shifted(*at, i128::from(*by)).map(Value::Timestamp)
        }
        [Value::Duration(a), Value::Duration(b)] => span(a.checked_add(*b)),
        _ => unsupported(),
    }
}

fn subtract<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_sub(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_sub(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Timestamp(a), Value::Timestamp(b)] => span(i64::try_from(a.nanoseconds() - b.nanoseconds()).ok()),
        [Value::Timestamp(at), Value::Duration(by)] => time::shifted(*at, -i128::from(*by)).map(Value::Timestamp),
        [Value::Duration(a), Value::Duration(b)] => span(a.checked_sub(*b)),
        _ => unsupported(),
    }
}

fn multiply<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_mul(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_mul(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => unsupported(),
    }
}

fn divide<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => refuse("division by zero"),
        [Value::Int(a), Value::Int(b)] => int(a.checked_div(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_div(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => unsupported(),
    }
}

fn modulo<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => refuse("modulus by zero"),
        [Value::Int(a), Value::Int(b)] => int(a.checked_rem(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_rem(*b)),
        _ => unsupported(),
    }
}

fn negate<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a)] => int(a.checked_neg()),
        [Value::Double(a)] => Ok(Value::Double(-a)),
        _ => unsupported(),
    }
}

fn not<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(a)] => Ok(Value::Bool(!a)),
        _ => unsupported(),
    }
}

fn equals<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [a, b] => compare::equal(a, b, meter).map(Value::Bool),
        _ => unsupported(),
    }
}

fn not_equals<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [a, b] => compare::equal(a, b, meter).map(|equal| Value::Bool(!equal)),
        _ => unsupported(),
    }
}

fn ordered<'a>(args: &[Value<'a>], wanted: fn(Ordering) -> bool) -> Outcome<'a> {
    match args {
        [a, b] => Ok(Value::Bool(compare::order(a, b)?.is_some_and(wanted))),
        _ => unsupported(),
    }
}

fn less<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_lt)
}

fn less_equals<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_le)
}

fn greater<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_gt)
}

fn greater_equals<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_ge)
}

fn is_in<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [wanted, container] => compare::member(wanted, container, meter).map(Value::Bool),
        _ => unsupported(),
    }
}

fn at<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [container, at] => index::index(container, at),
        _ => unsupported(),
    }
}

fn optional_at<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [container, at] => index::optional_index(container, at),
        _ => unsupported(),
    }
}
