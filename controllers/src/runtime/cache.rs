//! The objects of one kind as last seen: filled by one watch, and by the answers to our own writes.
//!
//! Versions decide: an object is replaced only by a newer version of itself, so that a late watch event never takes
//! back what we wrote. One hook is told of every change, in order, with what was there before; it notes names
//! and keeps indices, and must return at once.
//!
//! It differs from `kube::runtime::reflector` in that deletions are told too, in that a write is visible before its
//! watch event arrives, and in that nothing is copied on the way in.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures::{StreamExt, pin_mut};
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// An object's namespace and name. The namespace is empty for what belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace, or empty.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object.
    pub fn of<K: ResourceExt>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    /// Another name in the same namespace.
    pub fn sibling(&self, name: impl Into<String>) -> Self {
        Self::new(self.namespace.clone(), name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// One change: what was there, what is there now. Never both absent.
#[derive(Debug)]
pub struct Change<'a, K> {
    /// Whose.
    pub key: &'a Key,
    /// What was known before.
    pub old: Option<&'a Arc<K>>,
    /// What is known now; absent: deleted.
    pub new: Option<&'a Arc<K>>,
}

impl<'a, K> Change<'a, K> {
    /// The newest that is known of it.
    pub fn latest(&self) -> Option<&'a Arc<K>> {
        self.new.or(self.old)
    }
}

/// Who is told of changes.
pub type Hook<K> = Box<dyn Fn(&Change<'_, K>) + Send + Sync>;

/// All objects of a kind.
pub struct Cache<K> {
    objects: RwLock<HashMap<Key, Arc<K>>>,
    /// Held while a change is made and its hooks are told, so that hooks see changes in order. The value is the
    /// newest version that the watch has shown: what is not newer than that is already known.
    writing: Mutex<u64>,
    hook: RwLock<Option<Hook<K>>>,
    ready: watch::Sender<bool>,
}

impl<K> fmt::Debug for Cache<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("ready", &*self.ready.borrow())
            .finish_non_exhaustive()
    }
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            objects: RwLock::default(),
            writing: Mutex::default(),
            hook: RwLock::default(),
            ready: watch::Sender::new(false),
        }
    }
}

