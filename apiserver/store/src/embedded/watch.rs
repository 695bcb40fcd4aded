//! Watches: cursors into the history.
//!
//! A watch owns no queue and no copies. It has a slot that says from which revision on there may be something for it;
//! the writer sets that when it publishes a change under the watch's prefix, and wakes it. The watch then walks through
//! the shared history itself. So a slow reader costs nobody anything, and a change wakes only those it concerns. When
//! the history is forgotten before a watch has read it, the watch ends with an error that says so.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream;
use tokio::sync::Notify;

use super::Shared;
use super::index::{Change, Index};
use crate::{Error, Result, Revision, WatchBatch, WatchStream};

/// A batch is closed after so many events, at the end of a revision: enough to be cheap per event, little enough that
/// a reader that catches up holds no large piece of the history twice.
const BATCH_EVENTS: usize = 1024;

/// What the writer and a watch share.
#[derive(Debug)]
pub(crate) struct Slot {
    prefix: Bytes,
    /// The first revision that may hold something the watch has not seen; 0: there is none. Written by the writer under
    /// the state's write lock, by the watch under its read lock.
    pending: AtomicU64,
    /// The watch is to say how far it is, also when it has nothing to deliver.
    progress: AtomicBool,
    wake: Notify,
}

/// All running watches, by prefix.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    by_prefix: HashMap<Bytes, Vec<Arc<Slot>>>,
    /// How many prefixes have each length: a key is looked up once per length, however many watches there are.
    lengths: BTreeMap<usize, usize>,
}

impl Watchers {
    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, slot: &Arc<Slot>) {
        let mut registry = self.registry();
        let slots = registry.by_prefix.entry(slot.prefix.clone()).or_default();
        slots.push(Arc::clone(slot));
        if slots.len() == 1 {
            *registry.lengths.entry(slot.prefix.len()).or_default() += 1;
        }
    }

    fn remove(&self, slot: &Arc<Slot>) {
        let mut registry = self.registry();
        let Some(slots) = registry.by_prefix.get_mut(&slot.prefix) else {
            return;
        };
        slots.retain(|other| !Arc::ptr_eq(other, slot));
        if !slots.is_empty() {
            return;
        }
        registry.by_prefix.remove(&slot.prefix);
        let length = slot.prefix.len();
        if let Some(count) = registry.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                registry.lengths.remove(&length);
            }
        }
    }

    /// Marks the watches that a change concerns, and adds those that are to be woken. Under the state's write lock.
    pub(crate) fn mark(&self, change: &Change, wake: &mut Vec<Arc<Slot>>) {
        let registry = self.registry();
        for event in &*change.events {
            let key = &event.kv.key;
            for length in registry.lengths.range(..=key.len()).map(|(length, _)| *length) {
                for slot in registry.by_prefix.get(&key[..length]).into_iter().flatten() {
                    if slot.pending.load(Ordering::Relaxed) == 0 {
                        slot.pending.store(change.revision.0, Ordering::Relaxed);
                        wake.push(Arc::clone(slot));
                    }
                }
            }
        }
    }

    /// Wakes what [`Watchers::mark`] found.
    pub(crate) fn wake(slots: &[Arc<Slot>]) {
        for slot in slots {
            slot.wake.notify_one();
        }
    }

    /// Wakes every watch; with `progress`, each then says how far it is.
    pub(crate) fn wake_all(&self, ask: Ask) {
        for slot in self.registry().by_prefix.values().flatten() {
            if ask == Ask::Progress {
                slot.progress.store(true, Ordering::Relaxed);
            }
            slot.wake.notify_one();
        }
    }
}

/// Why all watches are woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// They are to say how far they are.
    Progress,
    /// They are to see that the store is closed.
    Close,
}

/// Begins a watch.
pub(crate) fn watch(shared: &Arc<Shared>, prefix: Bytes, from: Revision) -> Result<WatchStream> {
    let index = shared.read();
    index.check_reach(from)?;
    let pending = if from < index.current() {
        from.0.max(index.compacted().0) + 1
    } else {
        0
    };
    let slot = Arc::new(Slot {
        prefix,
        pending: AtomicU64::new(pending),
        progress: AtomicBool::new(false),
        wake: Notify::new(),
    });
    shared.watchers.add(&slot);
    drop(index);
    let watch = Watch {
        shared: Arc::clone(shared),
        slot,
        delivered: from,
    };
    Ok(Box::pin(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        let next = watch.next().await;
        let watch = if next.is_ok() { Some(watch) } else { None };
        Some((next, watch))
    })))
}

struct Watch {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    delivered: Revision,
}

impl Watch {
    async fn next(&mut self) -> Result<WatchBatch> {
        loop {
            if let Some(batch) = self.collect()? {
                self.delivered = batch.revision;
                return Ok(batch);
            }
            self.slot.wake.notified().await;
        }
    }

    /// The next batch that is there already.
    fn collect(&self) -> Result<Option<WatchBatch>> {
        let index = self.shared.read();
        let pending = Revision(self.slot.pending.load(Ordering::Relaxed));
        if pending == Revision::ZERO {
            if self.slot.progress.swap(false, Ordering::Relaxed) {
                return Ok(Some(WatchBatch {
                    events: Vec::new(),
                    revision: index.current(),
                }));
            }
            drop(index);
            return self.shared.check_open().map(|()| None);
        }
        if pending <= index.compacted() {
            return Err(Error::SlowWatcher {
                delivered: self.delivered,
                oldest: index.compacted(),
            });
        }
        let batch = read_batch(&index, pending, &self.slot.prefix);
        let rest = if batch.revision == index.current() {
            Revision::ZERO
        } else {
            batch.revision.next()
        };
        self.slot.pending.store(rest.0, Ordering::Relaxed);
        Ok(Some(batch))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.watchers.remove(&self.slot);
    }
}

fn read_batch(index: &Index, from: Revision, prefix: &[u8]) -> WatchBatch {
    let mut batch = WatchBatch {
        events: Vec::new(),
        revision: index.current(),
    };
    for change in index.changes_from(from) {
        batch.events.extend(
            change
                .events
                .iter()
                .filter(|event| event.kv.key.starts_with(prefix))
                .cloned(),
        );
        if batch.events.len() >= BATCH_EVENTS {
            batch.revision = change.revision;
            break;
        }
    }
    batch
}
