//! The conformance suite: what every [`Store`] promises, one case each.
//!
//! A case gets a store that nobody else writes to (with etcd: other clusters' users may have, before), and panics when
//! a promise is broken. Cases expect revisions to grow, not to grow by one. Run them with [`CASES`]; the crate's own
//! tests do for both stores, and a third implementation should.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;

use crate::{
    At, Compare, Error, Event, EventKind, KeyValue, MAX_KEY_BYTES, MAX_TXN_BYTES, MAX_TXN_OPS, Op, RangeQuery, Result,
    Revision, Store, Txn, TxnOutcome, WatchBatch, WatchStream,
};

/// How long anything may take before a case gives up waiting for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running case.
pub type CaseFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A case: its name, and what runs it.
pub type Case = (&'static str, fn(&dyn Store) -> CaseFuture<'_>);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// Every case.
        pub const CASES: &[Case] = &[$((stringify!($name), |store| Box::pin($name(store)))),*];
    };
}

cases![
    an_empty_store_has_a_revision_that_is_not_zero,
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
    a_range_is_ordered_and_bounded,
    a_range_is_read_in_pages_of_one_state,
    a_range_at_an_old_revision_shows_the_old_state,
    a_read_in_the_future_is_refused,
    a_read_before_the_compaction_is_refused_and_at_it_is_not,
    compacting_twice_or_backwards_is_no_error_and_in_the_future_is,
    a_watch_delivers_changes_in_order_with_what_was_before,
    a_watch_sees_only_its_prefix,
    a_watch_begins_where_it_is_told,
    a_watch_from_before_the_compaction_ends_with_compacted,
    a_watch_from_the_compaction_sees_everything_after_it,
    a_delete_at_the_compaction_revision_is_seen_or_refused,
    the_changes_of_one_revision_come_in_one_batch,
    a_large_revision_comes_in_one_batch,
    a_watch_catches_up_over_a_long_history,
    progress_tells_an_idle_watch_where_it_is,
    a_watch_resumed_from_its_last_batch_misses_and_repeats_nothing,
    many_watches_see_the_same,
    a_dropped_transaction_is_applied_whole_or_not_at_all,
];

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

async fn an_empty_store_has_a_revision_that_is_not_zero(store: &dyn Store) {
    assert!(current(store).await > Revision::ZERO);
    let page = store
        .range(RangeQuery::prefix("/none/"))
        .await
        .expect("an empty range is answered");
    assert_eq!((page.items.len(), page.count, page.more), (0, 0, false));
    assert!(page.revision > Revision::ZERO);
    let mut from_zero = watch(store, "/none/", Revision::ZERO).await;
    let revision = put(store, "/none/a", "1").await;
    let events = events_until(store, &mut from_zero, revision)
        .await
        .expect("a watch from zero sees everything");
    assert_eq!(events.len(), 1);
}

async fn what_was_put_is_read_back(store: &dyn Store) {
    let before = current(store).await;
    assert_eq!(get(store, "/a").await, None);
    let revision = put(store, "/a", "one").await;
    assert!(revision > before);
    let expected = KeyValue {
        key: bytes("/a"),
        value: bytes("one"),
        create_revision: revision,
        mod_revision: revision,
    };
    let (found, at) = store.get(b"/a").await.expect("a get is answered");
    assert_eq!(found, Some(expected));
    assert!(at >= revision);
    assert!(current(store).await >= revision);
}

async fn a_put_keeps_the_create_revision_until_a_delete(store: &dyn Store) {
    let created = put(store, "/a", "1").await;
    let changed = put(store, "/a", "2").await;
    let kv = get(store, "/a").await.expect("it exists");
    assert_eq!((kv.create_revision, kv.mod_revision), (created, changed));
    commit(store, Txn::remove("/a")).await;
    assert_eq!(get(store, "/a").await, None);
    let again = put(store, "/a", "3").await;
    let kv = get(store, "/a").await.expect("it exists again");
    assert_eq!((kv.create_revision, kv.mod_revision), (again, again));
}

