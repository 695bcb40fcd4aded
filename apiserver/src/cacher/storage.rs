//! The cache of one storage: the objects in key order, and a ring of the latest changes that watchers read by cursor.
//! It is written by the feed alone. A reader holds the lock for as long as it takes to clone some `Arc`s.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use tokio::sync::watch;

use super::entry::Entry;

/// Changes kept for watchers that come back or are behind. At some 700 writes a second on one kind this is about ten
/// seconds; who is further behind lists again.
const RING_CHANGES: usize = 8192;
/// Bytes of objects kept by the ring, so that large ones do not make it a second database. What watchers were sent of
/// them is kept beside them: as much again at most in each of the two encodings.
const RING_BYTES: usize = 16 << 20;
/// Changes handed to a watcher at a time.
const BATCH: usize = 256;

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    /// When.
    pub revision: u64,
    /// What.
    pub kind: ChangeKind,
    /// The object after it; for a deletion the last one, at the deletion's revision.
    pub entry: Arc<Entry>,
    /// The object before it.
    pub previous: Option<Arc<Entry>>,
    line: OnceLock<(&'static str, Bytes)>,
    /// Boxed: mostly nobody watches in protobuf.
    frame: OnceLock<Box<(&'static str, Option<Bytes>)>>,
}

impl Change {
    /// A change that nobody has seen yet.
    pub fn new(revision: u64, kind: ChangeKind, entry: Arc<Entry>, previous: Option<Arc<Entry>>) -> Self {
        Self {
            revision,
            kind,
            entry,
            previous,
            line: OnceLock::new(),
            frame: OnceLock::new(),
        }
    }

    /// The event of a type (`ADDED`) as watchers get it who see the object as it is stored. It is encoded for the first
    /// of them and shared by the others; the few for whom it is an event of another type get their own.
    pub fn line(&self, event: &'static str, encode: impl Fn() -> Bytes) -> Bytes {
        let (made_for, line) = self.line.get_or_init(|| (event, encode()));
        if *made_for == event { line.clone() } else { encode() }
    }

    /// The same in protobuf, for those who watch in that; none where the object cannot be written so.
    pub fn frame(&self, event: &'static str, encode: impl Fn() -> Option<Bytes>) -> Option<Bytes> {
        let made = self.frame.get_or_init(|| Box::new((event, encode())));
        if made.0 == event { made.1.clone() } else { encode() }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Created or replaced.
    Put,
    /// Deleted.
    Deleted,
}

/// The watcher's history has been dropped: it has to list again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    /// The oldest revision a watch can start from.
    pub oldest: u64,
}

/// What a watcher gets.
#[derive(Debug)]
pub struct Batch {
    /// Changes in order; may be empty.
    pub changes: Vec<Arc<Change>>,
    /// Whether there is nothing more to read now.
    pub drained: bool,
}

/// Objects of a list, of one revision.
#[derive(Debug)]
pub struct Snapshot {
    /// In key order.
    pub entries: Vec<Arc<Entry>>,
    /// Every change up to here is in, none after it.
    pub revision: u64,
}

/// The cache of one storage.
#[derive(Debug)]
pub struct StorageCache {
    state: RwLock<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Arc<str>, Arc<Entry>>,
    ring: VecDeque<Arc<Change>>,
    ring_bytes: usize,
    /// The place of the ring's first change in the sequence of all changes.
    first: u64,
    /// All changes after this revision are in the ring.
    floor: u64,
    /// The revision of the last change.
    applied: u64,
    /// What it was last filled with holds everything up to here.
    filled: u64,
    watching: Watching,
}

/// Whether the cache may be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Watching {
    #[default]
    Open,
    /// Another storage has taken its place: watchers have to start there.
    Ended,
}

/// A watcher's place.
#[derive(Debug)]
pub struct Cursor {
    next: u64,
    changed: watch::Receiver<u64>,
}

impl Default for StorageCache {
    fn default() -> Self {
        Self::new()
    }
}

impl StorageCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self {
            state: RwLock::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts over with these objects at this revision; every watcher's cursor becomes too old.
    pub(super) fn reset(&self, objects: BTreeMap<Arc<str>, Arc<Entry>>, revision: u64) {
        let mut state = self.write();
        let gone = state.ring.len() as u64;
        state.first += gone + 1;
        state.ring = VecDeque::new();
        state.ring_bytes = 0;
        state.objects = objects;
        state.floor = revision;
        state.applied = revision;
        state.filled = revision;
        let next = state.first;
        drop(state);
        self.changed.send_replace(next);
    }