/// An object's version as a number: the store's revision. Versions that are no numbers count as oldest.
pub fn version<K: ResourceExt>(object: &K) -> u64 {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

impl<K: ResourceExt> Cache<K> {
    /// Sets who is told of changes, in order. It must return at once, and must not write to this cache.
    pub fn set_hook(&self, hook: Hook<K>) {
        *self.hook.write().unwrap_or_else(PoisonError::into_inner) = Some(hook);
    }

    /// Nobody is told of changes any more.
    pub fn unhook(&self) {
        *self.hook.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read().get(key).cloned()
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().values().cloned().collect()
    }

    /// Tells when the first list is in.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Takes in what the server answered to a write of ours, unless something newer is known.
    pub fn written(&self, object: K) -> Arc<K> {
        let object = Arc::new(object);
        let seen = self.lock();
        if version(&*object) > *seen {
            self.put(&object);
        }
        object
    }

    fn put(&self, object: &Arc<K>) {
        let key = Key::of(&**object);
        let old = {
            let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
            if objects
                .get(&key)
                .is_some_and(|known| version(&**known) >= version(&**object))
            {
                return;
            }
            objects.insert(key.clone(), Arc::clone(object))
        };
        self.tell(&Change {
            key: &key,
            old: old.as_ref(),
            new: Some(object),
        });
    }

    fn take(&self, key: &Key) {
        let old = self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        if old.is_some() {
            self.tell(&Change {
                key,
                old: old.as_ref(),
                new: None,
            });
        }
    }

    fn tell(&self, change: &Change<'_, K>) {
        if let Some(hook) = &*self.hook.read().unwrap_or_else(PoisonError::into_inner) {
            hook(change);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Key, Arc<K>>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one event of the watch. `listed` collects a list until it is complete.
    fn event(&self, event: Event<K>, listed: &mut HashMap<Key, Arc<K>>) {
        let mut seen = self.lock();
        match event {
            Event::Apply(object) => {
                *seen = (*seen).max(version(&object));
                self.put(&Arc::new(object));
            }
            Event::Delete(object) => {
                *seen = (*seen).max(version(&object));
                let key = Key::of(&object);
                // A newer object of the same name may be known from our own write.
                let newer = self
                    .get(&key)
                    .is_some_and(|known| known.uid() != object.uid() && version(&*known) > version(&object));
                if !newer {
                    self.take(&key);
                }
            }
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                *seen = (*seen).max(version(&object));
                listed.insert(Key::of(&object), Arc::new(object));
            }
            Event::InitDone => {
                let gone: Vec<Key> = self
                    .read()
                    .keys()
                    .filter(|key| !listed.contains_key(*key))
                    .cloned()
                    .collect();
                gone.iter().for_each(|key| self.take(key));
                listed.drain().for_each(|(_, object)| self.put(&object));
                self.ready.send_replace(true);
            }
        }
    }
}

impl<K> Cache<K>
where
    K: kube::Resource + Clone + DeserializeOwned + fmt::Debug + Send + Sync + 'static,
{
    /// Watches for ever, listing again where the watch broke off. Ends only by being dropped.
    pub async fn watch(&self, api: kube::Api<K>, config: watcher::Config)
    where
        K::DynamicType: Default,
    {
        let kind = K::kind(&K::DynamicType::default()).into_owned();
        // The stream retries for ever, with a growing pause.
        #[allow(deprecated, reason = "the new name came with the last release")]
        let events = watcher::watcher(api, config).default_backoff();
        pin_mut!(events);
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.event(event, &mut listed),
                Err(error) => tracing::warn!(kind, error = %error, "the watch broke off; trying again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.uid = Some(uid.to_owned());
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    fn known(cache: &Cache<ConfigMap>, name: &str) -> Option<u64> {
        cache.get(&Key::new("", name)).map(|object| version(&*object))
    }

    #[test]
    fn a_late_event_does_not_take_back_what_we_wrote() {
        let cache = Cache::default();
        let mut list = HashMap::new();
        cache.event(Event::Apply(object("a", "1", 5)), &mut list);
        cache.written(object("a", "1", 9));
        cache.event(Event::Apply(object("a", "1", 7)), &mut list);
        assert_eq!(known(&cache, "a"), Some(9));
    }

    #[test]
    fn an_answer_that_comes_after_the_deletion_brings_nothing_back() {
        let cache = Cache::default();
        let mut list = HashMap::new();
        cache.event(Event::Apply(object("a", "1", 5)), &mut list);
        cache.event(Event::Delete(object("a", "1", 12)), &mut list);
        cache.written(object("a", "1", 9));
        assert_eq!(known(&cache, "a"), None);
    }

    #[test]
    fn a_new_list_replaces_what_was_known_and_says_what_is_gone() {
        let cache = Cache::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        cache.set_hook(Box::new(move |change: &Change<'_, ConfigMap>| {
            sink.lock()
                .unwrap()
                .push((change.key.name.clone(), change.new.is_some()));
        }));
        let mut list = HashMap::new();
        cache.event(Event::Apply(object("a", "1", 5)), &mut list);
        cache.event(Event::Init, &mut list);
        cache.event(Event::InitApply(object("b", "2", 6)), &mut list);
        cache.event(Event::InitDone, &mut list);
        assert_eq!((known(&cache, "a"), known(&cache, "b")), (None, Some(6)));
        let told = told.lock().unwrap().clone();
        assert_eq!(
            told,
            [("a".to_owned(), true), ("a".to_owned(), false), ("b".to_owned(), true)]
        );
    }
}
