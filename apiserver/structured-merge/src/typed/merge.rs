//! Laying one value over another.
//!
//! The upper value wins at leaves. Maps and associative lists are joined; a list keeps the order of the lower one where
//! the upper says nothing, and items of both come in the order of the upper one. Nothing is removed by a merge.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compare::zip_fields;
use super::{FieldErrors, items, validate::scalar_error};
use crate::fieldpath::{MAX_DEPTH, PathElement};
use crate::schema::{ListType, MapRelation, MapType, Parts, Scalar, TypeRef};

/// The lower value with the upper one laid over it.
pub(crate) fn merge(ty: TypeRef<'_>, lower: &Value, upper: &Value) -> Result<Value, FieldErrors> {
    let merged = Layers {
        ty: Some(ty),
        lower: Some(lower),
        upper: Some(upper),
        depth: 0,
    }
    .merge()?;
    Ok(merged.unwrap_or(Value::Null))
}

static NULL: Value = Value::Null;

#[derive(Clone, Copy)]
struct Layers<'v, 's> {
    ty: Option<TypeRef<'s>>,
    lower: Option<&'v Value>,
    upper: Option<&'v Value>,
    depth: usize,
}

impl<'s> Layers<'_, 's> {
    fn merge(self) -> Result<Option<Value>, FieldErrors> {
        if self.depth > MAX_DEPTH {
            return Err(FieldErrors::too_deep());
        }
        let ty = self.ty.ok_or_else(FieldErrors::no_type)?;
        let parts = match self.upper {
            Some(upper) => ty.parts_for(Some(upper)),
            None => ty.parts_for(self.lower),
        };
        let of_lower = ty.parts_for(self.lower);
        if self.lower.is_some() && self.upper.is_some() && !of_lower.same(&parts) {
            // The kind of the value changes: the old kind is only looked at for mistakes.
            self.visit(ty, of_lower)?;
        }
        self.visit(ty, parts)
    }

    fn visit(&self, ty: TypeRef<'s>, parts: Parts<'s>) -> Result<Option<Value>, FieldErrors> {
        match parts {
            Parts { map: Some(map), .. } => self.maps(ty, map),
            Parts {
                scalar: Some(scalar), ..
            } => self.scalars(scalar),
            Parts { list: Some(list), .. } => self.lists(ty, list),
            _ => Err(FieldErrors::no_type()),
        }
    }

    fn leaf(&self) -> Option<Value> {
        self.upper.or(self.lower).cloned()
    }

    fn scalars(&self, scalar: Scalar) -> Result<Option<Value>, FieldErrors> {
        let wrong = |value: Option<&Value>| value.and_then(|value| scalar_error(scalar, value));
        match (wrong(self.lower), wrong(self.upper)) {
            (Some(lower), Some(upper)) => {
                let mut errors = FieldErrors::one(format!("lhs: {lower}"));
                errors.push(format!("rhs: {upper}"));
                Err(errors)
            }
            _ => Ok(self.leaf()),
        }
    }

    fn maps(&self, ty: TypeRef<'s>, map: &MapType) -> Result<Option<Value>, FieldErrors> {
        let lower = self.lower.and_then(Value::as_object);
        let upper = self.upper.and_then(Value::as_object);
        let empty = |fields: Option<&Map<String, Value>>| fields.is_none_or(Map::is_empty);
        if map.relation == MapRelation::Atomic || (empty(lower) && empty(upper)) {
            return Ok(self.leaf());
        }
        let mut errors = FieldErrors::default();
        let mut merged = Map::new();
        zip_fields(lower, upper, |name, lower, upper| {
            let layers = Layers {
                ty: ty.field_of(map, name),
                lower,
                upper,
                depth: self.depth + 1,
            };
            match layers.merge() {
                Ok(Some(value)) => {
                    merged.insert(name.to_owned(), value);
                }
                Ok(None) => {}
                Err(below) => errors.adopt(&PathElement::field(name), below),
            }
        });
        errors.into_result((!merged.is_empty()).then_some(Value::Object(merged)))
    }

    fn lists(&self, ty: TypeRef<'s>, list: &ListType) -> Result<Option<Value>, FieldErrors> {
        let (lower, upper) = (items::list_items(self.lower), items::list_items(self.upper));
        let empty = |items: Option<&[Value]>| items.is_none_or(<[Value]>::is_empty);
        if list.is_atomic() || (empty(lower) && empty(upper)) {
            return Ok(self.leaf());
        }
        let (lower, upper) = (lower.unwrap_or_default(), upper.unwrap_or_default());
        let mut lists = ListLayers::new(ty, list, lower, upper)?;
        lists.depth = self.depth + 1;
        let merged = lists.merge()?;
        Ok((!merged.is_empty()).then_some(Value::Array(merged)))
    }
}

