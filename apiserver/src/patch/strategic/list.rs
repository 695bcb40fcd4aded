//! How lists merge: by key or as sets, with elements that say `$patch`, and in which order what comes out stands.
//!
//! Every step finds elements by a hash of their key: both lists come from clients and may be long.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::rules::Rules;
use super::{DIRECTIVE, bad_type, clean, merge_map};
use crate::patch::PatchError;

/// What tells the elements of a list apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Identity<'a> {
    /// A field of theirs.
    Key(&'a str),
    /// They themselves.
    Value,
}

/// Places of elements in a list, by what tells them apart.
struct Places<'a> {
    identity: Identity<'a>,
    places: HashMap<String, usize>,
}

impl Identity<'_> {
    fn of(self, element: &Value) -> Result<String, PatchError> {
        match (self, element) {
            (Self::Value, value) => Ok(value.to_string()),
            (Self::Key(key), Value::Object(map)) => match map.get(key) {
                Some(value) => Ok(value.to_string()),
                None => Err(PatchError::Malformed(format!(
                    "map: {element} does not contain declared merge key: {key}"
                ))),
            },
            (Self::Key(_), other) => Err(bad_type("map[string]interface {}", other)),
        }
    }
}

impl<'a> Places<'a> {
    fn of(list: &[Value], identity: Identity<'a>) -> Result<Self, PatchError> {
        let mut places = HashMap::with_capacity(list.len());
        for (place, element) in list.iter().enumerate() {
            places.entry(identity.of(element)?).or_insert(place);
        }
        Ok(Self { identity, places })
    }

    fn get(&self, element: &Value) -> Option<usize> {
        self.places.get(&self.identity.of(element).ok()?).copied()
    }
}

/// The kinds of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    Maps,
    Values,
}

/// What the elements of two lists are; none if there are no elements.
pub(super) fn elements(one: &[Value], other: &[Value]) -> Result<Option<Elements>, PatchError> {
    let mut all = one.iter().chain(other);
    let Some(first) = all.next() else { return Ok(None) };
    if first.is_array() {
        return Err(PatchError::Failed("lists of lists are not supported".to_owned()));
    }
    let kind = std::mem::discriminant(first);
    if all.any(|element| std::mem::discriminant(element) != kind) {
        return Err(PatchError::Malformed("list element types are not identical".to_owned()));
    }
    Ok(Some(if first.is_object() {
        Elements::Maps
    } else {
        Elements::Values
    }))
}

/// Merges `patch` into `original`.
pub(super) fn merge(
    original: Vec<Value>,
    patch: Vec<Value>,
    key: Option<&str>,
    rules: Rules<'_>,
) -> Result<Vec<Value>, PatchError> {
    match elements(&original, &patch)? {
        None => Ok(original),
        Some(Elements::Values) => {
            let identity = Identity::Value;
            let mut merged = original.clone();
            merged.extend(patch.iter().cloned());
            order(dedup(merged, identity)?, &patch, &original, identity)
        }
        Some(Elements::Maps) => {
            let Some(key) = key else {
                return Err(PatchError::Malformed(
                    "cannot merge lists without merge key for map".to_owned(),
                ));
            };
            let (original, patch) = directed(original, patch, key)?;
            let merged = by_key(original.clone(), patch.clone(), key, rules)?;
            order(merged, &patch, &original, Identity::Key(key))
        }
    }
}

/// The values of a list that are not in another.
pub(super) fn without(list: Vec<Value>, gone: &[Value]) -> Result<Vec<Value>, PatchError> {
    let gone = Places::of(gone, Identity::Value)?;
    Ok(list.into_iter().filter(|value| gone.get(value).is_none()).collect())
}

fn dedup(list: Vec<Value>, identity: Identity<'_>) -> Result<Vec<Value>, PatchError> {
    let first = Places::of(&list, identity)?;
    let kept = list.into_iter().enumerate();
    Ok(kept
        .filter(|(place, element)| first.get(element) == Some(*place))
        .map(|(_, element)| element)
        .collect())
}

