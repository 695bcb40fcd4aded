//! The registry: the table of resources, where their objects are kept, and the one path by which all of them are
//! written. HTTP is above it, the cacher and the store below.
//!
//! The table changes while the server runs: CustomResourceDefinitions add rows and take them away. Whoever reads it holds
//! one [`Table`] for as long as it works on a request; a new one takes its place as a whole.

pub mod conversion;
mod core;
mod custom;
mod events;
pub mod metadata;
mod mistakes;
pub mod names;
pub mod object;
pub mod objects;
mod resource;
pub(crate) mod rules;
mod scale;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

pub(crate) use self::core::CONTAINER;
pub(crate) use events::SEEN as EVENT_SEEN;

pub use custom::{DefinitionError, Rows, rows as definition_rows};
pub use resource::{
    Accepting, Body, Definition, Field, Generation, NameRule, Resource, Rules, ScalePaths, Selectable, Storage, Sub,
    SubKind, Subresource,
};

/// Every key begins so.
pub const PREFIX: &str = "/registry/";

/// The table, as it is now.
pub struct Registry {
    table: RwLock<Arc<Table>>,
    generation: watch::Sender<u64>,
}

/// The table at one moment.
#[derive(Default)]
pub struct Table {
    generation: u64,
    resources: Vec<Arc<Resource>>,
    by_plural: HashMap<String, Vec<Arc<Resource>>>,
    by_prefix: HashMap<String, Arc<Storage>>,
}

impl Registry {
    /// Our own kinds and Kubernetes'.
    pub fn new() -> Self {
        let mut resources: Vec<Arc<Resource>> = Vec::new();
        for row in breakbulk_schemas::kinds::ALL {
            let rows = custom::own(row).expect("the kinds of this server have definitions that it accepts");
            resources.extend(rows.resources);
        }
        let jobs = resources.iter().find(|resource| resource.plural == "jobs");
        let jobs = jobs.expect("Job is one of the kinds of this server").storage.clone();
        resources.extend(core::rows(&jobs).into_iter().map(Arc::new));
        Self {
            table: RwLock::new(Arc::new(Table::new(0, resources))),
            generation: watch::Sender::new(0),
        }
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The resource of a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.table().find(group, version, plural).cloned()
    }

    /// Puts a table with other rows in the place of today's. One task does: the one that follows the definitions.
    pub fn replace(&self, resources: Vec<Arc<Resource>>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let generation = table.generation + 1;
        *table = Arc::new(Table::new(generation, resources));
        drop(table);
        self.generation.send_replace(generation);
    }

    /// Ticks when the table changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

impl Table {
    fn new(generation: u64, resources: Vec<Arc<Resource>>) -> Self {
        let mut by_plural: HashMap<String, Vec<Arc<Resource>>> = HashMap::new();
        let mut by_prefix = HashMap::new();
        for resource in &resources {
            by_plural
                .entry(resource.plural.clone())
                .or_default()
                .push(resource.clone());
            if !matches!(resource.body, Body::Absent) {
                by_prefix.insert(resource.storage.prefix.clone(), resource.storage.clone());
            }
        }
        Self {
            generation,
            resources,
            by_plural,
            by_prefix,
        }
    }

    /// How many tables there were before this one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All resources.
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// All storages, each once.
    pub fn storages(&self) -> impl Iterator<Item = &Arc<Storage>> {
        self.by_prefix.values()
    }

    /// The resource of a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        let of_name = self.by_plural.get(plural)?;
        of_name.iter().find(|r| r.group == group && r.version == version)
    }

    /// The storage that a key belongs to, and what is left of the key: `namespace/name` or `name`.
    pub fn locate<'k>(&self, key: &'k [u8]) -> Option<(&Arc<Storage>, &'k str)> {
        let key = std::str::from_utf8(key).ok()?;
        let mut slashes = key.match_indices('/').map(|(at, _)| at + 1).skip(2);
        let (one, two) = (slashes.next()?, slashes.next());
        // A group's kinds stand one level deeper, and a core kind may have a group's name.
        let found = two.and_then(|two| self.by_prefix.get(&key[..two]).map(|storage| (storage, two)));
        let found = found.or_else(|| self.by_prefix.get(&key[..one]).map(|storage| (storage, one)));
        found.map(|(storage, end)| (storage, &key[end..]))
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
        let table = registry.table();
        let (storage, rest) = table.locate(b"/registry/breakbulk.dev/jobs/default/a").unwrap();
        assert_eq!(
            (storage.prefix.as_str(), rest),
            ("/registry/breakbulk.dev/jobs/", "default/a")
        );
        assert!(Arc::ptr_eq(
            &registry.find("breakbulk.dev", "v1", "jobs").unwrap().storage,
            storage
        ));
        let (storage, rest) = table.locate(b"/registry/nodes/n1").unwrap();
        assert_eq!((storage.prefix.as_str(), rest), ("/registry/nodes/", "n1"));
        assert!(table.locate(b"/registry/unknown/a").is_none());
        assert!(table.locate(b"").is_none());
    }

    #[test]
    fn both_groups_of_events_share_one_storage() {
        let registry = Registry::new();
        let (old, new) = (
            registry.find("", "v1", "events").unwrap(),
            registry.find("events.k8s.io", "v1", "events").unwrap(),
        );
        assert!(Arc::ptr_eq(&old.storage, &new.storage));
    }
}
