//! Calls, logic, and the literals of lists and maps.

use crate::check::Checker;
use crate::check::unify::less_specific;
use crate::library::{self, Function, Overload};
use crate::syntax::{Entry, Expr, Id, Item, qualified};
use crate::types::Type;

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &Expr, name: &str, target: Option<&Expr>, args: &[Expr]) {
        for arg in args {
            self.check(arg);
        }
        let types: Vec<Type> = args.iter().map(|arg| self.ty(arg)).collect();
        let Some(target) = target else {
            match library::function(name) {
                Some(function) => self.choose(expr.id, function, false, &types),
                None => self.undeclared(expr.id, name),
            }
            return;
        };
        // `sets.contains(a, b)`: the name of one function, not a method of `sets`.
        if let Some(prefix) = qualified(target)
            && let Some(function) = library::function(&format!("{prefix}.{name}"))
        {
            self.choose(expr.id, function, false, &types);
            return;
        }
        self.check(target);
        let mut all = vec![self.ty(target)];
        all.extend(types);
        match library::function(name) {
            Some(function) => self.choose(expr.id, function, true, &all),
            None => self.undeclared(expr.id, name),
        }
    }

    /// Every signature that the arguments fit; the call's type is what they agree on.
    fn choose(&mut self, id: Id, function: &'static Function, member: bool, args: &[Type]) {
        let mut chosen: Vec<&'static Overload> = Vec::new();
        let mut result: Option<Type> = None;
        for overload in function.overloads.iter().filter(|overload| overload.member == member) {
            let Some(found) = self.result_of(overload, args) else {
                continue;
            };
            chosen.push(overload);
            result = Some(match result {
                Some(Type::Dyn) => Type::Dyn,
                Some(before) if before != found => Type::Dyn,
                _ => found,
            });
        }
        let Some(result) = result else {
            self.no_overload(id, function.name, member, args);
            return;
        };
        self.found.calls[id.index()] = chosen;
        self.set(id, result);
    }

    fn result_of(&mut self, overload: &'static Overload, args: &[Type]) -> Option<Type> {
        if overload.params.len() != args.len() {
            return None;
        }
        if !overload.generic {
            return self
                .mapping
                .assignable_all(args, &overload.params)
                .then(|| overload.result.clone());
        }
        let mut types = overload.params.clone();
        types.push(overload.result.clone());
        let mut types = self.mapping.instantiate(&types);
        let result = types.pop()?;
        self.mapping
            .assignable_all(args, &types)
            .then(|| self.mapping.substitute(&result))
    }

    pub(super) fn no_overload(&mut self, id: Id, name: &str, member: bool, args: &[Type]) {
        let mut shown: Vec<String> = args.iter().map(|arg| self.mapping.resolve(arg).to_string()).collect();
        let receiver = if member {
            format!("{}.", shown.remove(0))
        } else {
            String::new()
        };
        let signature = format!("{receiver}({})", shown.join(", "));
        self.report(
            id,
            format!("found no matching overload for '{name}' applied to '{signature}'"),
        );
        self.set(id, Type::Error);
    }

    pub(super) fn logic(&mut self, id: Id, terms: &[Expr]) {
        let mut ty = Type::Bool;
        for term in terms {
            self.check(term);
            let found = self.ty(term);
            if !self.mapping.assignable(&found, &Type::Bool) {
                self.mismatch(term.id, &Type::Bool, &found);
                ty = Type::Error;
            }
        }
        self.set(id, ty);
    }

    pub(super) fn list(&mut self, id: Id, items: &[Item]) {
        let mut element: Option<Type> = None;
        for item in items {
            self.check(&item.value);
            let ty = self.element_type(&item.value, item.optional);
            element = Some(self.join(element, ty));
        }
        let element = element.unwrap_or_else(|| self.mapping.fresh());
        self.set(id, Type::list(element));
    }

    pub(super) fn map(&mut self, id: Id, entries: &[Entry]) {
        let mut key: Option<Type> = None;
        let mut value: Option<Type> = None;
        for entry in entries {
            self.check(&entry.key);
            let ty = self.ty(&entry.key);
            key = Some(self.join(key, ty));
            self.check(&entry.value);
            let ty = self.element_type(&entry.value, entry.optional);
            value = Some(self.join(value, ty));
        }
        let key = key.unwrap_or_else(|| self.mapping.fresh());
        let value = value.unwrap_or_else(|| self.mapping.fresh());
        self.set(id, Type::map(key, value));
    }

    /// The type of an element; of an optional one, what is inside.
    fn element_type(&mut self, expr: &Expr, optional: bool) -> Type {
        let ty = self.mapping.substitute(&self.ty(expr));
        if !optional {
            return ty;
        }
        let (inner, was_optional) = ty.without_optional();
        if !was_optional && !ty.is_dyn_or_error() {
            self.mismatch(expr.id, &Type::optional(inner.clone()), &ty);
        }
        inner
    }

    /// The type of elements of both types; where they differ, only evaluation knows. That literals are of one type is
    /// checked when all types are known.
    fn join(&mut self, before: Option<Type>, next: Type) -> Type {
        let Some(before) = before else {
            return next;
        };
        if !self.mapping.assignable(&before, &next) {
            return Type::Dyn;
        }
        if less_specific(&before, &next) { before } else { next }
    }
}
