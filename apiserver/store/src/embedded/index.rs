//! The state in memory: every key with its versions, and the history of changes.
//!
//! Pure and synchronous: no disk, no threads. It is what readers read, what watchers walk through, and what recovery
//! rebuilds. Revisions have no gaps here: the history holds exactly those after [`Index::compacted`], up to
//! [`Index::current`].

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::record::Millis;
use crate::{At, Error, Event, EventKind, KeyValue, Op, RangePage, RangeQuery, Result, Revision};

/// Where a fresh store begins.
pub(crate) const FIRST: Revision = Revision(1);

/// What one change costs in memory besides its keys and values: an estimate, for the bound on the history's size.
const CHANGE_OVERHEAD: usize = 256;

#[derive(Debug)]
struct Version {
    modified: Revision,
    created: Revision,
    /// `None`: deleted at `modified`.
    value: Option<Bytes>,
}

/// One committed transaction, as watchers see it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: Revision,
    pub(crate) at: Millis,
    pub(crate) events: Arc<[Event]>,
    bytes: usize,
}

/// The state and its history.
#[derive(Debug)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, Vec<Version>>,
    history: VecDeque<Change>,
    history_bytes: usize,
    current: Revision,
    compacted: Revision,
}

impl Index {
    /// A fresh, empty store.
    pub(crate) fn new() -> Self {
        Self::starting_at(FIRST)
    }

    /// An empty state at this revision, without history: a snapshot's items are then added with [`Index::restore`].
    pub(crate) fn starting_at(revision: Revision) -> Self {
        Self {
            keys: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            current: revision,
            compacted: revision,
        }
    }

    /// Adds a key-value of a snapshot.
    pub(crate) fn restore(&mut self, item: KeyValue) {
        let KeyValue {
            key,
            value,
            create_revision,
            mod_revision,
        } = item;
        let version = Version {
            modified: mod_revision,
            created: create_revision,
            value: Some(value),
        };
        self.keys.insert(key, vec![version]);
    }

    /// The newest revision.
    pub(crate) fn current(&self) -> Revision {
        self.current
    }

    /// The oldest revision whose state is known.
    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The key-value in the newest state.
    pub(crate) fn get(&self, key: &[u8]) -> Option<KeyValue> {
        let (key, versions) = self.keys.get_key_value(key)?;
        live(key, versions, self.current)
    }

    /// Whether the history still reaches the state after `revision`.
    pub(crate) fn check_reach(&self, revision: Revision) -> Result<()> {
        if revision > self.current {
            return Err(Error::Future {
                requested: revision,
                current: self.current,
            });
        }
        if revision.max(FIRST) < self.compacted {
            return Err(Error::Compacted {
                requested: revision,
                oldest: self.compacted,
            });
        }
        Ok(())
    }

    /// The key-values of a range.
    pub(crate) fn range(&self, query: &RangeQuery) -> Result<RangePage> {
        let revision = match query.at {
            At::Latest => self.current,
            At::Exactly(revision) => revision,
        };
        self.check_reach(revision)?;
        let mut page = RangePage {
            items: Vec::new(),
            more: false,
            count: 0,
            revision,
        };
        for item in self.live_in(&query.start, &query.end, revision) {
            page.count += 1;
            if query.limit == 0 || page.items.len() < query.limit {
                page.items.push(item);
            } else {
                page.more = true;
            }
        }
        Ok(page)
    }

