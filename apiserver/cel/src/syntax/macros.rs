//! Calls that are macros: known by name, shape and number of arguments, while the tree is built. They stay nodes of
//! their own instead of being expanded: types, costs and values are those of cel-go's expansion.

use crate::source::Issue;
use crate::syntax::parser::Parser;
use crate::syntax::{Expr, Fold, Kind, OptMap, Selection, Step};

/// The name that cel-go's expansions use for their accumulator: no variable may hide it.
const ACCUMULATOR: &str = "__result__";

/// A call without a target: `has(…)` or a function.
pub(super) fn global(
    parser: &mut Parser<'_>,
    open: usize,
    function: String,
    mut args: Vec<Expr>,
) -> Result<Expr, Issue> {
    if function == "has" && args.len() == 1 {
        let arg = args.remove(0);
        let at = parser.offset_of(&arg);
        return match arg.kind {
            Kind::Select {
                operand,
                field,
                selection: Selection::Plain,
            } => {
                let selection = Selection::Test;
                parser.make(
                    open,
                    Kind::Select {
                        operand,
                        field,
                        selection,
                    },
                )
            }
            _ => Err(Issue::new(at, "invalid argument to has() macro")),
        };
    }
    let target = None;
    parser.make(open, Kind::Call { function, target, args })
}

/// A call with a target: a macro or a method.
pub(super) fn member(
    parser: &mut Parser<'_>,
    open: usize,
    target: Expr,
    function: String,
    args: Vec<Expr>,
) -> Result<Expr, Issue> {
    let two = match (function.as_str(), args.len()) {
        ("all" | "exists" | "exists_one" | "existsOne" | "map" | "filter", 2) | ("optMap" | "optFlatMap", 2) => false,
        ("map", 3) => false,
        ("all" | "exists" | "exists_one" | "existsOne", 3)
        | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => true,
        _ => {
            let target = Some(Box::new(target));
            return parser.make(open, Kind::Call { function, target, args });
        }
    };
    let mut args = args.into_iter();
    let first = variable(parser, args.next(), unnamed(&function))?;
    let second = if two {
        Some(second(parser, args.next(), &first)?)
    } else {
        None
    };
    let last = args.next_back().ok_or_else(|| Issue::whole("a macro without a body"))?;
    let filter = args.next();
    if function.starts_with("opt") {
        let flat = function == "optFlatMap";
        let map = OptMap {
            target,
            variable: first,
            body: last,
            flat,
        };
        return parser.make(open, Kind::OptMap(Box::new(map)));
    }
    let step = match function.as_str() {
        "all" => Step::All(last),
        "exists" => Step::Exists(last),
        "exists_one" | "existsOne" => Step::ExistsOne(last),
        "filter" => Step::Filter(last),
        "transformMap" => Step::MapValues { filter, value: last },
        "transformMapEntry" => Step::MapEntries { filter, entries: last },
        _ => Step::Map { filter, value: last },
    };
    let fold = Fold {
        range: target,
        variable: first,
        second,
        step,
    };
    parser.make(open, Kind::Fold(Box::new(fold)))
}

const UNNAMED: &str = "argument must be a simple name";

/// What is said when the variable's place has something else.
fn unnamed(function: &str) -> &'static str {
    match function {
        "map" | "filter" => "argument is not an identifier",
        "optMap" => "optMap() variable name must be a simple identifier",
        "optFlatMap" => "optFlatMap() variable name must be a simple identifier",
        _ => UNNAMED,
    }
}

fn variable(parser: &Parser<'_>, arg: Option<Expr>, unnamed: &str) -> Result<String, Issue> {
    let Some(arg) = arg else {
        return Err(Issue::whole(unnamed));
    };
    let at = parser.offset_of(&arg);
    match arg.kind {
        Kind::Ident(name) if name == ACCUMULATOR => {
            Err(Issue::new(at, "iteration variable overwrites accumulator variable"))
        }
        Kind::Ident(name) => Ok(name),
        _ => Err(Issue::new(at, unnamed)),
    }
}

fn second(parser: &Parser<'_>, arg: Option<Expr>, first: &str) -> Result<String, Issue> {
    let at = arg.as_ref().map_or(0, |arg| parser.offset_of(arg));
    let name = variable(parser, arg, UNNAMED)?;
    if name == first {
        return Err(Issue::new(at, format!("duplicate variable name: {name}")));
    }
    Ok(name)
}