async fn a_create_of_what_exists_conflicts_and_shows_it(store: &dyn Store) {
    let revision = commit(store, Txn::create("/a", "mine")).await;
    let outcome = store.txn(Txn::create("/a", "yours")).await.expect("it is answered");
    let TxnOutcome::Conflict { current, revision: at } = outcome else {
        panic!("a second create: {outcome:?}")
    };
    let [Some(kv)] = current.as_slice() else {
        panic!("what exists is shown: {current:?}")
    };
    assert_eq!((&kv.value[..], kv.mod_revision), (&b"mine"[..], revision));
    assert!(at >= revision);
}

async fn an_update_from_an_old_revision_conflicts_and_changes_nothing(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    let second = commit(store, Txn::update("/a", first, "2")).await;
    let before = current(store).await;
    let outcome = store
        .txn(Txn::update("/a", first, "late"))
        .await
        .expect("it is answered");
    assert!(matches!(outcome, TxnOutcome::Conflict { .. }));
    let kv = get(store, "/a").await.expect("it exists");
    assert_eq!((&kv.value[..], kv.mod_revision), (&b"2"[..], second));
    assert_eq!(current(store).await, before);
    let outcome = store
        .txn(Txn::update("/none", first, "x"))
        .await
        .expect("it is answered");
    assert!(matches!(outcome, TxnOutcome::Conflict { current, .. } if current == [None]));
}

async fn a_delete_needs_the_right_revision(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    let outcome = store.txn(Txn::delete("/a", first)).await.expect("it is answered");
    assert!(matches!(outcome, TxnOutcome::Conflict { .. }));
    assert!(get(store, "/a").await.is_some());
    let revision = commit(store, Txn::delete("/a", second)).await;
    assert!(revision > second);
    assert_eq!(get(store, "/a").await, None);
}

async fn deleting_what_is_absent_does_not_move_the_revision(store: &dyn Store) {
    let before = put(store, "/a", "1").await;
    assert_eq!(commit(store, Txn::remove("/none")).await, before);
    assert_eq!(commit(store, Txn::default()).await, before);
    assert_eq!(current(store).await, before);
}

async fn a_transaction_applies_all_of_its_operations_at_one_revision(store: &dyn Store) {
    put(store, "/gone", "x").await;
    let ops = vec![
        Op::Put {
            key: bytes("/a"),
            value: bytes("1"),
        },
        Op::Delete { key: bytes("/gone") },
        Op::Put {
            key: bytes("/b"),
            value: bytes("2"),
        },
    ];
    let compares = vec![
        Compare::Absent { key: bytes("/a") },
        Compare::Absent { key: bytes("/b") },
    ];
    let revision = commit(store, Txn { compares, ops }).await;
    assert_eq!(get(store, "/a").await.expect("put").mod_revision, revision);
    assert_eq!(get(store, "/b").await.expect("put").mod_revision, revision);
    assert_eq!(get(store, "/gone").await, None);
}

async fn one_failing_compare_stops_the_whole_transaction(store: &dyn Store) {
    let revision = put(store, "/a", "1").await;
    let compares = vec![
        Compare::ModRevision {
            key: bytes("/a"),
            equals: revision,
        },
        Compare::ModRevision {
            key: bytes("/b"),
            equals: revision,
        },
        Compare::ModRevision {
            key: bytes("/c"),
            equals: Revision::ZERO,
        },
    ];
    let ops = vec![
        Op::Put {
            key: bytes("/a"),
            value: bytes("2"),
        },
        Op::Put {
            key: bytes("/b"),
            value: bytes("2"),
        },
    ];
    let outcome = store.txn(Txn { compares, ops }).await.expect("it is answered");
    let TxnOutcome::Conflict { current, .. } = outcome else {
        panic!("it should conflict: {outcome:?}")
    };
    let [Some(a), None, None] = current.as_slice() else {
        panic!("one answer for each compare: {current:?}")
    };
    assert_eq!(&a.value[..], b"1");
    assert_eq!(&get(store, "/a").await.expect("unchanged").value[..], b"1");
    assert_eq!(get(store, "/b").await, None);
}

