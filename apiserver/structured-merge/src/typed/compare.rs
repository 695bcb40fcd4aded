//! How one value differs from another: which fields were added, changed or removed.
//!
//! Nothing is allocated for what is equal, which is most of an object on most writes.

use serde_json::{Map, Value};

use super::{FieldErrors, items, validate::scalar_error};
use crate::fieldpath::{Branch, FieldSet, MAX_DEPTH, PathElement};
use crate::schema::{ListType, MapRelation, MapType, Parts, Scalar, TypeRef};
use crate::value;

/// The difference between two values. No path is in two of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// In the first value alone.
    pub(crate) removed: FieldSet,
    /// In both, and not the same.
    pub(crate) modified: FieldSet,
    /// In the second value alone.
    pub(crate) added: FieldSet,
}

impl Comparison {
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// What is left without some fields and all that is below them.
    pub(crate) fn without(self, fields: &FieldSet) -> Self {
        if fields.is_empty() {
            return self;
        }
        Self {
            removed: self.removed.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            added: self.added.recursive_difference(fields),
        }
    }

    /// The fields that the second value set anew.
    pub(crate) fn set(&self) -> FieldSet {
        self.modified.union(&self.added)
    }
}

/// Compares two values of one type.
pub(crate) fn compare(ty: TypeRef<'_>, old: &Value, new: &Value) -> Result<Comparison, FieldErrors> {
    let Change {
        removed,
        modified,
        added,
    } = Pair::new(ty, Some(old), Some(new), 0).compare()?;
    Ok(Comparison {
        removed: removed.below,
        modified: modified.below,
        added: added.below,
    })
}

/// The difference at one path and below.
#[derive(Default)]
struct Change {
    removed: Branch,
    modified: Branch,
    added: Branch,
}

impl Change {
    fn attach(&mut self, element: &PathElement, child: Self) {
        self.removed.attach(element, child.removed);
        self.modified.attach(element, child.modified);
        self.added.attach(element, child.added);
    }

    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }
}

/// Whether a walk ended at a leaf, which stands for all that is below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    AtLeaf,
    Below,
}

#[derive(Clone, Copy)]
struct Pair<'v, 's> {
    ty: Option<TypeRef<'s>>,
    old: Option<&'v Value>,
    new: Option<&'v Value>,
    depth: usize,
}

impl<'v, 's> Pair<'v, 's> {
    fn new(ty: TypeRef<'s>, old: Option<&'v Value>, new: Option<&'v Value>, depth: usize) -> Self {
        Self {
            ty: Some(ty),
            old,
            new,
            depth,
        }
    }

    fn compare(self) -> Result<Change, FieldErrors> {
        if self.depth > MAX_DEPTH {
            return Err(FieldErrors::too_deep());
        }
        let ty = self.ty.ok_or_else(FieldErrors::no_type)?;
        let (of_old, of_new) = (ty.parts_for(self.old), ty.parts_for(self.new));
        let mut change = Change::default();
        let ended = if self.new.is_none() {
            self.visit(ty, of_old, &mut change)?
        } else if self.old.is_none() || of_old.same(&of_new) {
            self.visit(ty, of_new, &mut change)?
        } else {
            // The value changed its kind: what was below the old one is gone, what is below the new one is new.
            self.visit(ty, of_old, &mut change)?;
            self.visit(ty, of_new, &mut change)?
        };
        if ended == Ended::Below {
            change.added.member |= self.old.is_none();
            change.removed.member |= self.old.is_some() && self.new.is_none();
        }
        Ok(change)
    }

    fn visit(&self, ty: TypeRef<'s>, parts: Parts<'s>, change: &mut Change) -> Result<Ended, FieldErrors> {
        match parts {
            Parts { map: Some(map), .. } => self.maps(ty, map, change),
            Parts {
                scalar: Some(scalar), ..
            } => self.scalars(scalar, change),
            Parts { list: Some(list), .. } => self.lists(ty, list, change),
            _ => Err(FieldErrors::no_type()),
        }
    }

    fn leaf(&self, change: &mut Change) -> Ended {
        match (self.old, self.new) {
            (None, _) => change.added.member = true,
            (Some(_), None) => change.removed.member = true,
            (Some(old), Some(new)) => change.modified.member |= !value::equal(old, new),
        }
        Ended::AtLeaf
    }

    fn scalars(&self, scalar: Scalar, change: &mut Change) -> Result<Ended, FieldErrors> {
        let wrong = |side: &str, value: Option<&Value>| {
            value
                .and_then(|value| scalar_error(scalar, value))
                .map(|why| format!("{side}: {why}"))
        };
        if let (Some(old), Some(new)) = (wrong("lhs", self.old), wrong("rhs", self.new)) {
            let mut errors = FieldErrors::one(old);
            errors.push(new);
            return Err(errors);
        }
        Ok(self.leaf(change))
    }

