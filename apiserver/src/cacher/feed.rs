//! The feed: lists the store once, then follows it for good and applies every batch to the caches. When the history it
//! needs is gone it lists again, and the watchers with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use breakbulk_store::{At, Error, Event, EventKind, RangeQuery, Revision, Store, WatchBatch};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Cacher;
use super::entry::Entry;
use super::storage::{Applier, Change, ChangeKind};
use crate::registry::{PREFIX, Registry, Storage};

/// Objects read at a time while listing.
const PAGE: usize = 5_000;
/// Pause before the store is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Why the caches could not be filled at the start.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the store to fill the caches")]
pub struct FeedError(#[from] Error);

/// Adoptions waiting: one task asks for them, and it waits for each.
const ADOPTIONS: usize = 4;

/// Follows the store.
pub struct Feed {
    cacher: Arc<Cacher>,
    registry: Arc<Registry>,
    from: Revision,
    adoptions: mpsc::Receiver<Adoption>,
    /// Filled, kept up to date, and not in the table yet.
    adopted: Vec<Arc<Storage>>,
    /// Not in the table any more, and kept up to date for the requests that found them there.
    leaving: Vec<Arc<Storage>>,
}

/// What the feed is asked for.
enum Adoption {
    Fill(Arc<Storage>, oneshot::Sender<Result<(), Error>>),
    Keep(Arc<Storage>, oneshot::Sender<Result<(), Error>>),
}

/// Asks the feed to fill storages.
#[derive(Clone)]
pub struct Adopt(mpsc::Sender<Adoption>);

impl Adopt {
    /// Fills a storage and keeps it up to date from then on. The registry's table may take it up after this.
    ///
    /// # Errors
    /// When the store cannot be read, or the server goes down.
    pub async fn adopt(&self, storage: Arc<Storage>) -> Result<(), Error> {
        self.ask(|done| Adoption::Fill(storage, done)).await
    }

    /// Keeps a storage up to date that is about to leave the table, until nobody reads it any more.
    ///
    /// # Errors
    /// When the server goes down.
    pub async fn keep(&self, storage: Arc<Storage>) -> Result<(), Error> {
        self.ask(|done| Adoption::Keep(storage, done)).await
    }

    async fn ask(&self, what: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Adoption) -> Result<(), Error> {
        let gone = || Error::Unavailable {
            message: "the caches are not kept any more".to_owned(),
            source: None,
        };
        let (done, answer) = oneshot::channel();
        self.0.send(what(done)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Feed {
    /// Fills the caches. After this they can be read, and [`Feed::run`] keeps them up to date.
    pub async fn fill(cacher: Arc<Cacher>, registry: Arc<Registry>) -> Result<(Self, Adopt), FeedError> {
        let (adopt, adoptions) = mpsc::channel(ADOPTIONS);
        let mut feed = Self {
            cacher,
            registry,
            from: Revision::ZERO,
            adoptions,
            adopted: Vec::new(),
            leaving: Vec::new(),
        };
        feed.list().await?;
        Ok((feed, Adopt(adopt)))
    }

    /// Before it runs: fills a storage that the table is about to take up, to the revision of the others or a newer one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn take_up(&mut self, storage: Arc<Storage>) -> Result<(), Error> {
        fill_one(&*self.cacher.store, &storage).await?;
        self.adopted.push(storage);
        Ok(())
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
        let table = self.registry.table();
        let mut found: HashMap<&str, BTreeMap<Arc<str>, Arc<Entry>>> = HashMap::new();
        let revision = read_all(&*self.cacher.store, PREFIX, |key, value, revision| {
            if let Some((storage, rest)) = table.locate(key) {
                let key: Arc<str> = rest.into();
                let entry = Entry::completed(storage, key.clone(), value, revision);
                found.entry(&storage.prefix).or_default().insert(key, Arc::new(entry));
            }
        })
        .await?;
        for storage in table.storages() {
            let objects = found.remove(storage.prefix.as_str()).unwrap_or_default();
            storage.cache.reset(objects, revision.0);
        }
        self.leaving.retain(|storage| Arc::strong_count(storage) > 1);
        for storage in self.adopted.iter().chain(&self.leaving) {
            fill_one(&*self.cacher.store, storage).await?;
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
            tokio::select! {
                batch = watch.next() => match batch {
                    Some(Ok(batch)) => self.apply(&batch),
                    Some(Err(error)) => return error,
                    None => {
                        return Error::Unavailable {
                            message: "the watch ended".to_owned(),
                            source: None,
                        };
                    }
                },
                Some(adoption) = self.adoptions.recv() => self.adopt(adoption).await,
            }
        }
    }

    /// Between two batches: what the storage is filled with may be newer than the last batch, and the changes up to there
    /// are left out when they come.
    async fn adopt(&mut self, adoption: Adoption) {
        let (storage, done) = match adoption {
            Adoption::Fill(storage, done) => (storage, done),
            Adoption::Keep(storage, done) => {
                self.leaving.retain(|other| Arc::strong_count(other) > 1);
                self.leaving.push(storage);
                drop(done.send(Ok(())));
                return;
            }
        };
        let filled = fill_one(&*self.cacher.store, &storage).await;
        if filled.is_ok() {
            self.adopted.retain(|other| other.prefix != storage.prefix);
            self.adopted.push(storage);
        }
        // Who asked may have gone; then nobody takes it up, and the next of the same place takes its place.
        drop(done.send(filled));
    }

    fn apply(&mut self, batch: &WatchBatch) {
        let table = self.registry.table();
        self.adopted
            .retain(|storage| !table.storages().any(|other| Arc::ptr_eq(other, storage)));
        self.leaving.retain(|storage| Arc::strong_count(storage) > 1);
        // Mostly a batch is one event. Several are grouped by storage, so that each is locked and woken once.
        let mut located: Vec<(&Arc<Storage>, &str, &Event)> = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            located.extend(table.locate(&event.kv.key).map(|(storage, key)| (storage, key, event)));
            located.extend(beside(&self.adopted, event));
            // Until the table is replaced it is in both places: the table's counts.
            let left = beside(&self.leaving, event);
            located.extend(left.filter(|(storage, ..)| !table.storages().any(|other| Arc::ptr_eq(other, storage))));
        }
        located.sort_by_key(|(storage, ..)| Arc::as_ptr(storage));
        for group in located.chunk_by(|a, b| Arc::ptr_eq(a.0, b.0)) {
            let storage = group[0].0;
            storage.cache.apply(|applier| {
                for (_, key, event) in group {
                    apply_one(applier, storage, key, event);
                }
            });
        }
        self.from = batch.revision;
        self.cacher.reached.send_replace(batch.revision.0);
    }
}

/// The storages beside the table that hold what an event is about.
fn beside<'a>(
    storages: &'a [Arc<Storage>],
    event: &'a Event,
) -> impl Iterator<Item = (&'a Arc<Storage>, &'a str, &'a Event)> {
    let key = std::str::from_utf8(&event.kv.key).unwrap_or("");
    storages.iter().filter_map(move |storage| {
        key.strip_prefix(storage.prefix.as_str())
            .map(|rest| (storage, rest, event))
    })
}

/// Reads everything under a prefix at one revision.
async fn read_all(store: &dyn Store, prefix: &str, mut take: impl FnMut(&[u8], Bytes, u64)) -> Result<Revision, Error> {
    let mut query = RangeQuery::prefix(Bytes::copy_from_slice(prefix.as_bytes())).limit(PAGE);
    loop {
        let page = store.range(query.clone()).await?;
        for item in &page.items {
            take(&item.key, item.value.clone(), item.mod_revision.0);
        }
        match page.items.last() {
            Some(last) if page.more => query = query.after(&last.key).at(At::Exactly(page.revision)),
            _ => return Ok(page.revision),
        }
    }
}

async fn fill_one(store: &dyn Store, storage: &Storage) -> Result<(), Error> {
    let mut objects = BTreeMap::new();
    let revision = read_all(store, &storage.prefix, |key, value, revision| {
        let key: Arc<str> = std::str::from_utf8(&key[storage.prefix.len()..]).unwrap_or("").into();
        objects.insert(key.clone(), Arc::new(Entry::completed(storage, key, value, revision)));
    })
    .await?;
    storage.cache.reset(objects, revision.0);
    Ok(())
}

fn apply_one(applier: &mut Applier<'_>, storage: &Storage, key: &str, event: &Event) {
    let revision = event.kv.mod_revision.0;
    if applier.has(revision) {
        return;
    }
    let previous = applier.current(key);
    match event.kind {
        EventKind::Put => {
            let key = previous.as_ref().map_or_else(|| key.into(), |p| p.key.clone());
            let entry = Arc::new(Entry::new(storage, key, event.kv.value.clone(), revision));
            applier.push(Change::new(revision, ChangeKind::Put, entry, previous));
        }
        EventKind::Delete => {
            // What the cache never had, nobody has seen.
            let Some(previous) = previous else { return };
            let entry = Arc::new(previous.at(revision));
            applier.push(Change::new(revision, ChangeKind::Deleted, entry, Some(previous)));
        }
    }
}