    /// Ends every watch, now and later: another storage has taken this one's place, or its kind is gone. Requests that
    /// have found it already may go on reading.
    pub fn retire(&self) {
        let mut state = self.write();
        state.watching = Watching::Ended;
        let next = state.first + state.ring.len() as u64;
        drop(state);
        self.changed.send_replace(next);
    }

    /// The revision of its last change.
    pub fn applied(&self) -> u64 {
        self.read().applied
    }

    /// Applies the changes of whole revisions, in order.
    pub(super) fn apply(&self, make: impl FnOnce(&mut Applier<'_>)) {
        let mut state = self.write();
        make(&mut Applier { state: &mut state });
        let next = state.first + state.ring.len() as u64;
        drop(state);
        self.changed.send_replace(next);
    }

    /// Ticks when something changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One object.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.read().objects.get(key).cloned()
    }

    /// The objects whose key begins with `prefix`, from `start` on. `reached` is a revision that the feed is known to
    /// have applied.
    pub fn list(&self, prefix: &str, start: Option<&str>, reached: u64) -> Snapshot {
        let state = self.read();
        Snapshot {
            entries: state.under(prefix, start),
            revision: state.applied.max(reached),
        }
    }

    /// A cursor that delivers every change after `revision`.
    pub fn watch_from(&self, revision: u64) -> Result<Cursor, TooOld> {
        let changed = self.changed.subscribe();
        let state = self.read();
        if revision < state.floor || state.watching == Watching::Ended {
            return Err(TooOld { oldest: state.floor });
        }
        let skip = state.ring.partition_point(|change| change.revision <= revision);
        Ok(Cursor {
            next: state.first + skip as u64,
            changed,
        })
    }

    /// The objects under a prefix and a cursor that goes on right after them.
    pub fn list_and_watch(&self, prefix: &str, reached: u64) -> (Snapshot, Cursor) {
        let changed = self.changed.subscribe();
        let state = self.read();
        let next = state.first + state.ring.len() as u64;
        let snapshot = Snapshot {
            entries: state.under(prefix, None),
            revision: state.applied.max(reached),
        };
        (snapshot, Cursor { next, changed })
    }

    /// What has happened since the cursor's last call.
    pub fn poll(&self, cursor: &mut Cursor) -> Result<Batch, TooOld> {
        cursor.changed.mark_unchanged();
        let state = self.read();
        let skip = cursor.next.checked_sub(state.first);
        let Some(skip) = skip.filter(|_| state.watching == Watching::Open) else {
            return Err(TooOld { oldest: state.floor });
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let changes: Vec<_> = state.ring.iter().skip(skip).take(BATCH).cloned().collect();
        cursor.next += changes.len() as u64;
        let drained = cursor.next >= state.first + state.ring.len() as u64;
        Ok(Batch { changes, drained })
    }
}

impl Cursor {
    /// Returns when there may be something new.
    pub async fn changed(&mut self) {
        // The sender lives as long as the server; when it is gone there is nothing to wait for.
        if self.changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl State {
    fn under(&self, prefix: &str, start: Option<&str>) -> Vec<Arc<Entry>> {
        let from = start.map_or(prefix, |s| s.max(prefix));
        let range = self.objects.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        range
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, entry)| entry.clone())
            .collect()
    }
}

/// Applies changes under one lock.
pub(super) struct Applier<'a> {
    state: &'a mut State,
}

impl Applier<'_> {
    /// Whether a change is in what the cache was filled with.
    pub(super) fn has(&self, revision: u64) -> bool {
        revision <= self.state.filled
    }

    /// The object before the change.
    pub(super) fn current(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.objects.get(key).cloned()
    }

    /// One change.
    pub(super) fn push(&mut self, change: Change) {
        let state = &mut *self.state;
        match change.kind {
            ChangeKind::Put => drop(state.objects.insert(change.entry.key.clone(), change.entry.clone())),
            ChangeKind::Deleted => drop(state.objects.remove(&change.entry.key)),
        }
        state.applied = change.revision;
        state.ring_bytes += change.entry.size();
        state.ring.push_back(Arc::new(change));
        while state.ring.len() > RING_CHANGES || (state.ring_bytes > RING_BYTES && state.ring.len() > 1) {
            if let Some(old) = state.ring.pop_front() {
                state.ring_bytes -= old.entry.size();
                state.floor = old.revision;
                state.first += 1;
            }
        }
    }
}
