//! The text's structure: characters to tokens ([`lexer`]), tokens to a tree ([`parser`]), with the macros already
//! recognised ([`macros`]). What names and operators mean is not known here.

mod lexer;
mod literal;
mod macros;
mod parser;

pub(crate) use parser::{RESERVED, parse, qualified};

/// The longest expression, in characters: cel-go's limit.
pub(crate) const MAX_LENGTH: usize = 100_000;
/// How deep an expression may nest: cel-go's limit for its parser.
pub(crate) const MAX_NESTING: usize = 250;
/// How high a tree may be, nesting and chains (`a.b.c`, `a + b + c`) together: everything that walks it recurses.
pub(crate) const MAX_HEIGHT: u16 = 600;

/// A parsed expression and where its nodes stand.
#[derive(Debug)]
pub(crate) struct Ast {
    pub(crate) root: Expr,
    /// By node: the offset of its place, in bytes.
    pub(crate) offsets: Vec<usize>,
}

/// Which node; an index into the tables that later steps fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) id: Id,
    /// 1 for a leaf.
    pub(crate) height: u16,
    pub(crate) kind: Kind,
}

/// A value written out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

/// How a field is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// `a.b`
    Plain,
    /// `has(a.b)`
    Test,
    /// `a.?b`
    Optional,
}

/// `&&` or `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
        selection: Selection,
    },
    /// Operators have cel-go's names for them, `_+_` and so on.
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// All terms that one operator joins: `a && b && c` is one node of three.
    Logic {
        logic: Logic,
        terms: Vec<Expr>,
    },
    List(Vec<Item>),
    Map(Vec<Entry>),
    /// `Name{field: value}`. Nothing that the server declares can be made this way; the checker refuses it by name.
    Struct(String),
    Fold(Box<Fold>),
    /// `target.optMap(variable, body)` and `optFlatMap`.
    OptMap(Box<OptMap>),
}

/// An element of a list literal; an optional one is left out when it has no value.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// An entry of a map literal.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A macro that goes over a list or map.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) range: Expr,
    pub(crate) variable: String,
    /// The second of two: then the first is the index or key, and this one the value.
    pub(crate) second: Option<String>,
    pub(crate) step: Step,
}

/// What a fold does with each element.
#[derive(Debug)]
pub(crate) enum Step {
    All(Expr),
    Exists(Expr),
    ExistsOne(Expr),
    /// `map`, `transformList`.
    Map {
        filter: Option<Expr>,
        value: Expr,
    },
    /// `filter`.
    Filter(Expr),
    /// `transformMap`: the keys stay.
    MapValues {
        filter: Option<Expr>,
        value: Expr,
    },
    /// `transformMapEntry`: each element gives a map.
    MapEntries {
        filter: Option<Expr>,
        entries: Expr,
    },
}

#[derive(Debug)]
pub(crate) struct OptMap {
    pub(crate) target: Expr,
    pub(crate) variable: String,
    pub(crate) body: Expr,
    /// The body gives an optional itself.
    pub(crate) flat: bool,
}

impl Step {
    /// Its expressions: the filter, if any, before the body.
    pub(crate) fn parts(&self) -> (Option<&Expr>, &Expr) {
        match self {
            Step::All(body) | Step::Exists(body) | Step::ExistsOne(body) | Step::Filter(body) => (None, body),
            Step::Map { filter, value } | Step::MapValues { filter, value } => (filter.as_ref(), value),
            Step::MapEntries { filter, entries } => (filter.as_ref(), entries),
        }
    }
}

impl Kind {
    /// Calls `visit` with each direct child.
    pub(crate) fn children<'k>(&'k self, visit: &mut dyn FnMut(&'k Expr)) {
        match self {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Struct(_) => {}
            Kind::Select { operand, .. } => visit(operand),
            Kind::Call { target, args, .. } => target.as_deref().into_iter().chain(args).for_each(visit),
            Kind::Logic { terms, .. } => terms.iter().for_each(visit),
            Kind::List(items) => items.iter().for_each(|item| visit(&item.value)),
            Kind::Map(entries) => entries.iter().for_each(|entry| {
                visit(&entry.key);
                visit(&entry.value);
            }),
            Kind::Fold(fold) => {
                visit(&fold.range);
                let (filter, body) = fold.step.parts();
                filter.into_iter().for_each(&mut *visit);
                visit(body);
            }
            Kind::OptMap(map) => {
                visit(&map.target);
                visit(&map.body);
            }
        }
    }

    pub(crate) fn height(&self) -> u16 {
        let mut highest = 0;
        self.children(&mut |child| highest = highest.max(child.height));
        highest.saturating_add(1)
    }
}