    fn live_in<'a>(
        &'a self,
        start: &'a [u8],
        end: &'a [u8],
        revision: Revision,
    ) -> Box<dyn Iterator<Item = KeyValue> + 'a> {
        if !end.is_empty() && end <= start {
            return Box::new(std::iter::empty());
        }
        let upper = if end.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(end)
        };
        let range = self.keys.range::<[u8], _>((Bound::Included(start), upper));
        Box::new(range.filter_map(move |(key, versions)| live(key, versions, revision)))
    }

    /// Every key-value of the oldest state that is known: what a snapshot holds.
    pub(crate) fn oldest_state(&self) -> (Revision, Vec<KeyValue>) {
        (self.compacted, self.live_in(b"", b"", self.compacted).collect())
    }

    /// Applies a transaction whose compares hold, at the next revision. Deletes of absent keys must have been left out.
    pub(crate) fn apply(&mut self, at: Millis, ops: Vec<Op>) -> &Change {
        let revision = self.current.next();
        let mut bytes = CHANGE_OVERHEAD;
        let events: Arc<[Event]> = ops
            .into_iter()
            .map(|op| {
                let (event, keeps) = self.change(revision, op);
                bytes += keeps;
                event
            })
            .collect();
        self.current = revision;
        self.history_bytes += bytes;
        self.history.push_back(Change {
            revision,
            at,
            events,
            bytes,
        });
        self.history.back().expect("it was pushed just now")
    }

    /// The event, and the bytes that the history keeps alive by it.
    fn change(&mut self, revision: Revision, op: Op) -> (Event, usize) {
        let (key, value) = match op {
            Op::Put { key, value } => (key, Some(value)),
            Op::Delete { key } => (key, None),
        };
        let prev = self.get(&key);
        let keeps = key.len() + prev.as_ref().map_or(0, |kv| kv.value.len()) + size_of::<Event>();
        // The key is stored once: events and versions share the allocation that came first.
        let key = prev.as_ref().map_or(key, |kv| kv.key.clone());
        let created = match (&prev, &value) {
            (_, None) => Revision::ZERO,
            (Some(kv), _) => kv.create_revision,
            (None, _) => revision,
        };
        let version = Version {
            modified: revision,
            created,
            value: value.clone(),
        };
        match self.keys.get_mut(&key) {
            Some(versions) => versions.push(version),
            None => {
                self.keys.insert(key.clone(), vec![version]);
            }
        }
        let kind = if value.is_some() {
            EventKind::Put
        } else {
            EventKind::Delete
        };
        let value = value.unwrap_or_default();
        let kv = KeyValue {
            key,
            value,
            create_revision: created,
            mod_revision: revision,
        };
        (Event { kind, kv }, keeps)
    }

    /// Forgets what is older than `at`. Nothing happens if that is forgotten already.
    pub(crate) fn compact(&mut self, at: Revision) {
        let at = at.min(self.current);
        while self.history.front().is_some_and(|change| change.revision <= at) {
            let Some(change) = self.history.pop_front() else { break };
            self.history_bytes -= change.bytes;
            for event in &*change.events {
                self.forget_versions(&event.kv.key, at);
            }
        }
        self.compacted = self.compacted.max(at);
        // A burst must not keep its memory for ever.
        if self.history.capacity() > 1024 && self.history.len() < self.history.capacity() / 4 {
            self.history.shrink_to(self.history.len() * 2);
        }
    }

    fn forget_versions(&mut self, key: &Bytes, at: Revision) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        let newest_old = versions.partition_point(|version| version.modified <= at);
        if newest_old == 0 {
            return;
        }
        let keep_from = if versions[newest_old - 1].value.is_some() {
            newest_old - 1
        } else {
            newest_old
        };
        versions.drain(..keep_from);
        if versions.is_empty() {
            self.keys.remove(key);
        } else if versions.len() == 1 {
            versions.shrink_to_fit();
        }
    }

    /// The changes from this revision on, oldest first. It must be after [`Index::compacted`].
    pub(crate) fn changes_from(&self, revision: Revision) -> impl Iterator<Item = &Change> {
        let skip = usize::try_from(revision.0.saturating_sub(self.compacted.0 + 1)).unwrap_or(usize::MAX);
        self.history.range(skip.min(self.history.len())..)
    }

    /// How much history there is: changes, and bytes they keep in memory.
    pub(crate) fn history_size(&self) -> (usize, usize) {
        (self.history.len(), self.history_bytes)
    }

    /// The oldest changes, with what each keeps in memory: for deciding how much to forget.
    pub(crate) fn oldest_changes(&self) -> impl Iterator<Item = (Revision, Millis, usize)> {
        self.history
            .iter()
            .map(|change| (change.revision, change.at, change.bytes))
    }
}

fn live(key: &Bytes, versions: &[Version], revision: Revision) -> Option<KeyValue> {
    let version = versions.iter().rev().find(|version| version.modified <= revision)?;
    let value = version.value.clone()?;
    Some(KeyValue {
        key: key.clone(),
        value,
        create_revision: version.created,
        mod_revision: version.modified,
    })
}
