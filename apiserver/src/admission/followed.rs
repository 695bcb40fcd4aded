//! What is made of the objects of some storages, and made anew when one of them changes: the hooks and the policies, parsed
//! and compiled once for many requests.

use std::sync::{Arc, PoisonError, RwLock};

use crate::registry::objects::Objects;
use crate::registry::{Resource, Storage};

/// The API group of everything that configures admission.
pub(super) const GROUP: &str = "admissionregistration.k8s.io";

/// A value that follows from objects in caches.
#[derive(Debug)]
pub(super) struct Followed<T> {
    made: RwLock<Option<(Vec<u64>, Arc<T>)>>,
}

impl<T> Default for Followed<T> {
    fn default() -> Self {
        Self {
            made: RwLock::new(None),
        }
    }
}

impl<T> Followed<T> {
    /// The value as of now, if it is made already.
    pub(super) fn known(&self, storages: &[&Storage]) -> Option<Arc<T>> {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        let (of, value) = made.as_ref()?;
        let now = storages.iter().map(|storage| storage.cache.applied());
        now.eq(of.iter().copied()).then(|| value.clone())
    }

    /// The value as of now. `make` gets the one before, so that what has not changed need not be made again.
    pub(super) fn get(&self, storages: &[&Storage], make: impl FnOnce(Option<&T>) -> T) -> Arc<T> {
        // First how far the caches are, then what is in them: a change in between is seen the next time.
        let now = || storages.iter().map(|storage| storage.cache.applied());
        let before = self.made.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((of, value)) = &before
            && now().eq(of.iter().copied())
        {
            return value.clone();
        }
        let now: Vec<u64> = now().collect();
        let value = Arc::new(make(before.as_ref().map(|(_, value)| &**value)));
        *self.made.write().unwrap_or_else(PoisonError::into_inner) = Some((now, value.clone()));
        value
    }
}

/// The row of one of the kinds that configure admission.
pub(super) fn row(objects: &Objects, plural: &str) -> Option<Arc<Resource>> {
    objects.registry.find(GROUP, "v1", plural)
}
