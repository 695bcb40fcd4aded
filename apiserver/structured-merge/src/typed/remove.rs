//! Taking fields out of a value, or taking everything else out of it.

use serde_json::{Map, Value};

use super::{items, to_field_set};
use crate::fieldpath::{FieldSet, Path, PathElement};
use crate::schema::{ListType, MapRelation, MapType, Parts, TypeRef};

/// The value without the fields and items in the set. What loses all its parts is null, which is how fields that have
/// gone are told from those that stay.
pub(crate) fn remove_items(ty: TypeRef<'_>, value: &Value, fields: &FieldSet) -> Value {
    pick(Some(ty), value, fields, Keep::Others)
}

/// The same, for an object that is to be stored: what loses all its parts stays, empty. Upstream leaves null there, which
/// its typed objects take for empty; a schema that is not nullable refuses it.
pub(crate) fn remove_items_for_good(ty: TypeRef<'_>, value: &Value, fields: &FieldSet) -> Value {
    pick(Some(ty), value, fields, Keep::OthersAndContainers)
}

/// The value with nothing but the fields and items in the set; the keys of items come with them.
pub(crate) fn extract_items(ty: TypeRef<'_>, value: &Value, fields: &FieldSet) -> Value {
    let mut fields = fields.clone();
    if let Ok(present) = to_field_set(ty, value) {
        for path in fields.paths().iter().filter(|path| present.contains(&path.0)) {
            key_fields(path).iter().for_each(|key| fields.insert(&key.0));
        }
    }
    pick(Some(ty), value, &fields, Keep::Named)
}

fn key_fields(path: &Path) -> Vec<Path> {
    let mut found = Vec::new();
    for (at, element) in path.0.iter().enumerate() {
        if let PathElement::Key(keys) = element {
            let item = &path.0[..=at];
            let key = |name: &str| item.iter().cloned().chain([PathElement::field(name)]).collect();
            found.extend(keys.iter().map(|(name, _)| key(name)));
        }
    }
    found
}

/// What of the fields in a set happens to them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Others,
    OthersAndContainers,
    Named,
}

impl Keep {
    /// What becomes of a container without parts.
    fn emptied(self, container: Value) -> Value {
        if self == Self::OthersAndContainers {
            container
        } else {
            Value::Null
        }
    }
}

fn pick(ty: Option<TypeRef<'_>>, value: &Value, fields: &FieldSet, keep: Keep) -> Value {
    let Some(ty) = ty else { return Value::Null };
    match (ty.parts_for(Some(value)), value) {
        (Parts { map: Some(map), .. }, Value::Object(found)) => {
            if found.is_empty() {
                return if keep == Keep::Others {
                    Value::Null
                } else {
                    value.clone()
                };
            }
            if map.relation == MapRelation::Atomic {
                return whole(value, keep);
            }
            pick_fields(ty, map, found, fields, keep)
        }
        (Parts { map: Some(_), .. }, _) => Value::Null,
        (Parts { scalar: Some(_), .. }, value) => value.clone(),
        (Parts { list: Some(list), .. }, Value::Array(found)) => {
            if found.is_empty() {
                return if keep == Keep::Others {
                    Value::Null
                } else {
                    value.clone()
                };
            }
            if list.is_atomic() {
                return whole(value, keep);
            }
            pick_items(ty, list, found, fields, keep)
        }
        _ => Value::Null,
    }
}

/// What is left of something that has no parts, some of which were named.
fn whole(value: &Value, keep: Keep) -> Value {
    match keep {
        Keep::Named => value.clone(),
        Keep::Others | Keep::OthersAndContainers => Value::Null,
    }
}

fn pick_items(ty: TypeRef<'_>, list: &ListType, found: &[Value], fields: &FieldSet, keep: Keep) -> Value {
    let mut kept = Vec::new();
    for item in found {
        // Items without a name cannot be named; the caller has validated the list.
        let node = items::element_of(ty, list, item)
            .ok()
            .and_then(|element| fields.node(&element));
        let named = node.is_some_and(|node| node.member);
        let below = node.and_then(|node| node.below.as_deref());
        match (keep, named, below) {
            (Keep::Others | Keep::OthersAndContainers, true, _) | (Keep::Named, false, None) => {}
            (_, _, Some(below)) => kept.push(pick(Some(ty.item_of(list)), item, below, keep)),
            (_, _, None) => kept.push(item.clone()),
        }
    }
    if kept.is_empty() {
        keep.emptied(Value::Array(kept))
    } else {
        Value::Array(kept)
    }
}

fn pick_fields(ty: TypeRef<'_>, map: &MapType, found: &Map<String, Value>, fields: &FieldSet, keep: Keep) -> Value {
    let mut kept = Map::new();
    for (name, value) in found {
        let node = fields.field_node(name);
        let named = node.is_some_and(|node| node.member);
        let below = node.and_then(|node| node.below.as_deref());
        let value = match (keep, named, below) {
            (Keep::Others | Keep::OthersAndContainers, true, _) | (Keep::Named, false, None) => continue,
            (Keep::Named, true, None) => pick(ty.field_of(map, name), value, &FieldSet::new(), keep),
            (_, _, Some(below)) => pick(ty.field_of(map, name), value, below, keep),
            (Keep::Others | Keep::OthersAndContainers, false, None) => value.clone(),
        };
        kept.insert(name.clone(), value);
    }
    if kept.is_empty() {
        keep.emptied(Value::Object(kept))
    } else {
        Value::Object(kept)
    }
}
