//! Which type fits where, and what the open types of an expression turn out to be.

use crate::types::{Param, Type};

/// Larger types are refused: nested maps can make a type that is exponentially larger than the text it comes from.
const MOST_PARTS: usize = 2_000;

/// What is known of the free type parameters. Assumptions are taken back when they lead nowhere.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    free: Vec<Option<Type>>,
    /// What was there before each change, to go back to.
    trail: Vec<(usize, Option<Type>)>,
}

impl Mapping {
    /// A parameter that nothing is known of.
    pub(super) fn fresh(&mut self) -> Type {
        let number = u32::try_from(self.free.len()).unwrap_or(u32::MAX);
        self.free.push(None);
        Type::Param(Param::Free(number))
    }

    fn find(&self, ty: &Type) -> Option<&Type> {
        match ty {
            Type::Param(Param::Free(number)) => self.free.get(*number as usize)?.as_ref(),
            _ => None,
        }
    }

    fn bind(&mut self, param: &Type, ty: Type) {
        if let Type::Param(Param::Free(number)) = param
            && let Some(slot) = self.free.get_mut(*number as usize)
        {
            self.trail.push((*number as usize, slot.take()));
            *slot = Some(ty);
        }
    }

    fn roll_back(&mut self, mark: usize) {
        while self.trail.len() > mark {
            if let Some((index, old)) = self.trail.pop() {
                self.free[index] = old;
            }
        }
    }

    /// Whether `b` can stand where `a` is; if so, what that says of open types is kept.
    pub(super) fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        self.assignable_all(std::slice::from_ref(a), std::slice::from_ref(b))
    }

    /// As [`Mapping::assignable`], for all pairs or none.
    pub(super) fn assignable_all(&mut self, a: &[Type], b: &[Type]) -> bool {
        let mark = self.trail.len();
        let fits = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.fits(a, b));
        if fits {
            self.trail.clear();
        } else {
            self.roll_back(mark);
        }
        fits
    }

    fn fits(&mut self, a: &Type, b: &Type) -> bool {
        if let Type::Param(_) = b {
            match self.substitution(a, b) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if let Type::Param(_) = a {
            return self.substitution(b, a).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.fits(a, b),
            (Type::Map(ka, va), Type::Map(kb, vb)) => self.fits(ka, kb) && self.fits(va, vb),
            _ => a == b,
        }
    }

    /// Whether the parameter can be `ty`, and whether something was known of it before.
    fn substitution(&mut self, ty: &Type, param: &Type) -> (bool, bool) {
        if ty == param {
            return (true, true);
        }
        if let Some(known) = self.find(param).cloned() {
            if *ty == known {
                return (true, true);
            }
            if self.fits(ty, &known) {
                let general = if less_specific(ty, &known) { ty.clone() } else { known };
                if self.absent(param, &general) {
                    self.bind(param, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.absent(param, ty) {
            self.bind(param, ty.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether `param` does not occur in `ty`.
    fn absent(&self, param: &Type, ty: &Type) -> bool {
        if param == ty {
            return false;
        }
        match ty {
            Type::Param(_) => self.find(ty).is_none_or(|known| self.absent(param, known)),
            Type::List(inner) | Type::Optional(inner) | Type::Type(inner) => self.absent(param, inner),
            Type::Map(key, value) => self.absent(param, key) && self.absent(param, value),
            _ => true,
        }
    }

    /// With all that is known put in.
    pub(super) fn substitute(&self, ty: &Type) -> Type {
        self.replace(ty, false)
    }

    /// As [`Mapping::substitute`], and what stayed open is `dyn`.
    pub(super) fn resolve(&self, ty: &Type) -> Type {
        self.replace(ty, true)
    }

    fn replace(&self, ty: &Type, close: bool) -> Type {
        if let Some(known) = self.find(ty) {
            return self.replace(known, close);
        }
        match ty {
            Type::Param(_) if close => Type::Dyn,
            Type::List(inner) => Type::list(self.replace(inner, close)),
            Type::Optional(inner) => Type::optional(self.replace(inner, close)),
            Type::Type(inner) => Type::Type(self.replace(inner, close).into()),
            Type::Map(key, value) => Type::map(self.replace(key, close), self.replace(value, close)),
            other => other.clone(),
        }
    }

    /// Whether the type stays within bounds with all that is known put in.
    pub(super) fn is_reasonable(&self, ty: &Type) -> bool {
        let mut left = MOST_PARTS;
        self.count(ty, &mut left)
    }

    fn count(&self, ty: &Type, left: &mut usize) -> bool {
        let Some(less) = left.checked_sub(1) else {
            return false;
        };
        *left = less;
        match ty {
            Type::Param(_) => self.find(ty).is_none_or(|known| self.count(known, left)),
            Type::List(inner) | Type::Optional(inner) | Type::Type(inner) => self.count(inner, left),
            Type::Map(key, value) => self.count(key, left) && self.count(value, left),
            _ => true,
        }
    }

    /// The parameters of a signature made free ones.
    pub(super) fn instantiate(&mut self, types: &[Type]) -> Vec<Type> {
        let mut known = Vec::new();
        types.iter().map(|ty| self.freshen(ty, &mut known)).collect()
    }

    fn freshen(&mut self, ty: &Type, known: &mut Vec<(char, Type)>) -> Type {
        match ty {
            Type::Param(Param::Declared(name)) => {
                if let Some((_, free)) = known.iter().find(|(other, _)| other == name) {
                    return free.clone();
                }
                let free = self.fresh();
                known.push((*name, free.clone()));
                free
            }
            Type::List(inner) => Type::list(self.freshen(inner, known)),
            Type::Optional(inner) => Type::optional(self.freshen(inner, known)),
            Type::Type(inner) => Type::Type(self.freshen(inner, known).into()),
            Type::Map(key, value) => Type::map(self.freshen(key, known), self.freshen(value, known)),
            other => other.clone(),
        }
    }
}

/// What `null` can stand for.
fn nullable(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Null | Type::Object(_) | Type::Opaque(_) | Type::Optional(_) | Type::Timestamp | Type::Duration
    )
}

/// Whether `a` says no more than `b`.
pub(super) fn less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => less_specific(a, b),
        (Type::Map(ka, va), Type::Map(kb, vb)) => less_specific(ka, kb) && less_specific(va, vb),
        (Type::Type(_), Type::Type(_)) => true,
        _ => a == b,
    }
}
