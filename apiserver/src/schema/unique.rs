//! Lists whose entries are unique: sets, and maps written as lists, whose entries have keys. Upstream's
//! `apiserver/schema/listtype`, and how it finds an entry's counterpart in the list before an update.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use breakbulk_schemas::field::{ErrorKind, FieldError};
use serde_json::{Map, Value};

use super::trail::Trail;
use super::validate::{MAX_ERRORS, shown};
use super::{HEAD, ListKind, Node};

/// Lists up to this long are compared pair by pair, which takes no memory.
const SHORT: usize = 8;

/// What an entry is told apart by.
#[derive(Clone, Copy)]
struct Identity<'a> {
    entry: &'a Value,
    /// None for a set, where it is the entry itself.
    keys: Option<&'a [String]>,
}

impl PartialEq for Identity<'_> {
    fn eq(&self, other: &Self) -> bool {
        match self.keys {
            None => self.entry == other.entry,
            Some(keys) => keys.iter().all(|key| self.entry.get(key) == other.entry.get(key)),
        }
    }
}

impl Eq for Identity<'_> {}

impl Hash for Identity<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.keys {
            None => self.entry.hash(state),
            Some(keys) => keys.iter().for_each(|key| self.entry.get(key).hash(state)),
        }
    }
}

impl Identity<'_> {
    /// As a message quotes it: the entry of a set, the keys of a map's.
    fn shown(&self) -> String {
        match self.keys {
            None => shown(self.entry),
            Some(keys) => {
                let given = keys
                    .iter()
                    .filter_map(|key| Some((key.clone(), self.entry.get(key)?.clone())));
                shown(&Value::Object(given.collect()))
            }
        }
    }
}

/// Every entry that is there twice, told once, in all lists of an object that must have none.
pub(super) fn validate(root: &Node, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Value::Object(map) = object {
        members(root, map, &Trail::Root, &mut errors);
    }
    errors
}

fn members(node: &Node, map: &Map<String, Value>, trail: &Trail<'_>, errors: &mut Vec<FieldError>) {
    for (name, value) in map {
        if matches!(trail, Trail::Root) && HEAD.contains(&name.as_str()) {
            continue;
        }
        if let Some((child, trail)) = node.step(name, trail) {
            below(child, value, &trail, errors);
        }
    }
}

fn below(node: &Node, value: &Value, trail: &Trail<'_>, errors: &mut Vec<FieldError>) {
    if !node.within.lists || errors.len() >= MAX_ERRORS {
        return;
    }
    match value {
        Value::Object(map) => members(node, map, trail, errors),
        Value::Array(list) => {
            entries(node, list, trail, errors);
            if let Some(items) = &node.items {
                for (index, item) in list.iter().enumerate() {
                    below(items, item, &Trail::Index(trail, index), errors);
                }
            }
        }
        _ => {}
    }
}

fn entries(node: &Node, list: &[Value], trail: &Trail<'_>, errors: &mut Vec<FieldError>) {
    let keys = match &node.list {
        ListKind::Atomic => return,
        ListKind::Set => None,
        ListKind::Map(keys) => {
            if let Some(index) = list.iter().position(|entry| !entry.is_object() && !entry.is_null()) {
                let detail = "must be an object for an array of list-type map";
                let error = FieldError::new(Trail::Index(trail, index).path(), ErrorKind::Invalid, detail);
                errors.push(FieldError {
                    value: Some(shown(&list[index])),
                    ..error
                });
                return;
            }
            Some(keys.as_slice())
        }
    };
    for index in repeated(list, keys) {
        if errors.len() >= MAX_ERRORS {
            return;
        }
        let identity = Identity {
            entry: &list[index],
            keys,
        };
        let error = FieldError::new(Trail::Index(trail, index).path(), ErrorKind::Duplicate, "");
        errors.push(FieldError {
            value: Some(identity.shown()),
            ..error
        });
    }
}

/// Whether any element is there twice.
pub(super) fn has_repeated(list: &[Value]) -> bool {
    !repeated(list, None).is_empty()
}

/// The places where an entry stands for the second time.
fn repeated(list: &[Value], keys: Option<&[String]>) -> Vec<usize> {
    let identity = |entry| Identity { entry, keys };
    let mut found = Vec::new();
    if list.len() <= SHORT {
        for (index, entry) in list.iter().enumerate() {
            let before = list[..index]
                .iter()
                .filter(|other| identity(other) == identity(entry))
                .count();
            if before == 1 {
                found.push(index);
            }
        }
        return found;
    }
    let mut seen = HashMap::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let times = seen.entry(identity(entry)).or_insert(0_usize);
        *times += 1;
        if *times == 2 {
            found.push(index);
        }
    }
    found
}

/// A list as it was before an update, in which an entry's counterpart is looked up.
pub(super) struct Earlier<'a> {
    old: &'a [Value],
    keys: &'a [String],
    /// Made when an entry does not stand where it stood.
    index: Option<HashSet<Identity<'a>>>,
}

impl<'a> Earlier<'a> {
    /// Of lists other than maps nothing can be told: they are compared as a whole.
    pub(super) fn of(kind: &'a ListKind, old: Option<&'a [Value]>) -> Self {
        let (old, keys) = match (kind, old) {
            (ListKind::Map(keys), Some(old)) => (old, keys.as_slice()),
            _ => (&[][..], &[][..]),
        };
        Self { old, keys, index: None }
    }

    /// The entry with the same keys, if there was one.
    pub(super) fn counterpart(&mut self, at: usize, entry: &'a Value) -> Option<&'a Value> {
        if self.old.is_empty() || !entry.is_object() {
            return None;
        }
        let keys = Some(self.keys);
        let wanted = Identity { entry, keys };
        let same_place = self.old.get(at).map(|entry| Identity { entry, keys });
        if let Some(same) = same_place.filter(|same| *same == wanted) {
            return Some(same.entry);
        }
        let old = self.old;
        let index = self
            .index
            .get_or_insert_with(|| old.iter().map(|entry| Identity { entry, keys }).collect());
        index.get(&wanted).map(|found| found.entry)
    }
}