async fn unusable_transactions_are_refused(store: &dyn Store) {
    let before = current(store).await;
    let op = |key: &str| Op::Put {
        key: bytes(key),
        value: bytes("x"),
    };
    let unusable = [
        Txn {
            compares: vec![],
            ops: vec![op("")],
        },
        Txn {
            compares: vec![],
            ops: vec![op(&"k".repeat(MAX_KEY_BYTES + 1))],
        },
        Txn {
            compares: vec![],
            ops: vec![op("/a"), op("/a")],
        },
        Txn {
            compares: vec![],
            ops: vec![op("/a"), Op::Delete { key: bytes("/a") }],
        },
        Txn {
            compares: vec![],
            ops: (0..=MAX_TXN_OPS).map(|i| op(&format!("/{i}"))).collect(),
        },
        Txn::put("/a", vec![b'x'; MAX_TXN_BYTES + 1]),
    ];
    for txn in unusable {
        assert!(matches!(store.txn(txn).await, Err(Error::Invalid(_))));
    }
    assert_eq!(current(store).await, before);
}

async fn a_value_of_the_largest_size_is_stored(store: &dyn Store) {
    let value = Bytes::from(vec![b'x'; MAX_TXN_BYTES - 2]);
    commit(store, Txn::put("/a", value.clone())).await;
    assert_eq!(get(store, "/a").await.expect("it exists").value, value);
    let empty = commit(store, Txn::put("/e", "")).await;
    let kv = get(store, "/e").await.expect("an empty value is a value");
    assert_eq!((kv.value.len(), kv.mod_revision), (0, empty));
}

async fn of_many_concurrent_creates_one_wins(store: &dyn Store) {
    let outcomes = join_all((0..16).map(|i| store.txn(Txn::create("/a", i.to_string())))).await;
    let won = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(TxnOutcome::Committed { .. })))
        .count();
    assert_eq!(won, 1);
    let value = get(store, "/a").await.expect("one won").value;
    for outcome in outcomes {
        if let TxnOutcome::Conflict { current, .. } = outcome.expect("each is answered") {
            assert_eq!(current[0].as_ref().expect("the winner is shown").value, value);
        }
    }
}

async fn concurrent_increments_are_all_counted(store: &dyn Store) {
    put(store, "/n", "0").await;
    let add = async |times: usize| {
        for _ in 0..times {
            loop {
                let kv = get(store, "/n").await.expect("it exists");
                let n: u64 = std::str::from_utf8(&kv.value).expect("text").parse().expect("a number");
                let txn = Txn::update("/n", kv.mod_revision, (n + 1).to_string());
                if let TxnOutcome::Committed { .. } = store.txn(txn).await.expect("it is answered") {
                    break;
                }
            }
        }
    };
    join_all((0..8).map(|_| add(10))).await;
    assert_eq!(&get(store, "/n").await.expect("it exists").value[..], b"80");
}

async fn a_range_is_ordered_and_bounded(store: &dyn Store) {
    for key in ["/p/b", "/p/a", "/q", "/p/", "/p", "/p/a/deep", "/o"] {
        put(store, key, key).await;
    }
    put(store, "/p/gone", "x").await;
    commit(store, Txn::remove("/p/gone")).await;
    let page = store
        .range(RangeQuery::prefix("/p/"))
        .await
        .expect("a range is answered");
    assert_eq!(keys(&page.items), ["/p/", "/p/a", "/p/a/deep", "/p/b"]);
    assert_eq!((page.count, page.more), (4, false));
    let everything = store.range(RangeQuery::prefix("")).await.expect("a range is answered");
    assert_eq!(
        keys(&everything.items),
        ["/o", "/p", "/p/", "/p/a", "/p/a/deep", "/p/b", "/q"]
    );
    let backwards = RangeQuery {
        start: bytes("/q"),
        end: bytes("/p"),
        limit: 0,
        at: At::Latest,
    };
    assert_eq!(
        store.range(backwards).await.expect("an empty range is answered").items,
        []
    );
}

