//! The fields that a value sets.
//!
//! Leaves and list items are in the set, and so are entries of maps that are no declared fields. A declared field that
//! holds a map or list is not: it is implied by what is below it, and only when nothing is does it stand for itself.

use serde_json::{Map, Value};

use super::{FieldErrors, items};
use crate::fieldpath::{Branch, FieldSet, MAX_DEPTH, Node, PathElement};
use crate::schema::{ListType, MapRelation, MapType, Parts, TypeRef};

/// The set of fields that the value sets.
pub(crate) fn to_field_set(ty: TypeRef<'_>, value: &Value) -> Result<FieldSet, FieldErrors> {
    Ok(at(Some(ty), value, 0)?.below)
}

fn leaf() -> Branch {
    Branch {
        member: true,
        below: FieldSet::new(),
    }
}

fn at(ty: Option<TypeRef<'_>>, value: &Value, depth: usize) -> Result<Branch, FieldErrors> {
    if depth > MAX_DEPTH {
        return Err(FieldErrors::too_deep());
    }
    let ty = ty.ok_or_else(FieldErrors::no_type)?;
    match ty.parts_for(Some(value)) {
        Parts { map: Some(map), .. } => match value {
            _ if map.relation == MapRelation::Atomic => Ok(leaf()),
            Value::Object(fields) => fields_of(ty, map, fields, depth),
            _ => Ok(Branch::default()),
        },
        Parts { scalar: Some(_), .. } => Ok(leaf()),
        Parts { list: Some(list), .. } => match value {
            _ if list.is_atomic() => Ok(leaf()),
            Value::Array(found) => items_of(ty, list, found, depth),
            _ => Ok(Branch::default()),
        },
        _ => Err(FieldErrors::no_type()),
    }
}

fn fields_of(ty: TypeRef<'_>, map: &MapType, fields: &Map<String, Value>, depth: usize) -> Result<Branch, FieldErrors> {
    let mut found = Branch::default();
    let mut errors = FieldErrors::default();
    for (name, value) in fields {
        let element = PathElement::field(name);
        match at(ty.field_of(map, name), value, depth + 1) {
            Ok(mut child) => {
                let nothing_below = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                child.member |= nothing_below || !map.declares(name);
                found.attach(&element, child);
            }
            Err(below) => errors.adopt(&element, below),
        }
    }
    errors.into_result(found)
}

/// Items that share a name are owned together, as one leaf.
fn items_of(ty: TypeRef<'_>, list: &ListType, found: &[Value], depth: usize) -> Result<Branch, FieldErrors> {
    let mut errors = FieldErrors::default();
    let index = items::index(&items::elements(ty, list, found, &mut errors));
    let mut below = FieldSet::new();
    for (element, places) in index {
        match places.as_slice() {
            [only] => match at(Some(ty.item_of(list)), &found[*only], depth + 1) {
                Ok(child) => below.put(Node::new(element, true, child.below)),
                Err(wrong) => errors.adopt(&element, wrong),
            },
            _ => below.put(Node::new(element, true, FieldSet::new())),
        }
    }
    errors.into_result(Branch { member: false, below })
}