/// Does what elements with `$patch` say. What is left of both lists comes back.
fn directed(original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut left, mut gone, mut replace) = (Vec::new(), Vec::new(), false);
    for element in patch {
        match element.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or("")) {
            None => left.push(element),
            Some("delete") => gone.push(element),
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(PatchError::Malformed(
                    "merging lists cannot yet be specified in the patch".to_owned(),
                ));
            }
            Some(_) => return Err(super::bad_directive(&element)),
        }
    }
    let gone = Places::of(&gone, Identity::Key(key))?;
    if replace {
        return Ok((left, Vec::new()));
    }
    // An element without the key is none of those that go.
    let original = original
        .into_iter()
        .filter(|element| gone.get(element).is_none())
        .collect();
    Ok((original, left))
}

/// Merges elements that have the same key, and adds the others.
fn by_key(mut merged: Vec<Value>, patch: Vec<Value>, key: &str, rules: Rules<'_>) -> Result<Vec<Value>, PatchError> {
    let identity = Identity::Key(key);
    let mut places = Places::of(&merged, identity)?;
    for mut element in patch {
        let id = identity.of(&element)?;
        match (places.places.get(&id), &mut element) {
            (Some(place), Value::Object(fields)) => {
                if let Value::Object(map) = &mut merged[*place] {
                    merge_map(map, std::mem::take(fields), rules)?;
                }
            }
            _ => {
                // Upstream adds it as it is, and its types drop what is null.
                clean(&mut element);
                places.places.insert(id, merged.len());
                merged.push(element);
            }
        }
    }
    Ok(merged)
}

/// The order of what came out: elements that `wanted` names stand in its order, the others in the order they had in
/// `had`, and where both say something of two elements, `had` decides.
pub(super) fn order(
    merged: Vec<Value>,
    wanted: &[Value],
    had: &[Value],
    identity: Identity<'_>,
) -> Result<Vec<Value>, PatchError> {
    let (wanted, had) = (Places::of(wanted, identity)?, Places::of(had, identity)?);
    for element in &merged {
        identity.of(element)?;
    }
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|element| wanted.get(element).is_some());
    named.sort_by_cached_key(|element| wanted.get(element));
    others.sort_by_cached_key(|element| had.get(element).unwrap_or(usize::MAX));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(left), Some(right)) = (others.peek(), named.peek()) {
        let left_first = matches!((had.get(left), had.get(right)), (Some(l), Some(r)) if l < r);
        result.extend(if left_first { others.next() } else { named.next() });
    }
    result.extend(named);
    result.extend(others);
    Ok(result)
}

/// Whether the elements of a patch stand in the order that the patch asks for.
pub(super) fn check_order(patch: &[Value], wanted: &[Value], identity: Identity<'_>) -> Result<(), PatchError> {
    let places = Places::of(wanted, identity)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut last = None;
    for element in patch.iter().filter(|element| element.get(DIRECTIVE).is_none()) {
        identity.of(element)?;
        let place = places.get(element);
        if place.is_none() || place <= last {
            return Err(PatchError::Malformed(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                show(patch),
                show(wanted)
            )));
        }
        last = place;
    }
    Ok(())
}

fn show(list: &[Value]) -> String {
    const MOST: usize = 20;
    let shown: Vec<String> = list.iter().take(MOST).map(Value::to_string).collect();
    let more = if list.len() > MOST { " ..." } else { "" };
    format!("[{}{more}]", shown.join(" "))
}

/// The fields of a map that are lists by name, as upstream reads them out of `map`.
pub(super) fn list_of(map: &Map<String, Value>, name: &str) -> Result<Option<Vec<Value>>, PatchError> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list.clone())),
        Some(other) => Err(bad_type("[]interface {}", other)),
    }
}
