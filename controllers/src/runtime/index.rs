//! Objects of one kind by something they belong to: jobs by their run, members by their group. Kept by a cache's hook,
//! so that a reconciler finds its children without looking at everybody's.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Change, Key};

/// An index. What an object belongs to must follow from the object alone.
pub struct Index<K> {
    of: fn(&K) -> Option<Key>,
    groups: RwLock<HashMap<Key, BTreeMap<Key, Arc<K>>>>,
}

impl<K> fmt::Debug for Index<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

impl<K> Index<K> {
    /// An empty index by `of`.
    pub fn new(of: fn(&K) -> Option<Key>) -> Self {
        Self {
            of,
            groups: RwLock::default(),
        }
    }

    /// Takes in a change.
    pub fn changed(&self, change: &Change<'_, K>) {
        let before = change.old.and_then(|object| (self.of)(object));
        let after = change.new.and_then(|object| (self.of)(object));
        if before.is_none() && after.is_none() {
            return;
        }
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before.filter(|before| after.as_ref() != Some(before))
            && let Some(group) = groups.get_mut(&before)
        {
            group.remove(change.key);
            if group.is_empty() {
                groups.remove(&before);
            }
        }
        if let (Some(after), Some(object)) = (after, change.new) {
            groups
                .entry(after)
                .or_default()
                .insert(change.key.clone(), Arc::clone(object));
        }
    }

    /// What belongs to `owner`, by key.
    pub fn get(&self, owner: &Key) -> Vec<Arc<K>> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups
            .get(owner)
            .map(|group| group.values().cloned().collect())
            .unwrap_or_default()
    }
}
