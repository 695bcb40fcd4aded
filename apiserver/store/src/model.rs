//! The words of the store: revisions, key-values, transactions, ranges, watch events.
//!
//! Plain data without behaviour beyond small constructors. [`Bytes`] are shared: a value that the store holds, a cache
//! holds and a thousand watchers see is one allocation.

use std::fmt;

use bytes::Bytes;

/// A point in the store's history: one number for the whole store, which grows by one with every committed transaction
/// that changes something. A fresh store is at 1, as etcd is, so that no list ever answers with 0. `0` is before everything; it is also how "this key does not exist" is written in a compare.
///
/// With etcd, other users of the same cluster move the number too: it only ever grows, but not always by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before everything. No key was ever written at this revision.
    pub const ZERO: Self = Self(0);

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How a store is that takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Its revision.
    pub revision: Revision,
    /// Snapshots of its own log that could not be written since the last one that was: until one is, the log grows, on
    /// disk and in what the next start reads. None where the store has no such log.
    pub failed_snapshots: u64,
}

/// A key with its value, and when it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key. Keys are ordered bytewise.
    pub key: Bytes,
    /// The value, opaque to the store.
    pub value: Bytes,
    /// The revision at which the key was put while it did not exist. A delete ends it; the next put begins a new one.
    pub create_revision: Revision,
    /// The revision of the last put.
    pub mod_revision: Revision,
}

/// A condition that a transaction needs to hold at the moment it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key's last put happened at exactly this revision. [`Revision::ZERO`] means the same as [`Compare::Absent`].
    ModRevision {
        /// The key to look at.
        key: Bytes,
        /// What its [`KeyValue::mod_revision`] must be.
        equals: Revision,
    },
    /// The key does not exist.
    Absent {
        /// The key to look at.
        key: Bytes,
    },
}

impl Compare {
    /// The key this compare looks at.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::ModRevision { key, .. } | Self::Absent { key } => key,
        }
    }

    /// The mod revision the key must have; [`Revision::ZERO`] when it must not exist.
    #[must_use]
    pub fn expected(&self) -> Revision {
        match self {
            Self::ModRevision { equals, .. } => *equals,
            Self::Absent { .. } => Revision::ZERO,
        }
    }
}

/// One change inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Create the key or replace its value.
    Put {
        /// The key; must not be empty.
        key: Bytes,
        /// The new value.
        value: Bytes,
    },
    /// Remove the key. Removing what is not there changes nothing and is no error.
    Delete {
        /// The key; must not be empty.
        key: Bytes,
    },
}

impl Op {
    /// The key this operation changes.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// If all compares hold, apply all operations, atomically and at one revision.
///
/// A key may appear in at most one operation. Compares see the state before the transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold. Empty: nothing, the operations are applied in any case.
    pub compares: Vec<Compare>,
    /// What is then done, in order.
    pub ops: Vec<Op>,
}

impl Txn {
    /// Put the key whatever is there now.
    #[must_use]
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            compares: Vec::new(),
            ops: vec![Op::Put {
                key: key.into(),
                value: value.into(),
            }],
        }
    }

    /// Put the key if it does not exist.
    #[must_use]
    pub fn create(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self {
            compares: vec![Compare::Absent { key: key.clone() }],
            ops: vec![Op::Put {
                key,
                value: value.into(),
            }],
        }
    }

    /// Put the key if its last put was at `expected`.
    #[must_use]
    pub fn update(key: impl Into<Bytes>, expected: Revision, value: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self {
            compares: vec![Compare::ModRevision {
                key: key.clone(),
                equals: expected,
            }],
            ops: vec![Op::Put {
                key,
                value: value.into(),
            }],
        }
    }

    /// Delete the key if its last put was at `expected`.
    #[must_use]
    pub fn delete(key: impl Into<Bytes>, expected: Revision) -> Self {
        let key = key.into();
        Self {
            compares: vec![Compare::ModRevision {
                key: key.clone(),
                equals: expected,
            }],
            ops: vec![Op::Delete { key }],
        }
    }

    /// Delete the key whatever is there now.
    #[must_use]
    pub fn remove(key: impl Into<Bytes>) -> Self {
        Self {
            compares: Vec::new(),
            ops: vec![Op::Delete { key: key.into() }],
        }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Applied, and durable.
    Committed {
        /// The transaction's revision. When it changed nothing (only deletes of absent keys, or no operations), the
        /// store's revision at that moment, which it did not move.
        revision: Revision,
    },
    /// A compare did not hold; nothing changed.
    Conflict {
        /// What the compared keys hold, in the order of the compares.
        current: Vec<Option<KeyValue>>,
        /// The store's revision at that moment.
        revision: Revision,
    },
}

/// Which state a read sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum At {
    /// The newest state: it contains every transaction that was answered before the read began.
    #[default]
    Latest,
    /// The state right after this revision.
    Exactly(Revision),
}

/// A read of the keys in `start..end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuery {
    /// The first key, inclusive.
    pub start: Bytes,
    /// The end, exclusive. Empty: to the very last key.
    pub end: Bytes,
    /// At most so many items; `0` is no limit.
    pub limit: usize,
    /// Which state to read.
    pub at: At,
}

impl RangeQuery {
    /// Everything under a prefix, newest state, no limit.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = crate::prefix_end(&start);
        Self {
            start,
            end,
            limit: 0,
            at: At::Latest,
        }
    }

    /// The same range at this state.
    #[must_use]
    pub fn at(self, at: At) -> Self {
        Self { at, ..self }
    }

    /// The same range with at most `limit` items.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// The same range, starting right after `key`: the next page.
    #[must_use]
    pub fn after(self, key: &[u8]) -> Self {
        let mut start = Vec::with_capacity(key.len() + 1);
        start.extend_from_slice(key);
        start.push(0);
        Self {
            start: start.into(),
            ..self
        }
    }
}

/// What a range read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePage {
    /// The key-values in key order, at most the limit.
    pub items: Vec<KeyValue>,
    /// The range holds more than was returned.
    pub more: bool,
    /// How many keys the whole range holds at that state, whatever the limit.
    pub count: u64,
    /// The state that was read: for [`At::Latest`] the store's revision at that moment, else the one asked for. A next
    /// page asks for `At::Exactly` this.
    pub revision: Revision,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created or its value replaced. Created when both revisions of [`Event::kv`] are the same.
    Put,
    /// It was deleted.
    Delete,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key-value after it. For a delete: the key, an empty value, `create_revision` zero, and the revision of the
    /// deletion as `mod_revision`.
    pub kv: KeyValue,
}

/// What a watch delivers at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchBatch {
    /// All matching events of one or more whole revisions, oldest first. A revision is never split between two batches.
    /// Empty: nothing matched, but time has moved.
    pub events: Vec<Event>,
    /// Everything up to here, inclusive, has been delivered. A watch resumed from here misses and repeats nothing.
    pub revision: Revision,
}
