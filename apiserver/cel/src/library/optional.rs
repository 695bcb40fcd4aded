//! Optional values: made, tested and unwrapped.

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, unsupported};
use crate::value::{List, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "optional.of",
        overloads: &[("optional_of", "(A) -> optional(A)")],
        run: |_, args| match args {
            [value] => Ok(Value::some(value.clone())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "optional.ofNonZeroValue",
        overloads: &[("optional_ofNonZeroValue", "(A) -> optional(A)")],
        run: of_non_zero,
    },
    Declaration {
        name: "optional.none",
        overloads: &[("optional_none", "() -> optional(A)")],
        run: |_, _| Ok(Value::Optional(None)),
    },
    Declaration {
        name: "value",
        overloads: &[("optional_value", "optional(A).() -> A")],
        run: |_, args| match args {
            [Value::Optional(Some(inner))] => Ok((**inner).clone()),
            [Value::Optional(None)] => refuse("optional.none() dereference"),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "hasValue",
        overloads: &[("optional_hasValue", "optional(A).() -> bool")],
        run: |_, args| match args {
            [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "or",
        overloads: &[("optional_or_optional", "optional(A).(optional(A)) -> optional(A)")],
        run: |_, args| match args {
            [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
            [some @ Value::Optional(Some(_)), Value::Optional(_)] => Ok(some.clone()),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "orValue",
        overloads: &[("optional_orValue_value", "optional(A).(A) -> A")],
        run: |_, args| match args {
            [Value::Optional(None), other] => Ok(other.clone()),
            [Value::Optional(Some(inner)), _] => Ok((**inner).clone()),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "optional.unwrap",
        overloads: &[("optional_unwrap", "(list(optional(A))) -> list(A)")],
        run: unwrap,
    },
    Declaration {
        name: "unwrapOpt",
        overloads: &[("optional_unwrapOpt", "list(optional(A)).() -> list(A)")],
        run: unwrap,
    },
    Declaration {
        name: "first",
        overloads: &[("list_first", "list(A).() -> optional(A)")],
        run: |_, args| match args {
            [Value::List(list)] => end(list, 0),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "last",
        overloads: &[("list_last", "list(A).() -> optional(A)")],
        run: |_, args| match args {
            [Value::List(list)] => end(list, list.len().wrapping_sub(1)),
            _ => unsupported(),
        },
    },
];

fn end<'a>(list: &List<'a>, index: usize) -> Outcome<'a> {
    match list.get(index) {
        Some(value) => Ok(Value::some(value?)),
        None => Ok(Value::Optional(None)),
    }
}

fn of_non_zero<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [value] = args else { return unsupported() };
    let zero = match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) | Value::Duration(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::Timestamp(at) => at.is_zero(),
        other => other.size() == Some(0),
    };
    Ok(if zero {
        Value::Optional(None)
    } else {
        Value::some(value.clone())
    })
}

fn unwrap<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return unsupported();
    };
    meter.work(list.len() as u64)?;
    let mut out = Vec::new();
    for item in list.iter() {
        match item? {
            Value::Optional(Some(inner)) => out.push((*inner).clone()),
            Value::Optional(None) => {}
            _ => return unsupported(),
        }
    }
    Ok(Value::list(out))
}
