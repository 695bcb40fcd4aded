//! What an expression can cost at the most, from the bounds that schemas set: Kubernetes refuses a rule whose estimate
//! is over the limit before any object is seen.
//!
//! Follows cel-go's estimator, macros as their expansions. Sizes that nothing bounds count as if a request were full of
//! them.

mod calls;
mod folds;
mod size;

use std::sync::Arc;

use crate::check::{Checked, Reference};
use crate::declared::{Declared, Shape};
use crate::environment::Environment;
use crate::syntax::{Ast, Expr, Kind, Literal, Selection};
use crate::types::Type;

pub use size::{CostEstimate, excess};
use size::{Entries, Size};

const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;

/// Estimates a checked expression.
pub(crate) fn cost(ast: &Ast, checked: &Checked, environment: &Environment) -> CostEstimate {
    let mut estimator = Estimator {
        checked,
        environment,
        locals: Vec::new(),
    };
    estimator.visit(&ast.root).cost
}

struct Estimator<'e> {
    checked: &'e Checked,
    environment: &'e Environment,
    locals: Vec<Local<'e>>,
}

/// A variable of a macro.
struct Local<'e> {
    name: String,
    path: Option<&'e Arc<Declared>>,
    size: Option<Size>,
}

/// What is known of a part of the expression.
#[derive(Clone, Debug)]
struct Part<'e> {
    cost: CostEstimate,
    /// Where in a schema its value comes from.
    path: Option<&'e Arc<Declared>>,
    size: Option<Size>,
    /// What is known of a made list's or map's contents.
    entries: Option<Entries>,
    ty: Type,
    /// Of a literal.
    literal: Option<i64>,
}

impl Part<'_> {
    fn size_or_unknown(&self) -> Size {
        self.size.unwrap_or(Size::UNKNOWN)
    }
}

impl<'e> Estimator<'e> {
    fn visit(&mut self, expr: &Expr) -> Part<'e> {
        let mut part = self.describe(expr);
        if part.size.is_none() {
            part.size = part.path.map(|path| Size::up_to(path.max_elements));
        }
        if part.size.is_none() && part.ty.is_scalar() {
            part.size = Some(Size::exactly(1));
        }
        part
    }

    fn part(&self, expr: &Expr, cost: CostEstimate) -> Part<'e> {
        Part {
            cost,
            path: None,
            size: None,
            entries: None,
            ty: self.checked.ty(expr.id).clone(),
            literal: None,
        }
    }

    fn describe(&mut self, expr: &Expr) -> Part<'e> {
        match &expr.kind {
            Kind::Literal(literal) => self.literal(expr, literal),
            Kind::Ident(name) => self.identifier(expr, name),
            Kind::Select {
                operand,
                field,
                selection,
            } => self.select(expr, operand, field, *selection),
            Kind::Logic { terms, .. } => {
                let mut costs = terms.iter().map(|term| self.visit(term).cost);
                let first = costs.next().unwrap_or_default();
                let cost = costs.fold(first, |sum, next| CostEstimate {
                    min: sum.min,
                    max: sum.max.saturating_add(next.max),
                });
                self.part(expr, cost)
            }
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(items) => {
                let items: Vec<Part<'e>> = items.iter().map(|item| self.visit(&item.value)).collect();
                let mut part = self.part(expr, sum(&items).plus(LIST_COST));
                part.size = Some(Size::exactly(items.len() as u64));
                part.entries = Some(Entries::of_list(Size::of_all(items.iter().map(Part::size_or_unknown))));
                part
            }
            Kind::Map(entries) => {
                let keys: Vec<Part<'e>> = entries.iter().map(|entry| self.visit(&entry.key)).collect();
                let values: Vec<Part<'e>> = entries.iter().map(|entry| self.visit(&entry.value)).collect();
                let mut part = self.part(expr, sum(&keys).add(sum(&values)).plus(MAP_COST));
                part.size = Some(Size::exactly(entries.len() as u64));
                part.entries = Some(Entries {
                    key: Size::of_all(keys.iter().map(Part::size_or_unknown)),
                    value: Size::of_all(values.iter().map(Part::size_or_unknown)),
                });
                part
            }
            Kind::Struct(_) => self.part(expr, CostEstimate::fixed(0)),
            Kind::Fold(fold) => self.fold(expr, fold),
            Kind::OptMap(map) => self.opt_map(expr, map),
        }
    }

    fn literal(&mut self, expr: &Expr, literal: &Literal) -> Part<'e> {
        let mut part = self.part(expr, CostEstimate::fixed(0));
        let size = match literal {
            Literal::String(text) => crate::value::characters(text),
            Literal::Bytes(bytes) => bytes.len() as u64,
            _ => 1,
        };
        part.size = Some(Size::exactly(size));
        if let Literal::Int(value) = literal {
            part.literal = Some(*value);
        }
        part
    }

    fn identifier(&mut self, expr: &Expr, name: &str) -> Part<'e> {
        let mut part = self.part(expr, CostEstimate::fixed(1));
        match self.checked.reference(expr.id) {
            Some(Reference::Local) => {
                if let Some(local) = self.locals.iter().rev().find(|local| local.name == name) {
                    part.path = local.path;
                    let by_path = local.path.map(|path| Size::up_to(path.max_elements));
                    part.size = by_path.or(local.size);
                }
            }
            Some(Reference::Variable(name)) => part.path = self.environment.declared(name),
            _ => {}
        }
        part
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, selection: Selection) -> Part<'e> {
        if self.checked.reference(expr.id).is_some() {
            return self.identifier(expr, field);
        }
        let of = self.visit(operand);
        let costs = match (selection, &of.ty) {
            (Selection::Test, _) => 0,
            (Selection::Optional, _) | (_, Type::Map(..) | Type::Object(_) | Type::Opaque(_)) => 1,
            _ => 0,
        };
        let mut part = self.part(expr, of.cost.plus(costs));
        if selection == Selection::Plain {
            part.path = of.path.and_then(|path| match &path.shape {
                Shape::Object { fields } => fields.get(field).map(|field| &field.declared),
                _ => None,
            });
        }
        part
    }
}

fn sum(parts: &[Part<'_>]) -> CostEstimate {
    parts
        .iter()
        .fold(CostEstimate::fixed(0), |sum, part| sum.add(part.cost))
}
