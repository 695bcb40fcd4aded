//! The feed: lists the store once, then follows it for good and applies every batch to the caches. When the history it
//! needs is gone it lists again, and the watchers with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use breakbulk_store::{At, Error, Event, EventKind, RangeQuery, Revision, WatchBatch};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::Cacher;
use super::entry::Entry;
use super::storage::{Applier, Change, ChangeKind};
use crate::registry::{PREFIX, Registry, Storage, StorageId};

/// Objects read at a time while listing.
const PAGE: usize = 5_000;
/// Pause before the store is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Why the caches could not be filled at the start.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the store to fill the caches")]
pub struct FeedError(#[from] Error);

/// Follows the store.
pub struct Feed {
    cacher: Arc<Cacher>,
    registry: Arc<Registry>,
    from: Revision,
}

impl Feed {
    /// Fills the caches. After this they can be read, and [`Feed::run`] keeps them up to date.
    pub async fn fill(cacher: Arc<Cacher>, registry: Arc<Registry>) -> Result<Self, FeedError> {
        let mut feed = Self {
            cacher,
            registry,
            from: Revision::ZERO,
        };
        feed.list().await?;
        Ok(feed)
    }

    /// Follows the store until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.follow() => ended,
            };
            let listed = match ended {
                Error::Compacted { .. } => self.list().await,
                error => {
                    tracing::warn!(%error, "the watch on the store ended; watching again");
                    Ok(())
                }
            };
            if let Err(error) = listed {
                tracing::warn!(%error, "cannot list the store; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn list(&mut self) -> Result<(), Error> {
        let mut found: Vec<BTreeMap<Arc<str>, Arc<Entry>>> =
            self.registry.storages().iter().map(|_| BTreeMap::new()).collect();
        let mut query = RangeQuery::prefix(Bytes::from_static(PREFIX.as_bytes())).limit(PAGE);
        let revision = loop {
            let page = self.cacher.store.range(query.clone()).await?;
            for item in &page.items {
                if let Some((id, storage, key)) = self.registry.locate(&item.key) {
                    let key: Arc<str> = key.into();
                    let entry = Entry::new(storage, key.clone(), &item.value, item.mod_revision.0);
                    found[id.index()].insert(key, Arc::new(entry));
                }
            }
            match page.items.last() {
                Some(last) if page.more => query = query.after(&last.key).at(At::Exactly(page.revision)),
                _ => break page.revision,
            }
        };
        for (cache, objects) in self.cacher.caches.iter().zip(found) {
            cache.reset(objects, revision.0);
        }
        self.from = revision;
        self.cacher.reached.send_replace(revision.0);
        Ok(())
    }

    /// Follows the store until the watch ends; says why.
    async fn follow(&mut self) -> Error {
        let prefix = Bytes::from_static(PREFIX.as_bytes());
        let mut watch = match self.cacher.store.watch(prefix, self.from).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        loop {
            match watch.next().await {
                Some(Ok(batch)) => self.apply(&batch),
                Some(Err(error)) => return error,
                None => {
                    return Error::Unavailable {
                        message: "the watch ended".to_owned(),
                        source: None,
                    };
                }
            }
        }
    }

    fn apply(&mut self, batch: &WatchBatch) {
        // Mostly a batch is one event. Several are grouped by storage, so that each is locked and woken once.
        let mut located: Vec<(StorageId, &Storage, &str, &Event)> = batch
            .events
            .iter()
            .filter_map(|e| {
                self.registry
                    .locate(&e.kv.key)
                    .map(|(id, storage, key)| (id, storage, key, e))
            })
            .collect();
        located.sort_by_key(|(id, ..)| id.index());
        for group in located.chunk_by(|a, b| a.0 == b.0) {
            self.cacher.storage(group[0].0).apply(|applier| {
                for (_, storage, key, event) in group {
                    apply_one(applier, storage, key, event);
                }
            });
        }
        self.from = batch.revision;
        self.cacher.reached.send_replace(batch.revision.0);
    }
}

fn apply_one(applier: &mut Applier<'_>, storage: &Storage, key: &str, event: &Event) {
    let previous = applier.current(key);
    let revision = event.kv.mod_revision.0;
    match event.kind {
        EventKind::Put => {
            let key = previous.as_ref().map_or_else(|| key.into(), |p| p.key.clone());
            let entry = Arc::new(Entry::new(storage, key, &event.kv.value, revision));
            applier.push(Change {
                revision,
                kind: ChangeKind::Put,
                entry,
                previous,
            });
        }
        EventKind::Delete => {
            // What the cache never had, nobody has seen.
            let Some(previous) = previous else { return };
            let entry = Arc::new(previous.deleted_at(storage, revision));
            applier.push(Change {
                revision,
                kind: ChangeKind::Deleted,
                entry,
                previous: Some(previous),
            });
        }
    }
}
