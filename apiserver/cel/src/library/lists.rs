//! Kubernetes' functions on lists.

use std::cmp::Ordering;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, operators, refuse, unsupported};
use crate::value::{List, Value, compare};

type Outcome<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "isSorted",
        overloads: &[
            ("list_int_is_sorted_bool", "list(int).() -> bool"),
            ("list_uint_is_sorted_bool", "list(uint).() -> bool"),
            ("list_double_is_sorted_bool", "list(double).() -> bool"),
            ("list_bool_is_sorted_bool", "list(bool).() -> bool"),
            ("list_duration_is_sorted_bool", "list(duration).() -> bool"),
            ("list_timestamp_is_sorted_bool", "list(timestamp).() -> bool"),
            ("list_string_is_sorted_bool", "list(string).() -> bool"),
            ("list_bytes_is_sorted_bool", "list(bytes).() -> bool"),
        ],
        run: is_sorted,
    },
    Declaration {
        name: "sum",
        overloads: &[
            ("list_int_sum_int", "list(int).() -> int"),
            ("list_uint_sum_uint", "list(uint).() -> uint"),
            ("list_double_sum_double", "list(double).() -> double"),
            ("list_duration_sum_duration", "list(duration).() -> duration"),
        ],
        run: sum,
    },
    Declaration {
        name: "max",
        overloads: &[
            ("list_int_max_int", "list(int).() -> int"),
            ("list_uint_max_uint", "list(uint).() -> uint"),
            ("list_double_max_double", "list(double).() -> double"),
            ("list_bool_max_bool", "list(bool).() -> bool"),
            ("list_duration_max_duration", "list(duration).() -> duration"),
            ("list_timestamp_max_timestamp", "list(timestamp).() -> timestamp"),
            ("list_string_max_string", "list(string).() -> string"),
            ("list_bytes_max_bytes", "list(bytes).() -> bytes"),
        ],
        run: |_, args| extreme(args, "max", Ordering::Greater),
    },
    Declaration {
        name: "min",
        overloads: &[
            ("list_int_min_int", "list(int).() -> int"),
            ("list_uint_min_uint", "list(uint).() -> uint"),
            ("list_double_min_double", "list(double).() -> double"),
            ("list_bool_min_bool", "list(bool).() -> bool"),
            ("list_duration_min_duration", "list(duration).() -> duration"),
            ("list_timestamp_min_timestamp", "list(timestamp).() -> timestamp"),
            ("list_string_min_string", "list(string).() -> string"),
            ("list_bytes_min_bytes", "list(bytes).() -> bytes"),
        ],
        run: |_, args| extreme(args, "min", Ordering::Less),
    },
    Declaration {
        name: "indexOf",
        overloads: &[("list_a_index_of_int", "list(A).(A) -> int")],
        run: |meter, args| match args {
            [Value::List(list), wanted] => place(list, wanted, 0..list.len(), meter),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "lastIndexOf",
        overloads: &[("list_a_last_index_of_int", "list(A).(A) -> int")],
        run: |meter, args| match args {
            [Value::List(list), wanted] => place(list, wanted, (0..list.len()).rev(), meter),
            _ => unsupported(),
        },
    },
];

fn is_sorted<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return unsupported();
    };
    let mut before: Option<Value<'a>> = None;
    for item in list.iter() {
        let item = item?;
        if let Some(before) = &before
            && compare::order(before, &item)? == Some(Ordering::Greater)
        {
            return Ok(Value::Bool(false));
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return unsupported();
    };
    let mut items = list.iter();
    // Without an element nothing says of which type the zero is.
    let Some(first) = items.next() else {
        return Ok(Value::Int(0));
    };
    let first = first?;
    if !matches!(
        first,
        Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_)
    ) {
        return unsupported();
    }
    items.try_fold(first, |sum, item| operators::add(meter, &[sum, item?]))
}

fn extreme<'a>(args: &[Value<'a>], name: &str, wanted: Ordering) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return unsupported();
    };
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        let item = item?;
        let better = match &best {
            Some(best) => compare::order(&item, best)? == Some(wanted),
            None => true,
        };
        if better {
            best = Some(item);
        }
    }
    best.map_or_else(|| refuse(format!("{name} called on empty list")), Ok)
}

fn place<'a>(
    list: &List<'a>,
    wanted: &Value<'a>,
    mut places: impl Iterator<Item = usize>,
    meter: &mut Meter,
) -> Outcome<'a> {
    let found = loop {
        let Some((place, item)) = places.next().and_then(|place| Some((place, list.get(place)?))) else {
            break -1;
        };
        if compare::equal(&item?, wanted, meter)? {
            break i64::try_from(place).unwrap_or(i64::MAX);
        }
    };
    Ok(Value::Int(found))
}