async fn a_range_is_read_in_pages_of_one_state(store: &dyn Store) {
    for i in 0..10 {
        put(store, &format!("/p/{i}"), "before").await;
    }
    let query = RangeQuery::prefix("/p/").limit(4);
    let first = store.range(query.clone()).await.expect("a page");
    assert_eq!((first.items.len(), first.more, first.count), (4, true, 10));
    commit(store, Txn::remove("/p/7")).await;
    put(store, "/p/8", "after").await;
    put(store, "/p/99", "after").await;
    let next = query.clone().at(At::Exactly(first.revision)).after(&first.items[3].key);
    let second = store.range(next.clone()).await.expect("a page");
    assert_eq!(keys(&second.items), ["/p/4", "/p/5", "/p/6", "/p/7"]);
    assert_eq!((second.more, second.count, second.revision), (true, 6, first.revision));
    let third = store.range(next.after(&second.items[3].key)).await.expect("a page");
    assert_eq!(keys(&third.items), ["/p/8", "/p/9"]);
    assert_eq!((third.more, third.count), (false, 2));
    assert!(third.items.iter().all(|kv| &kv.value[..] == b"before"));
}

async fn a_range_at_an_old_revision_shows_the_old_state(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    put(store, "/b", "1").await;
    let second = put(store, "/a", "2").await;
    let third = commit(store, Txn::remove("/a")).await;
    let at = async |revision| {
        let query = RangeQuery::prefix("/").at(At::Exactly(revision));
        let page = store.range(query).await.expect("an old state is answered");
        page.items
            .iter()
            .map(|kv| (kv.key.clone(), kv.value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(at(first).await, [(bytes("/a"), bytes("1"))]);
    assert_eq!(at(second).await, [(bytes("/a"), bytes("2")), (bytes("/b"), bytes("1"))]);
    assert_eq!(at(third).await, [(bytes("/b"), bytes("1"))]);
}

async fn a_read_in_the_future_is_refused(store: &dyn Store) {
    let revision = put(store, "/a", "1").await;
    let future = Revision(revision.0 + 1000);
    let read = store.range(RangeQuery::prefix("/").at(At::Exactly(future))).await;
    assert!(
        matches!(read, Err(Error::Future { requested, .. }) if requested == future),
        "{read:?}"
    );
    let error = watch_error(store, "/", future).await;
    assert!(matches!(error, Error::Future { .. }), "{error:?}");
}

async fn a_read_before_the_compaction_is_refused_and_at_it_is_not(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    put(store, "/a", "3").await;
    store.compact(second).await.expect("it compacts");
    let at = |revision| RangeQuery::prefix("/").at(At::Exactly(revision));
    let error = store.range(at(first)).await.expect_err("the old state is gone");
    assert!(
        matches!(error, Error::Compacted { requested, .. } if requested == first),
        "{error:?}"
    );
    assert!(error.needs_list());
    let page = store
        .range(at(second))
        .await
        .expect("the state at the compaction is there");
    assert_eq!(&page.items[0].value[..], b"2");
    assert_eq!(&get(store, "/a").await.expect("it exists").value[..], b"3");
}

async fn compacting_twice_or_backwards_is_no_error_and_in_the_future_is(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    store.compact(second).await.expect("it compacts");
    store.compact(second).await.expect("once more is fine");
    store.compact(first).await.expect("and so is further back");
    let error = store
        .compact(Revision(second.0 + 1000))
        .await
        .expect_err("the future can't be forgotten");
    assert!(matches!(error, Error::Future { .. }), "{error:?}");
}

async fn a_watch_delivers_changes_in_order_with_what_was_before(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/", from).await;
    let first = put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    let third = commit(store, Txn::remove("/a")).await;
    let events = events_until(store, &mut watching, third)
        .await
        .expect("the watch goes on");
    let kv = |value: &str, create_revision, mod_revision| KeyValue {
        key: bytes("/a"),
        value: bytes(value),
        create_revision,
        mod_revision,
    };
    let expected = [
        Event {
            kind: EventKind::Put,
            kv: kv("1", first, first),
            prev: None,
        },
        Event {
            kind: EventKind::Put,
            kv: kv("2", first, second),
            prev: Some(kv("1", first, first)),
        },
        Event {
            kind: EventKind::Delete,
            kv: kv("", Revision::ZERO, third),
            prev: Some(kv("2", first, second)),
        },
    ];
    assert_eq!(events, expected);
}

async fn a_watch_sees_only_its_prefix(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/p/", from).await;
    for key in ["/o", "/p", "/p/a", "/pa", "/p/", "/q"] {
        put(store, key, "x").await;
    }
    let last = current(store).await;
    let events = events_until(store, &mut watching, last)
        .await
        .expect("the watch goes on");
    assert_eq!(
        events.iter().map(|event| event.kv.key.clone()).collect::<Vec<_>>(),
        ["/p/a", "/p/"]
    );
}

async fn a_watch_begins_where_it_is_told(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    let second = put(store, "/b", "2").await;
    let third = put(store, "/c", "3").await;
    let mut from_first = watch(store, "/", first).await;
    let events = events_until(store, &mut from_first, third)
        .await
        .expect("the watch goes on");
    assert_eq!(
        events.iter().map(|event| event.kv.mod_revision).collect::<Vec<_>>(),
        [second, third]
    );
    let mut from_third = watch(store, "/", third).await;
    let fourth = put(store, "/d", "4").await;
    let events = events_until(store, &mut from_third, fourth)
        .await
        .expect("the watch goes on");
    assert_eq!(
        events.iter().map(|event| event.kv.mod_revision).collect::<Vec<_>>(),
        [fourth]
    );
}

async fn a_watch_from_before_the_compaction_ends_with_compacted(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    put(store, "/a", "2").await;
    put(store, "/a", "3").await;
    let last = put(store, "/a", "4").await;
    store.compact(last).await.expect("it compacts");
    let error = watch_error(store, "/", first).await;
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
}

async fn a_watch_from_the_compaction_sees_everything_after_it(store: &dyn Store) {
    put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    let third = put(store, "/b", "3").await;
    store.compact(second).await.expect("it compacts");
    let mut watching = watch(store, "/", second).await;
    let events = events_until(store, &mut watching, third)
        .await
        .expect("the watch goes on");
    assert_eq!(
        events.iter().map(|event| event.kv.mod_revision).collect::<Vec<_>>(),
        [third]
    );
}

async fn a_delete_at_the_compaction_revision_is_seen_or_refused(store: &dyn Store) {
    let put_at = put(store, "/a", "1").await;
    let deleted_at = commit(store, Txn::remove("/a")).await;
    put(store, "/b", "1").await;
    store.compact(deleted_at).await.expect("it compacts");
    match store.watch(bytes("/"), put_at).await {
        Err(error) => assert!(matches!(error, Error::Compacted { .. }), "{error:?}"),
        Ok(mut watching) => match batch(&mut watching).await {
            Ok(batch) => assert_eq!(batch.events[0].kind, EventKind::Delete),
            Err(error) => assert!(matches!(error, Error::Compacted { .. }), "{error:?}"),
        },
    }
}

async fn the_changes_of_one_revision_come_in_one_batch(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/", from).await;
    let mut written = 0;
    for round in 0..20 {
        let ops = (0..10).map(|i| Op::Put {
            key: bytes(format!("/{i}")),
            value: bytes(round.to_string()),
        });
        commit(
            store,
            Txn {
                compares: vec![],
                ops: ops.collect(),
            },
        )
        .await;
        written += 10;
    }
    let mut seen = 0;
    let mut last = Revision::ZERO;
    while seen < written {
        let events = batch(&mut watching).await.expect("the watch goes on").events;
        seen += events.len();
        for group in events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision) {
            assert_eq!(group.len(), 10, "a revision was split");
            assert!(group[0].kv.mod_revision > last);
            last = group[0].kv.mod_revision;
        }
    }
}

async fn a_large_revision_comes_in_one_batch(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/", from).await;
    // Twice, so that the second time what was before comes with it.
    for round in ["a", "b"] {
        let ops = (0..100).map(|i| Op::Put {
            key: bytes(format!("/{i:03}")),
            value: bytes(round.repeat(14_000)),
        });
        commit(
            store,
            Txn {
                compares: vec![],
                ops: ops.collect(),
            },
        )
        .await;
    }
    for _ in 0..2 {
        let mut events = batch(&mut watching).await.expect("the watch goes on").events;
        while events.is_empty() {
            events = batch(&mut watching).await.expect("the watch goes on").events;
        }
        assert_eq!(events.len() % 100, 0, "a revision was split");
        if events.len() == 200 {
            break;
        }
    }
}

async fn a_watch_catches_up_over_a_long_history(store: &dyn Store) {
    let from = current(store).await;
    for round in 0..30 {
        let ops = (0..100).map(|i| Op::Put {
            key: bytes(format!("/{i}")),
            value: bytes(round.to_string()),
        });
        commit(
            store,
            Txn {
                compares: vec![],
                ops: ops.collect(),
            },
        )
        .await;
    }
    let mut watching = watch(store, "/", from).await;
    let last = put(store, "/last", "x").await;
    let events = events_until(store, &mut watching, last)
        .await
        .expect("the watch goes on");
    assert_eq!(events.len(), 3001);
    assert!(events.is_sorted_by_key(|event| event.kv.mod_revision));
}

async fn progress_tells_an_idle_watch_where_it_is(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/idle/", from).await;
    let last = put(store, "/busy/a", "x").await;
    let events = events_until(store, &mut watching, last)
        .await
        .expect("the watch goes on");
    assert_eq!(events, []);
}

async fn a_watch_resumed_from_its_last_batch_misses_and_repeats_nothing(store: &dyn Store) {
    let from = current(store).await;
    for i in 0..50 {
        put(store, &format!("/{i}"), "x").await;
    }
    let last = current(store).await;
    let (mut position, mut seen) = (from, Vec::new());
    while position < last {
        let mut watching = watch(store, "/", position).await;
        let batch = batch(&mut watching).await.expect("the watch goes on");
        position = batch.revision;
        seen.extend(batch.events.into_iter().map(|event| event.kv.mod_revision));
        if position < last {
            put(store, "/0", "while it was away").await;
        }
    }
    assert!(seen.len() >= 50);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in order, each once");
}

async fn many_watches_see_the_same(store: &dyn Store) {
    let from = current(store).await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(watch(store, "/", from).await);
    }
    for i in 0..50 {
        put(store, &format!("/{}", i % 7), &i.to_string()).await;
    }
    let last = current(store).await;
    let all = join_all(watches.iter_mut().map(|watching| events_until(store, watching, last))).await;
    let first = all[0].as_ref().expect("the watch goes on");
    assert_eq!(first.len(), 50);
    for events in &all {
        assert_eq!(events.as_ref().expect("the watch goes on"), first);
    }
}

async fn a_dropped_transaction_is_applied_whole_or_not_at_all(store: &dyn Store) {
    for i in 0..20 {
        let ops = vec![
            Op::Put {
                key: bytes(format!("/a/{i}")),
                value: bytes("x"),
            },
            Op::Put {
                key: bytes(format!("/b/{i}")),
                value: bytes("x"),
            },
        ];
        let txn = store.txn(Txn { compares: vec![], ops });
        let _ = tokio::time::timeout(Duration::from_micros(i * 20), txn).await;
    }
    put(store, "/after", "x").await;
    let a = store
        .range(RangeQuery::prefix("/a/"))
        .await
        .expect("a range is answered");
    let b = store
        .range(RangeQuery::prefix("/b/"))
        .await
        .expect("a range is answered");
    let revisions = |items: &[KeyValue]| items.iter().map(|kv| kv.mod_revision).collect::<Vec<_>>();
    assert_eq!(revisions(&a.items), revisions(&b.items));
}
