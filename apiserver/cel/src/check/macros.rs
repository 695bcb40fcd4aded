//! Macros: the types that cel-go's expansions of them would have.

use crate::check::Checker;
use crate::syntax::{Expr, Fold, Id, OptMap, Step};
use crate::types::Type;

impl Checker<'_> {
    pub(super) fn fold(&mut self, id: Id, fold: &Fold) {
        self.check(&fold.range);
        let range = self.mapping.substitute(&self.ty(&fold.range));
        let (key, value) = self.elements(&fold.range, &range);
        let depth = self.scopes.len();
        match &fold.second {
            Some(second) => {
                self.scopes.push((fold.variable.clone(), key.clone()));
                self.scopes.push((second.clone(), value));
            }
            None => {
                let single = if matches!(range, Type::Map(..)) {
                    key.clone()
                } else {
                    value
                };
                self.scopes.push((fold.variable.clone(), single));
            }
        }
        let element = self.scopes[depth].1.clone();
        let ty = self.step(id, &fold.step, &key, element);
        self.scopes.truncate(depth);
        let ty = self.mapping.substitute(&ty);
        self.set(id, ty);
    }

    /// Index or key, and value.
    fn elements(&mut self, range: &Expr, ty: &Type) -> (Type, Type) {
        match ty {
            Type::List(element) => (Type::Int, (**element).clone()),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, ty);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(range.id, message);
                (Type::Error, Type::Error)
            }
        }
    }

    fn step(&mut self, id: Id, step: &Step, key: &Type, element: Type) -> Type {
        let (filter, body) = step.parts();
        if let Some(filter) = filter {
            self.condition(id, filter);
        }
        match step {
            Step::All(body) | Step::Exists(body) => {
                self.check(body);
                self.assert(body, &Type::Bool);
                Type::Bool
            }
            Step::ExistsOne(body) => {
                self.condition(id, body);
                Type::Bool
            }
            Step::Filter(body) => {
                self.condition(id, body);
                Type::list(element)
            }
            Step::Map { .. } => {
                self.check(body);
                Type::list(self.ty(body))
            }
            Step::MapValues { .. } => {
                self.check(body);
                Type::map(key.clone(), self.ty(body))
            }
            Step::MapEntries { .. } => {
                self.check(body);
                let ty = self.mapping.substitute(&self.ty(body));
                let entries = Type::map(self.mapping.fresh(), self.mapping.fresh());
                if !self.mapping.assignable(&entries, &ty) {
                    self.no_overload(id, "cel.@mapInsert", false, &[entries.clone(), ty]);
                }
                entries
            }
        }
    }

    /// A condition of a macro: the expansion makes it the first operand of `_?_:_`.
    fn condition(&mut self, id: Id, condition: &Expr) {
        self.check(condition);
        let found = self.ty(condition);
        if !self.mapping.assignable(&found, &Type::Bool) {
            let other = Type::Dyn;
            self.no_overload(id, "_?_:_", false, &[found, other.clone(), other]);
        }
    }

    pub(super) fn opt_map(&mut self, id: Id, map: &OptMap) {
        self.check(&map.target);
        let target = self.mapping.substitute(&self.ty(&map.target));
        let (inner, was_optional) = target.without_optional();
        if !was_optional {
            let open = self.mapping.fresh();
            if !self.mapping.assignable(&Type::optional(open), &target) {
                self.no_overload(id, "hasValue", true, std::slice::from_ref(&target));
            }
        }
        let inner = if was_optional { inner } else { Type::Dyn };
        self.scopes.push((map.variable.clone(), inner));
        self.check(&map.body);
        self.scopes.pop();
        let body = self.mapping.substitute(&self.ty(&map.body));
        if !map.flat {
            self.set(id, Type::optional(body));
            return;
        }
        let open = Type::optional(self.mapping.fresh());
        if !self.mapping.assignable(&open, &body) {
            self.no_overload(
                id,
                "_?_:_",
                false,
                &[Type::Bool, body.clone(), Type::optional(Type::Dyn)],
            );
        }
        let ty = self.mapping.substitute(&open);
        self.set(id, ty);
    }
}
