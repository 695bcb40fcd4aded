//! The [`Store`] trait: what the API server needs of a store, and nothing more.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

use crate::{Condition, KeyValue, RangePage, RangeQuery, Result, Revision, Txn, TxnOutcome, WatchBatch};

/// A running watch. It ends after its first error; dropping it ends the watch.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchBatch>> + Send + 'static>>;

/// Where a store's reads of the newest state are answered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadsFrom {
    /// This process's memory: as cheap as a copy, and never old.
    Memory,
    /// Another process.
    Network,
}

/// An ordered map from keys to opaque values with a history.
///
/// Every promise here is checked on each implementation by the conformance suite in `conformance`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The key's value in the newest state, and that state's revision. Linearizable: it sees every transaction that was
    /// answered before the call.
    async fn get(&self, key: &[u8]) -> Result<(Option<KeyValue>, Revision)>;

    /// Where [`Store::get`] is answered from: who has a copy of their own may begin from that instead.
    fn reads_from(&self) -> ReadsFrom;

    /// The keys of a range at one state.
    ///
    /// # Errors
    /// [`crate::Error::Compacted`] or [`crate::Error::Future`] when the history doesn't reach the revision asked for.
    async fn range(&self, query: RangeQuery) -> Result<RangePage>;

    /// Applies a transaction: checks its compares and, if they hold, applies its operations atomically at one new
    /// revision. Returns when that is durable.
    ///
    /// Cancelling the call (dropping the future) does not take the transaction back.
    ///
    /// # Errors
    /// [`crate::Error::Ambiguous`] when it can't be known whether it was applied; after every other error it was not.
    async fn txn(&self, txn: Txn) -> Result<TxnOutcome>;

    /// Delivers every change of the keys under `prefix` from revision `from + 1` on: in order, each once, all of one
    /// revision together. An empty prefix is every key. `from` may be the current revision or any older one that the
    /// history still reaches.
    ///
    /// The stream ends with [`crate::Error::Compacted`] when the history no longer reaches `from`, and with
    /// [`crate::Error::SlowWatcher`] when the reader falls too far behind. It never loses an event silently.
    ///
    /// # Errors
    /// The same errors may also be returned at once.
    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<WatchStream>;

    /// Asks that every watch soon delivers a batch, possibly without events, that says how far it has got: a cache
    /// that must serve the newest state learns by this that it has everything. A hint; may do nothing where watches are
    /// always up to date by themselves.
    async fn request_progress(&self) -> Result<()>;

    /// Forgets the history before `at`: states older than `at` can no longer be read, and no watch can start from
    /// before it. The state at `at` itself, and all later ones, stay. Compacting what is compacted already is no error.
    ///
    /// # Errors
    /// [`crate::Error::Future`] when `at` has not happened yet.
    async fn compact(&self, at: Revision) -> Result<()>;

    /// The store's revision. Linearizable.
    async fn current_revision(&self) -> Result<Revision>;

    /// How the store is. Answered by whoever writes, after what was handed over before: while writing hangs there is no
    /// answer, so callers bound the wait. Cheap: nothing is written.
    ///
    /// # Errors
    /// When the store takes no writes and will not by itself: it has failed, its writer is gone, it can't be reached. A
    /// disk that is full is no error here.
    async fn check(&self) -> Result<Condition>;
}

/// The end (exclusive) of the range of all keys that begin with `prefix`; empty, which means unbounded, when there is
/// none (an empty prefix, or one of only `0xff`).
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end.into()
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_after_it() {
        assert_eq!(prefix_end(b"/registry/jobs/"), &b"/registry/jobs0"[..]);
        assert_eq!(prefix_end(b"a\xff\xff"), &b"b"[..]);
    }

    #[test]
    fn a_prefix_without_an_end_is_unbounded() {
        assert_eq!(prefix_end(b""), &b""[..]);
        assert_eq!(prefix_end(b"\xff\xff"), &b""[..]);
    }
}