/// Two associative lists on top of each other.
struct ListLayers<'v, 's> {
    item_type: TypeRef<'s>,
    depth: usize,
    lower: &'v [Value],
    upper: &'v [Value],
    lower_names: Vec<PathElement>,
    upper_names: Vec<PathElement>,
    /// For each item below, the place of the item above that has its name.
    counterpart: Vec<Option<usize>>,
    /// For each item above, what lies below it; null stands for several items of one name, which are not merged with.
    beneath: Vec<Option<&'v Value>>,
}

impl<'v, 's> ListLayers<'v, 's> {
    fn new(ty: TypeRef<'s>, list: &ListType, lower: &'v [Value], upper: &'v [Value]) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let upper_names = items::elements(ty, list, upper, &mut errors);
        let mut places = BTreeMap::new();
        for (at, name) in upper_names.iter().flatten().enumerate() {
            if places.insert(name, at).is_some() {
                errors.push(format!("duplicate entries for key {name}"));
            }
        }
        let lower_names = items::elements(ty, list, lower, &mut errors);
        errors.into_result(())?;
        let counterpart: Vec<_> = lower_names
            .iter()
            .flatten()
            .map(|name| places.get(name).copied())
            .collect();
        let mut beneath = vec![None; upper.len()];
        for (at, above) in counterpart.iter().enumerate() {
            if let Some(above) = above {
                let slot: &mut Option<&Value> = &mut beneath[*above];
                *slot = Some(if slot.is_some() { &NULL } else { &lower[at] });
            }
        }
        let item_type = ty.item_of(list);
        let lower_names = lower_names.into_iter().flatten().collect();
        let upper_names = upper_names.into_iter().flatten().collect();
        Ok(Self {
            item_type,
            depth: 0,
            lower,
            upper,
            lower_names,
            upper_names,
            counterpart,
            beneath,
        })
    }

    fn merge(&self) -> Result<Vec<Value>, FieldErrors> {
        let mut merged = Vec::with_capacity(self.lower.len().max(self.upper.len()));
        let mut errors = FieldErrors::default();
        // The next item above that also lies below, from each place on.
        let mut next_shared = vec![None; self.upper.len() + 1];
        for at in (0..self.upper.len()).rev() {
            next_shared[at] = if self.beneath[at].is_some() {
                Some(at)
            } else {
                next_shared[at + 1]
            };
        }
        let (mut low, mut up) = (0, 0);
        while low < self.lower.len() || up < self.upper.len() {
            match self.counterpart.get(low).copied() {
                Some(None) => {
                    self.put(
                        &self.lower_names[low],
                        Some(&self.lower[low]),
                        None,
                        &mut merged,
                        &mut errors,
                    );
                    low += 1;
                    continue;
                }
                Some(Some(above)) if above == up => low += 1,
                // Its turn comes with the one above.
                Some(Some(above)) if next_shared[up].is_some_and(|next| next != above) => {
                    low += 1;
                    continue;
                }
                // Its turn has come already.
                Some(Some(above)) if above < up => low += 1,
                Some(Some(_)) | None => {}
            }
            if up == self.upper.len() {
                continue;
            }
            self.put(
                &self.upper_names[up],
                self.beneath[up],
                Some(&self.upper[up]),
                &mut merged,
                &mut errors,
            );
            up += 1;
        }
        errors.into_result(merged)
    }

    fn put(
        &self,
        name: &PathElement,
        lower: Option<&Value>,
        upper: Option<&Value>,
        merged: &mut Vec<Value>,
        errors: &mut FieldErrors,
    ) {
        let layers = Layers {
            ty: Some(self.item_type),
            lower,
            upper,
            depth: self.depth,
        };
        match layers.merge() {
            Ok(item) => merged.extend(item),
            Err(below) => errors.adopt(name, below),
        }
    }
}
