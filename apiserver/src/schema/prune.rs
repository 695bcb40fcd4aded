//! Drops what a schema does not know. What an object carries as an embedded resource keeps its `apiVersion`, `kind` and
//! `metadata`, and of the latter what object metadata has (`super::embedded`).

use serde_json::{Map, Value};

use super::trail::Trail;
use super::{Additional, HEAD, Node, Schema, embedded};

impl Schema {
    /// Removes fields the schema does not know and names their paths, sorted: `spec.items[0].typo`. `apiVersion`,
    /// `kind` and `metadata` of the object itself stay.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Value::Object(map) = object {
            members(&self.root, map, Head::Kept, &Trail::Root, &mut unknown);
        }
        if self.root.within.embedded {
            embedded::prune(&self.root, object, &Trail::Root, &mut unknown);
        }
        unknown.sort();
        unknown
    }

    /// The same for a value that is no resource, unless the schema says it is.
    pub(crate) fn prune_value(&self, value: &mut Value) {
        let mut unknown = Vec::new();
        below(&self.root, value, &Trail::Root, &mut unknown);
        embedded::prune(&self.root, value, &Trail::Root, &mut unknown);
    }
}

/// Whether an object is a resource, whose head is not the schema's business.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    Kept,
    Pruned,
}

fn members(node: &Node, map: &mut Map<String, Value>, head: Head, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    map.retain(|name, value| {
        if head == Head::Kept && HEAD.contains(&name.as_str()) {
            return true;
        }
        if let Some(child) = node.properties.get(name) {
            below(child, value, &Trail::Field(trail, name), unknown);
            return true;
        }
        match &node.additional {
            Additional::Each(each) => below(each, value, &Trail::Key(trail, name), unknown),
            // Nothing is known of what is below, and what is not known is pruned.
            Additional::Any | Additional::Forbidden if !node.preserve_unknown => {
                nothing_known(value, &Trail::Key(trail, name), unknown);
            }
            Additional::None if !node.preserve_unknown => {
                unknown.push(Trail::Field(trail, name).dotted());
                return false;
            }
            _ => {}
        }
        true
    });
}

fn below(node: &Node, value: &mut Value, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let head = if node.embedded { Head::Kept } else { Head::Pruned };
            members(node, map, head, trail, unknown);
        }
        Value::Array(list) => {
            for (index, item) in list.iter_mut().enumerate() {
                let trail = Trail::Index(trail, index);
                match &node.items {
                    Some(items) => below(items, item, &trail, unknown),
                    None if node.preserve_unknown => {}
                    None => nothing_known(item, &trail, unknown),
                }
            }
        }
        _ => {}
    }
}

fn nothing_known(value: &mut Value, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            unknown.extend(map.keys().map(|name| Trail::Field(trail, name).dotted()));
            map.clear();
        }
        Value::Array(list) => {
            for (index, item) in list.iter_mut().enumerate() {
                nothing_known(item, &Trail::Index(trail, index), unknown);
            }
        }
        _ => {}
    }
}
