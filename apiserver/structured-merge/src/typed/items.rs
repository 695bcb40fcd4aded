//! What names the items of an associative list: their key fields, or their value.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::FieldErrors;
use crate::fieldpath::PathElement;
use crate::schema::{ListRelation, ListType, TypeRef};

/// Where each element occurs in a list: at one place, or at several.
pub(super) type Index = BTreeMap<PathElement, Vec<usize>>;

/// Names an item of a list of this type. The message says why it has no name.
pub(super) fn element_of(ty: TypeRef<'_>, list: &ListType, item: &Value) -> Result<PathElement, String> {
    match &list.relation {
        ListRelation::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        ListRelation::Set => set_element(item),
        ListRelation::Keyed(keys) => keyed_element(ty.item_of(list), keys, item),
    }
}

fn set_element(item: &Value) -> Result<PathElement, String> {
    let wrong = match item {
        Value::Object(_) => "associative list without keys has an element that's a map type",
        Value::Array(_) => "not supported: associative list with lists as elements",
        Value::Null => "associative list without keys has an element that's an explicit null",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(PathElement::value(item.clone())),
    };
    Err(wrong.to_owned())
}

fn keyed_element(item_type: TypeRef<'_>, keys: &[Arc<str>], item: &Value) -> Result<PathElement, String> {
    let map = match item {
        Value::Object(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut fields = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(value) = map.get(key.as_ref()) {
            fields.push((key.clone(), value.clone()));
        } else if item_type.parts().map.is_none() {
            return Err(format!(
                "couldn't find default value for {key}: associative list may not have non-map types"
            ));
        } else if let Some(default) = item_type.default_of(key) {
            fields.push((key.clone(), default.clone()));
        }
        // A key field without a value takes part in the name by not being there.
    }
    if fields.is_empty() {
        let keys: Vec<_> = keys.iter().map(|key| crate::value::quote(key)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values \
             for any key fields)",
            keys.join(" ")
        ));
    }
    Ok(PathElement::key(fields))
}

/// Names every item of a list, in the order of the list. Items without a name are errors.
pub(super) fn elements(
    ty: TypeRef<'_>,
    list: &ListType,
    items: &[Value],
    errors: &mut FieldErrors,
) -> Vec<Option<PathElement>> {
    let named = items
        .iter()
        .enumerate()
        .map(|(at, item)| match element_of(ty, list, item) {
            Ok(element) => Some(element),
            Err(why) => {
                errors.push(format!("element {at}: {why}"));
                None
            }
        });
    named.collect()
}

/// Where each element occurs.
pub(super) fn index(elements: &[Option<PathElement>]) -> Index {
    let mut index = Index::new();
    for (at, element) in elements.iter().enumerate() {
        if let Some(element) = element {
            index.entry(element.clone()).or_default().push(at);
        }
    }
    index
}

/// The items of a list value; nothing for null and for what is no list.
pub(super) fn list_items(value: Option<&Value>) -> Option<&[Value]> {
    value.and_then(Value::as_array).map(Vec::as_slice)
}
