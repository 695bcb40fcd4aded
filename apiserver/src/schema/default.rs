//! Fills in what is left out, and drops the nulls that stand for "left out". Runs on writes and on reads, where objects
//! come back that were stored before the schema had its defaults.

use serde_json::Value;

use super::{Additional, Node, Schema};

impl Schema {
    /// Fills defaults in. A `null` that the schema does not allow counts as left out: it is replaced by the default or,
    /// where there is none, removed. In a list without a default for its items it stays, to be refused.
    pub fn default(&self, object: &mut Value) {
        fill(&self.root, object);
    }
}

fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                !value.is_null()
                    || node
                        .child(name)
                        .is_none_or(|child| child.nullable || child.default.is_some())
            });
            if node.fills {
                for (name, child) in &node.properties {
                    let Some(default) = &child.default else { continue };
                    if map.get(name).is_none_or(|value| value.is_null() && !child.nullable) {
                        map.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, inner) in map.iter_mut() {
                if let Some(child) = node.properties.get(name) {
                    fill(child, inner);
                } else if let Additional::Each(child) = &node.additional {
                    element(child, inner);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                list.iter_mut().for_each(|item| element(items, item));
            }
        }
        _ => {}
    }
}

fn element(node: &Node, value: &mut Value) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
    fill(node, value);
}
