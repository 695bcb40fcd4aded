//! Who belongs to whom, by uid: kept up to date by watches of metadata alone.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::ApiResource;

use crate::runtime::Key;

/// The finalizer of an owner that waits for its dependents to go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an owner whose dependents are to stay.
pub(super) const ORPHAN: &str = "orphan";

/// What is known of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) api: ApiResource,
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) finalizers: Vec<String>,
    pub(super) deleting: bool,
}

impl Node {
    /// Reads an object's metadata. An object without a uid is none.
    pub(super) fn of(api: ApiResource, metadata: &ObjectMeta) -> Option<Self> {
        Some(Self {
            api,
            key: Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone()?),
            uid: metadata.uid.clone()?,
            owners: metadata.owner_references.clone().unwrap_or_default(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
        })
    }

    pub(super) fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|own| own == name)
    }

    /// Whether it waits for its dependents to go first.
    pub(super) fn waits(&self) -> bool {
        self.deleting && self.has_finalizer(FOREGROUND)
    }

    /// Whether an owner reference of `dependent` can mean this node: same kind and name, and the same namespace or none.
    pub(super) fn is_meant(&self, reference: &OwnerReference, dependent: &Self) -> bool {
        let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
        self.uid == reference.uid
            && self.api.group == group
            && self.api.kind == reference.kind
            && self.key.name == reference.name
            && (self.key.namespace.is_empty() || self.key.namespace == dependent.key.namespace)
    }

    /// Whether this node's deletion in the foreground waits for `dependent`: what could never belong to it holds nothing.
    pub(super) fn is_blocked_by(&self, dependent: &Self) -> bool {
        dependent
            .owners
            .iter()
            .any(|owner| owner.block_owner_deletion == Some(true) && self.is_meant(owner, dependent))
    }
}

/// All of it. It holds metadata alone: about as much memory as the names, uids and references are long.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
    dependents: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Takes in an object. Returns the uids that are to be looked at.
    pub(super) fn put(&mut self, node: Node) -> Vec<String> {
        let old = self.nodes.get(&node.uid);
        if old.is_some_and(|old| *old == node) {
            return Vec::new();
        }
        let before: Vec<String> = old
            .into_iter()
            .flat_map(|old| &old.owners)
            .map(|owner| owner.uid.clone())
            .collect();
        for owner in &before {
            self.unlink(owner, &node.uid);
        }
        for owner in &node.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(node.uid.clone());
        }
        let mut look = before;
        if !node.owners.is_empty() || node.deleting {
            look.push(node.uid.clone());
        }
        if node.deleting {
            look.extend(self.dependents_of(&node.uid));
        }
        self.nodes.insert(node.uid.clone(), node);
        look
    }

    /// Takes in that an object is gone. Returns the uids that are to be looked at.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        let mut look = self.dependents_of(uid);
        for owner in &node.owners {
            self.unlink(&owner.uid, uid);
            look.push(owner.uid.clone());
        }
        look
    }

    /// The uids of all objects of a kind.
    pub(super) fn of_kind(&self, group: &str, kind: &str) -> Vec<String> {
        let nodes = self.nodes.values();
        let of_kind = nodes.filter(|node| node.api.group == group && node.api.kind == kind);
        of_kind.map(|node| node.uid.clone()).collect()
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Node> {
        self.dependents
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|uid| self.nodes.get(uid))
    }

    /// Whether a node that is deleted in the foreground has something to wait for. When all that it waits for waits too,
    /// and for it among others, it would be for ever: then it has not.
    pub(super) fn is_held(&self, node: &Node) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![node.uid.as_str()];
        let (mut held, mut circle) = (false, false);
        while let Some(waiting) = next.pop().and_then(|uid| self.nodes.get(uid)) {
            for dependent in self.dependents(&waiting.uid).filter(|of| waiting.is_blocked_by(of)) {
                if dependent.uid == node.uid {
                    circle = true;
                } else if !dependent.waits() {
                    return true;
                } else if seen.insert(dependent.uid.as_str()) {
                    held = true;
                    next.push(&dependent.uid);
                }
            }
        }
        held && !circle
    }

    fn dependents_of(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(list) = self.dependents.get_mut(owner) {
            list.remove(dependent);
            if list.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}
