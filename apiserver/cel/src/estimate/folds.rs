//! Macros. The figures are those of cel-go's expansions: what reading, testing and rebuilding the accumulator costs for
//! each element.

use crate::declared::Shape;
use crate::estimate::size::{CostEstimate, Entries, Size};
use crate::estimate::{Estimator, LIST_COST, Local, MAP_COST, Part};
use crate::syntax::{Expr, Fold, OptMap, Step};
use crate::types::Type;

impl<'e> Estimator<'e> {
    pub(super) fn fold(&mut self, expr: &Expr, fold: &Fold) -> Part<'e> {
        let range = self.visit(&fold.range);
        let depth = self.locals.len();
        self.enter(fold, &range);
        let (filter, body) = fold.step.parts();
        let filter = filter.map(|filter| self.visit(filter).cost);
        let body = self.visit(body);
        self.locals.truncate(depth);
        let (around, each) = each(&fold.step, body.cost);
        let each = match filter {
            Some(filter) => filter.add(each.union(CostEstimate::fixed(1))),
            None => each,
        };
        let count = range.size_or_unknown();
        let cost = range.cost.plus(around).add(count.as_cost().times(each));
        let mut part = self.part(expr, cost);
        match &fold.step {
            Step::All(_) | Step::Exists(_) | Step::ExistsOne(_) => part.size = Some(Size::exactly(1)),
            step => {
                part.size = Some(count);
                part.entries = made(step, &range, &body);
            }
        }
        part
    }

    fn enter(&mut self, fold: &Fold, range: &Part<'e>) {
        let element = range.path.and_then(|path| path.element());
        let is_map = matches!(range.ty, Type::Map(..));
        let keyed = range.path.filter(|path| matches!(path.shape, Shape::Map { .. }));
        let key_size = keyed
            .map(|_| Size::exactly(0))
            .or(range.entries.map(|entries| entries.key));
        let value_size = range.entries.map(|entries| entries.value);
        let mut push = |name: &String, path, size| {
            let name = name.clone();
            self.locals.push(Local { name, path, size });
        };
        match &fold.second {
            Some(second) => {
                push(&fold.variable, None, key_size);
                push(second, element, value_size);
            }
            None if is_map => push(&fold.variable, None, key_size),
            None if matches!(range.ty, Type::List(_)) => push(&fold.variable, element, value_size),
            None => push(&fold.variable, None, key_size),
        }
    }

    pub(super) fn opt_map(&mut self, expr: &Expr, map: &OptMap) -> Part<'e> {
        let target = self.visit(&map.target);
        self.locals.push(Local {
            name: map.variable.clone(),
            path: None,
            size: target.size,
        });
        let body = self.visit(&map.body);
        self.locals.pop();
        let of = if map.flat { 0 } else { 1 };
        let some = target.cost.plus(1 + LIST_COST + of).add(body.cost);
        let none = CostEstimate::fixed(1);
        let cost = target.cost.plus(1).add(some.union(none));
        self.part(expr, cost)
    }
}

/// What a fold costs beside its elements, and for each of them.
fn each(step: &Step, body: CostEstimate) -> (u64, CostEstimate) {
    let quantified = |test: u64| CostEstimate {
        min: test,
        max: body.max.saturating_add(test),
    };
    let append = 2 + LIST_COST;
    match step {
        Step::All(_) => (1, quantified(3)),
        Step::Exists(_) => (1, quantified(4)),
        Step::ExistsOne(_) => (2, body.add(CostEstimate { min: 1, max: 2 })),
        Step::Map { .. } => (1 + LIST_COST, body.plus(append)),
        Step::Filter(_) => {
            let kept = CostEstimate {
                min: 1,
                max: append + 1,
            };
            (1 + LIST_COST, body.add(kept))
        }
        Step::MapValues { .. } => (1 + MAP_COST, body.plus(3)),
        Step::MapEntries { .. } => (1 + MAP_COST, body.plus(2)),
    }
}

/// What is known of the contents of what a fold makes.
fn made(step: &Step, range: &Part<'_>, body: &Part<'_>) -> Option<Entries> {
    let nothing = Size::exactly(0);
    match step {
        Step::Map { .. } => Some(Entries::of_list(nothing.union(body.size_or_unknown()))),
        Step::Filter(_) => {
            let of_schema = range
                .path
                .and_then(|path| path.element())
                .map(|of| Size::up_to(of.max_elements));
            let size = of_schema.or(range.entries.map(|entries| entries.value));
            let scalar = matches!(&range.ty, Type::List(element) if element.is_scalar()).then_some(Size::exactly(1));
            let size = size.or(scalar).unwrap_or(Size::UNKNOWN);
            Some(Entries::of_list(nothing.union(size)))
        }
        Step::MapEntries { .. } => body.entries,
        _ => None,
    }
}
