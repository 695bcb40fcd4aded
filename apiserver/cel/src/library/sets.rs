//! Lists as sets: cel-go's extension.

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, unsupported};
use crate::value::{List, Value, compare};

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "sets.contains",
        overloads: &[("list_sets_contains_list", "(list(A), list(A)) -> bool")],
        run: |meter, args| on(args, |a, b| covers(a, b, meter)),
    },
    Declaration {
        name: "sets.equivalent",
        overloads: &[("list_sets_equivalent_list", "(list(A), list(A)) -> bool")],
        run: |meter, args| on(args, |a, b| Ok(covers(a, b, meter)? && covers(b, a, meter)?)),
    },
    Declaration {
        name: "sets.intersects",
        overloads: &[("list_sets_intersects_list", "(list(A), list(A)) -> bool")],
        run: |meter, args| on(args, |a, b| meet(a, b, meter)),
    },
];

fn on<'a>(
    args: &[Value<'a>],
    test: impl FnOnce(&List<'a>, &List<'a>) -> Result<bool, EvalError>,
) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::List(a), Value::List(b)] => test(a, b).map(Value::Bool),
        _ => unsupported(),
    }
}

fn covers(all: &List<'_>, some: &List<'_>, meter: &mut Meter) -> Result<bool, EvalError> {
    for item in some.iter() {
        if !compare::contains(all, &item?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn meet(a: &List<'_>, b: &List<'_>, meter: &mut Meter) -> Result<bool, EvalError> {
    for item in a.iter() {
        if compare::contains(b, &item?, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}