    fn maps(&self, ty: TypeRef<'s>, map: &MapType, change: &mut Change) -> Result<Ended, FieldErrors> {
        let fields = |value: Option<&'v Value>| value.and_then(Value::as_object);
        let (old, new) = (fields(self.old), fields(self.new));
        let empty = |fields: Option<&Map<String, Value>>| fields.is_none_or(Map::is_empty);
        if map.relation == MapRelation::Atomic || (empty(old) && empty(new)) {
            return Ok(self.leaf(change));
        }
        let mut errors = FieldErrors::default();
        zip_fields(old, new, |name, old, new| {
            let pair = Pair {
                ty: ty.field_of(map, name),
                old,
                new,
                depth: self.depth + 1,
            };
            match pair.compare() {
                Ok(child) if child.is_empty() => {}
                Ok(child) => change.attach(&PathElement::field(name), child),
                Err(below) => errors.adopt(&PathElement::field(name), below),
            }
        });
        errors.into_result(Ended::Below)
    }

    fn lists(&self, ty: TypeRef<'s>, list: &ListType, change: &mut Change) -> Result<Ended, FieldErrors> {
        let (old, new) = (items::list_items(self.old), items::list_items(self.new));
        let empty = |items: Option<&[Value]>| items.is_none_or(<[Value]>::is_empty);
        if list.is_atomic() || (empty(old) && empty(new)) {
            return Ok(self.leaf(change));
        }
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        let mut errors = FieldErrors::default();
        let old_index = items::index(&items::elements(ty, list, old, &mut errors));
        let mut new_index = items::index(&items::elements(ty, list, new, &mut errors));
        for (element, places) in old_index {
            let old: Vec<_> = places.iter().map(|at| &old[*at]).collect();
            let new: Vec<_> = new_index
                .remove(&element)
                .into_iter()
                .flatten()
                .map(|at| &new[at])
                .collect();
            self.same_item(ty.item_of(list), &element, &old, &new, change, &mut errors);
        }
        for (element, places) in new_index {
            let new: Vec<_> = places.iter().map(|at| &new[*at]).collect();
            self.same_item(ty.item_of(list), &element, &[], &new, change, &mut errors);
        }
        errors.into_result(Ended::Below)
    }

    /// Compares what has one name in both lists. Items that share a name count as one leaf.
    fn same_item(
        &self,
        ty: TypeRef<'s>,
        element: &PathElement,
        old: &[&Value],
        new: &[&Value],
        change: &mut Change,
        errors: &mut FieldErrors,
    ) {
        let mut single = |old: Option<&&Value>, new: Option<&&Value>| {
            if old.is_none() && new.is_none() {
                return Change::default();
            }
            let pair = Pair::new(ty, old.copied(), new.copied(), self.depth + 1);
            pair.compare().unwrap_or_else(|below| {
                errors.adopt(element, below);
                Change::default()
            })
        };
        let child = match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => single(old.first(), new.first()),
            (0 | 1, _) => {
                let mut child = single(old.first(), None);
                child.added.member = true;
                child
            }
            (_, 0 | 1) => {
                let mut child = single(None, new.first());
                child.removed.member = true;
                child
            }
            (before, after) => {
                let same = before == after && old.iter().zip(new).all(|(old, new)| value::equal(old, new));
                let mut child = Change::default();
                child.modified.member = !same;
                child
            }
        };
        change.attach(element, child);
    }
}

/// Visits the fields of two maps, each name once, in the order of the names when the maps are sorted.
pub(super) fn zip_fields<'v>(
    old: Option<&'v Map<String, Value>>,
    new: Option<&'v Map<String, Value>>,
    mut visit: impl FnMut(&str, Option<&'v Value>, Option<&'v Value>),
) {
    let mut old = old.into_iter().flatten().peekable();
    let mut new_sorted = new.into_iter().flatten().peekable();
    loop {
        match (old.peek(), new_sorted.peek()) {
            (None, None) => return,
            (Some((a, _)), Some((b, _))) if a == b => {
                if let (Some((name, old)), Some((_, new))) = (old.next(), new_sorted.next()) {
                    visit(name, Some(old), Some(new));
                }
            }
            (Some((a, _)), next) if next.is_none_or(|(b, _)| a < b) => {
                if let Some((name, old)) = old.next() {
                    visit(name, Some(old), None);
                }
            }
            _ => {
                if let Some((name, new)) = new_sorted.next() {
                    visit(name, None, Some(new));
                }
            }
        }
    }
}
