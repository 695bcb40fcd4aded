//! A checked tree made ready to be evaluated: names resolved to places, calls to functions with their price, constants
//! folded, patterns compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::Regex;

use crate::budget::Budget;
use crate::check::{Checked, Reference};
use crate::eval::price::{self, Price};
use crate::library::{Overload, regexes};
use crate::syntax::{Ast, Expr, Fold, Kind, Literal, Logic, OptMap, Selection, Step};
use crate::types::Type;
use crate::value::{Map, Value};

/// A node to evaluate.
#[derive(Debug)]
pub(crate) enum Node {
    Constant(Value<'static>),
    Variable(String),
    /// Of a macro, by its place in the stack of such variables.
    Local(usize),
    Select {
        operand: Box<Node>,
        field: String,
        selection: Selection,
    },
    Logic {
        logic: Logic,
        terms: Vec<Node>,
    },
    Conditional(Box<[Node; 3]>),
    Call(Box<CallPlan>),
    List(Vec<ItemPlan>),
    Map(Vec<EntryPlan>),
    Fold(Box<FoldPlan>),
    OptMap(Box<OptMapPlan>),
    /// `target.or(alternative)` and `target.orValue(alternative)`.
    Otherwise(Box<OtherwisePlan>),
}

#[derive(Debug)]
pub(crate) struct OtherwisePlan {
    pub(crate) target: Node,
    pub(crate) alternative: Node,
    /// Gives the value, not an optional.
    pub(crate) unwrapped: bool,
}

#[derive(Debug)]
pub(crate) struct CallPlan {
    pub(crate) args: Vec<Node>,
    /// What it can mean; more than one only if types are not known before.
    pub(crate) candidates: Vec<&'static Overload>,
    pub(crate) price: Price,
    /// Of a pattern written out.
    pub(crate) pattern: Option<Regex>,
    pub(crate) regex: Option<regexes::Use>,
    /// The key of an index that is itself a path belongs to the path: reading it is free.
    pub(crate) free_key: bool,
}

#[derive(Debug)]
pub(crate) struct ItemPlan {
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct EntryPlan {
    pub(crate) key: Node,
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

/// What a fold makes; the expressions are in [`FoldPlan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    MapValues,
    MapEntries,
}

#[derive(Debug)]
pub(crate) struct FoldPlan {
    pub(crate) range: Node,
    /// Key and value, not the element alone.
    pub(crate) pairs: bool,
    pub(crate) making: Making,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

#[derive(Debug)]
pub(crate) struct OptMapPlan {
    pub(crate) target: Node,
    pub(crate) body: Node,
    pub(crate) flat: bool,
}

/// Conversions of constants are constants.
const CONVERSIONS: [&str; 8] = [
    "bool",
    "bytes",
    "double",
    "duration",
    "int",
    "string",
    "timestamp",
    "uint",
];

/// The plan, and which variables it reads.
pub(crate) struct Plan {
    pub(crate) root: Node,
    pub(crate) variables: BTreeSet<String>,
    /// Fields of the lazy variables' object that are named.
    pub(crate) lazies: BTreeSet<String>,
}

pub(crate) fn plan(ast: &Ast, checked: &Checked) -> Plan {
    let mut planner = Planner {
        checked,
        locals: Vec::new(),
        variables: BTreeSet::new(),
        lazies: BTreeSet::new(),
    };
    let root = planner.node(&ast.root);
    Plan {
        root,
        variables: planner.variables,
        lazies: planner.lazies,
    }
}

struct Planner<'c> {
    checked: &'c Checked,
    locals: Vec<String>,
    variables: BTreeSet<String>,
    lazies: BTreeSet<String>,
}

pub(crate) fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::text(text.as_str()),
        Literal::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
    }
}

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Node {
        match &expr.kind {
            Kind::Literal(literal) => Node::Constant(constant(literal)),
            Kind::Ident(name) => self.name(expr, name),
            Kind::Select {
                operand,
                field,
                selection,
            } => self.select(expr, operand, field, *selection),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::Logic { logic, terms } => Node::Logic {
                logic: *logic,
                terms: terms.iter().map(|term| self.node(term)).collect(),
            },
            Kind::List(items) => {
                let items = items.iter().map(|item| ItemPlan {
                    value: self.node(&item.value),
                    optional: item.optional,
                });
                folded(items.collect())
            }
            Kind::Map(entries) => {
                let entries = entries.iter().map(|entry| EntryPlan {
                    key: self.node(&entry.key),
                    value: self.node(&entry.value),
                    optional: entry.optional,
                });
                folded_map(entries.collect())
            }
            // The checker has refused it.
            Kind::Struct(_) => Node::Constant(Value::Null),
            Kind::Fold(fold) => self.fold(fold),
            Kind::OptMap(map) => self.opt_map(map),
        }
    }

    fn name(&mut self, expr: &Expr, name: &str) -> Node {
        match self.checked.reference(expr.id) {
            Some(Reference::Variable(name)) => {
                self.variables.insert(name.clone());
                Node::Variable(name.clone())
            }
            Some(Reference::Type(ty)) => Node::Constant(Value::Type(Arc::from(ty.runtime_name()))),
            _ => {
                let place = self.locals.iter().rposition(|local| local == name);
                Node::Local(place.unwrap_or_default())
            }
        }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, selection: Selection) -> Node {
        if self.checked.reference(expr.id).is_some() {
            return self.name(expr, field);
        }
        if let Type::Object(object) = self.checked.ty(operand.id)
            && object.name == crate::environment::VARIABLES_TYPE
        {
            self.lazies.insert(field.to_owned());
        }
        Node::Select {
            operand: Box::new(self.node(operand)),
            field: field.to_owned(),
            selection,
        }
    }

    fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr]) -> Node {
        let candidates = self.checked.overloads(expr.id).to_vec();
        // A name such as `sets` is part of the function's.
        let target = target.filter(|_| candidates.first().is_some_and(|overload| overload.member));
        let args: Vec<Node> = target.into_iter().chain(args).map(|arg| self.node(arg)).collect();
        if function == "_?_:_" {
            return match <Box<[Node; 3]>>::try_from(args) {
                Ok(parts) => Node::Conditional(parts),
                Err(_) => Node::Constant(Value::Null),
            };
        }
        if let (Some(overload), [Node::Constant(value)]) = (candidates.first(), args.as_slice())
            && CONVERSIONS.contains(&function)
            && let Ok(value) = (overload.run)(&mut Budget::for_object().meter(), std::slice::from_ref(value))
        {
            return Node::Constant(value);
        }
        if let "or" | "orValue" = function {
            return match <[Node; 2]>::try_from(args) {
                Ok([target, alternative]) => Node::Otherwise(Box::new(OtherwisePlan {
                    target,
                    alternative,
                    unwrapped: function == "orValue",
                })),
                Err(_) => Node::Constant(Value::Null),
            };
        }
        let path = |node: &Node| matches!(node, Node::Variable(_) | Node::Local(_) | Node::Select { .. });
        let free_key = function == "_[_]" && args.get(1).is_some_and(path);
        let regex = regexes::Use::of(function);
        let pattern = regex.and_then(|_| match args.get(1) {
            Some(Node::Constant(Value::String(pattern))) => regexes::compile(pattern).ok(),
            _ => None,
        });
        let mut price = price::of(
            candidates
                .first()
                .map_or(function, |_| full_name(function, &candidates)),
        );
        if function == "@in" && matches!(args.get(1), Some(Node::Constant(_))) {
            price = Price::Fixed(0);
        }
        Node::Call(Box::new(CallPlan {
            args,
            candidates,
            price,
            pattern,
            regex,
            free_key,
        }))
    }

    fn fold(&mut self, fold: &Fold) -> Node {
        let range = self.node(&fold.range);
        let depth = self.locals.len();
        self.locals.push(fold.variable.clone());
        self.locals.extend(fold.second.clone());
        let (filter, body) = fold.step.parts();
        let filter = filter.map(|filter| self.node(filter));
        let body = self.node(body);
        self.locals.truncate(depth);
        Node::Fold(Box::new(FoldPlan {
            range,
            pairs: fold.second.is_some(),
            making: match fold.step {
                Step::All(_) => Making::All,
                Step::Exists(_) => Making::Exists,
                Step::ExistsOne(_) => Making::ExistsOne,
                Step::Map { .. } => Making::Map,
                Step::Filter(_) => Making::Filter,
                Step::MapValues { .. } => Making::MapValues,
                Step::MapEntries { .. } => Making::MapEntries,
            },
            filter,
            body,
        }))
    }

    fn opt_map(&mut self, map: &OptMap) -> Node {
        let target = self.node(&map.target);
        self.locals.push(map.variable.clone());
        let body = self.node(&map.body);
        self.locals.pop();
        let flat = map.flat;
        Node::OptMap(Box::new(OptMapPlan { target, body, flat }))
    }
}

/// The name the table knows the function by: `sets.contains` for the call `contains` on `sets`.
fn full_name<'n>(function: &'n str, candidates: &[&'static Overload]) -> &'n str {
    candidates.first().map_or(function, |overload| overload.function)
}

/// A list of constants is one.
fn folded(items: Vec<ItemPlan>) -> Node {
    let constant = |item: &ItemPlan| match &item.value {
        Node::Constant(value) if !item.optional => Some(value.clone()),
        _ => None,
    };
    match items.iter().map(constant).collect::<Option<Vec<_>>>() {
        Some(values) => Node::Constant(Value::list(values)),
        None => Node::List(items),
    }
}

/// As [`folded`]; entries that cannot be put together stay to fail when they are evaluated.
fn folded_map(entries: Vec<EntryPlan>) -> Node {
    let mut map = BTreeMap::new();
    for entry in &entries {
        match (&entry.key, &entry.value) {
            (Node::Constant(key), Node::Constant(value)) if !entry.optional => {
                if crate::eval::insert(&mut map, key, value.clone()).is_err() {
                    return Node::Map(entries);
                }
            }
            _ => return Node::Map(entries),
        }
    }
    Node::Constant(Value::Map(Map::Owned(Arc::new(map))))
}
