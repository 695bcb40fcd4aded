//! The registry: the table of resources, where their objects are kept, and the one path by which all of them are
//! written. HTTP is above it, the cacher and the store below.

mod core;
mod custom;
mod events;
pub mod metadata;
mod mistakes;
pub mod object;
pub mod objects;
mod resource;
mod rules;

use std::collections::HashMap;
use std::sync::Arc;

pub use resource::{Body, Conversion, NameRule, Resource, Rules, Selectable, Storage, StorageId, Subresources};

/// Every key begins so.
pub const PREFIX: &str = "/registry/";

/// The table.
pub struct Registry {
    resources: Vec<Arc<Resource>>,
    storages: Vec<Storage>,
    by_prefix: HashMap<String, StorageId>,
}

impl Registry {
    /// Our own kinds and Kubernetes'.
    pub fn new() -> Self {
        let mut resources = Vec::new();
        let mut storages = Vec::new();
        for row in breakbulk_schemas::kinds::all() {
            let (resource, storage) = custom::row(&row, StorageId::new(storages.len()));
            resources.push(resource);
            storages.push(storage);
        }
        let (core_resources, core_storages) = core::rows(storages.len());
        resources.extend(core_resources);
        storages.extend(core_storages);
        let by_prefix = storages
            .iter()
            .enumerate()
            .map(|(i, s)| (s.prefix.clone(), StorageId::new(i)))
            .collect();
        Self {
            resources: resources.into_iter().map(Arc::new).collect(),
            storages,
            by_prefix,
        }
    }

    /// All resources.
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// All storages, in the order of their ids.
    pub fn storages(&self) -> &[Storage] {
        &self.storages
    }

    /// One storage.
    pub fn storage(&self, id: StorageId) -> &Storage {
        &self.storages[id.index()]
    }

    /// The resource of a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources
            .iter()
            .find(|r| r.plural == plural && r.group == group && r.version == version)
    }

    /// The storage that a key belongs to, and what is left of the key: `namespace/name` or `name`.
    pub fn locate<'k>(&self, key: &'k [u8]) -> Option<(StorageId, &Storage, &'k str)> {
        let key = std::str::from_utf8(key).ok()?;
        let mut slashes = key.match_indices('/').map(|(at, _)| at + 1).skip(2);
        let (one, two) = (slashes.next()?, slashes.next());
        let id = self.by_prefix.get(&key[..one]).map(|id| (*id, one));
        let id = id.or_else(|| two.and_then(|two| self.by_prefix.get(&key[..two]).map(|id| (*id, two))));
        id.map(|(id, end)| (id, self.storage(id), &key[end..]))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_located_in_its_storage() {
        let registry = Registry::new();
        let (id, storage, rest) = registry.locate(b"/registry/breakbulk.dev/jobs/default/a").unwrap();
        assert_eq!(
            (storage.prefix.as_str(), rest),
            ("/registry/breakbulk.dev/jobs/", "default/a")
        );
        assert_eq!(registry.find("breakbulk.dev", "v1", "jobs").unwrap().storage, id);
        let (_, storage, rest) = registry.locate(b"/registry/nodes/n1").unwrap();
        assert_eq!((storage.prefix.as_str(), rest), ("/registry/nodes/", "n1"));
        assert!(registry.locate(b"/registry/unknown/a").is_none());
        assert!(registry.locate(b"").is_none());
    }

    #[test]
    fn both_groups_of_events_share_one_storage() {
        let registry = Registry::new();
        let (old, new) = (
            registry.find("", "v1", "events"),
            registry.find("events.k8s.io", "v1", "events"),
        );
        assert_eq!(old.unwrap().storage, new.unwrap().storage);
    }
}
