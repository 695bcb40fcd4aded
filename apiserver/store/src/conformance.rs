//! The conformance suite: what every [`Store`] promises, one case each.
//!
//! A case gets a store that nobody else writes to (with etcd: other clusters' users may have, before), and panics when
//! a promise is broken. Cases expect revisions to grow, not to grow by one. Run them with [`CASES`]; the crate's own
//! tests do for both stores, and a third implementation should.

mod ranges;
mod transactions;
mod watches;

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::{Error, Event, KeyValue, Op, Result, Revision, Store, Txn, TxnOutcome, WatchBatch, WatchStream};

/// How long anything may take before a case gives up waiting for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running case.
pub type CaseFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A case: its name, and what runs it.
pub type Case = (&'static str, fn(&dyn Store) -> CaseFuture<'_>);

macro_rules! cases {
    ($($area:ident { $($name:ident),* $(,)? })*) => {
        /// Every case.
        pub const CASES: &[Case] = &[$($((stringify!($name), |store| Box::pin($area::$name(store))),)*)*];
    };
}

cases! {
    transactions {
        an_empty_store_has_a_revision_that_is_not_zero,
        a_check_tells_of_everything_that_was_answered_before,
        what_was_put_is_read_back,
        a_put_keeps_the_create_revision_until_a_delete,
        a_create_of_what_exists_conflicts_and_shows_it,
        an_update_from_an_old_revision_conflicts_and_changes_nothing,
        a_delete_needs_the_right_revision,
        deleting_what_is_absent_does_not_move_the_revision,
        a_transaction_applies_all_of_its_operations_at_one_revision,
        one_failing_compare_stops_the_whole_transaction,
        unusable_transactions_are_refused,
        a_value_of_the_largest_size_is_stored,
        of_many_concurrent_creates_one_wins,
        concurrent_increments_are_all_counted,
        a_dropped_transaction_is_applied_whole_or_not_at_all,
    }
    ranges {
        a_range_is_ordered_and_bounded,
        a_range_is_read_in_pages_of_one_state,
        a_range_at_an_old_revision_shows_the_old_state,
        a_read_in_the_future_is_refused,
        a_read_before_the_compaction_is_refused_and_at_it_is_not,
        compacting_twice_or_backwards_is_no_error_and_in_the_future_is,
    }
    watches {
        a_watch_delivers_changes_in_order,
        a_watch_sees_only_its_prefix,
        a_watch_begins_where_it_is_told,
        a_watch_from_before_the_compaction_ends_with_compacted,
        a_watch_from_the_compaction_sees_everything_after_it,
        a_delete_at_the_compaction_revision_is_seen_or_refused,
        the_changes_of_one_revision_come_in_one_batch,
        large_revisions_come_whole,
        a_watch_catches_up_over_a_long_history,
        progress_tells_an_idle_watch_where_it_is,
        progress_is_told_when_what_the_watch_did_not_need_is_compacted,
        a_watch_resumed_from_its_last_batch_misses_and_repeats_nothing,
        many_watches_see_the_same,
    }
}

fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

/// Commits, or panics.
pub async fn commit(store: &dyn Store, txn: Txn) -> Revision {
    match store.txn(txn).await.expect("the transaction is answered") {
        TxnOutcome::Committed { revision } => revision,
        conflict @ TxnOutcome::Conflict { .. } => panic!("a transaction that should commit: {conflict:?}"),
    }
}

async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    commit(store, Txn::put(bytes(key), bytes(value))).await
}

/// Puts the same value under so many keys, all at one revision.
async fn put_together(store: &dyn Store, keys: usize, value: String) -> Revision {
    let value = bytes(value);
    let put = |key: usize| Op::Put {
        key: bytes(format!("/{key:03}")),
        value: value.clone(),
    };
    let txn = Txn {
        compares: vec![],
        ops: (0..keys).map(put).collect(),
    };
    commit(store, txn).await
}

async fn get(store: &dyn Store, key: &str) -> Option<KeyValue> {
    store.get(key.as_bytes()).await.expect("a get is answered").0
}

async fn current(store: &dyn Store) -> Revision {
    store.current_revision().await.expect("the revision is answered")
}

/// The next batch, or panics.
pub async fn batch(watch: &mut WatchStream) -> Result<WatchBatch> {
    tokio::time::timeout(PATIENCE, watch.next())
        .await
        .expect("a batch comes in time")
        .expect("the watch goes on")
}

/// All events until the watch has delivered everything up to `until`, asking for progress when needed.
///
/// # Errors
/// What the watch ended with.
pub async fn events_until(store: &dyn Store, watch: &mut WatchStream, until: Revision) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let started = std::time::Instant::now();
    loop {
        store.request_progress().await?;
        // A store may answer a request for progress with nothing while it is still catching up: ask again.
        match tokio::time::timeout(Duration::from_millis(200), watch.next()).await {
            Ok(batch) => {
                let batch = batch.expect("the watch goes on")?;
                events.extend(batch.events);
                if batch.revision >= until {
                    return Ok(events);
                }
            }
            Err(_) => assert!(started.elapsed() < PATIENCE, "the watch did not reach {until} in time"),
        }
    }
}

/// The same for a watch that goes on.
async fn seen_until(store: &dyn Store, watch: &mut WatchStream, until: Revision) -> Vec<Event> {
    events_until(store, watch, until).await.expect("the watch goes on")
}

/// The revisions of events.
fn revisions(events: &[Event]) -> Vec<Revision> {
    events.iter().map(|event| event.kv.mod_revision).collect()
}

async fn watch(store: &dyn Store, prefix: &str, from: Revision) -> WatchStream {
    store.watch(bytes(prefix), from).await.expect("a watch begins")
}

/// The error a watch ends with, whether at once or later.
async fn watch_error(store: &dyn Store, prefix: &str, from: Revision) -> Error {
    match store.watch(bytes(prefix), from).await {
        Err(error) => error,
        Ok(mut watch) => loop {
            if let Err(error) = batch(&mut watch).await {
                return error;
            }
        },
    }
}

fn keys(items: &[KeyValue]) -> Vec<String> {
    items
        .iter()
        .map(|kv| String::from_utf8_lossy(&kv.key).into_owned())
        .collect()
}
