//! What a transaction does and refuses, alone and beside others.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;

use super::{bytes, commit, current, events_until, get, put, watch};
use crate::{
    Compare, Error, KeyValue, MAX_KEY_BYTES, MAX_TXN_BYTES, MAX_TXN_OPS, Op, RangeQuery, Revision, Store, Txn,
    TxnOutcome,
};

pub(super) async fn an_empty_store_has_a_revision_that_is_not_zero(store: &dyn Store) {
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

pub(super) async fn a_check_tells_of_everything_that_was_answered_before(store: &dyn Store) {
    let written = put(store, "/a", "1").await;
    let condition = store.check().await.expect("the store is well");
    assert!(condition.revision >= written, "{condition:?}");
    assert_eq!(condition.failed_snapshots, 0);
}

pub(super) async fn what_was_put_is_read_back(store: &dyn Store) {
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

pub(super) async fn a_put_keeps_the_create_revision_until_a_delete(store: &dyn Store) {
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

pub(super) async fn a_create_of_what_exists_conflicts_and_shows_it(store: &dyn Store) {
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

pub(super) async fn an_update_from_an_old_revision_conflicts_and_changes_nothing(store: &dyn Store) {
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

pub(super) async fn a_delete_needs_the_right_revision(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    let outcome = store.txn(Txn::delete("/a", first)).await.expect("it is answered");
    assert!(matches!(outcome, TxnOutcome::Conflict { .. }));
    assert!(get(store, "/a").await.is_some());
    let revision = commit(store, Txn::delete("/a", second)).await;
    assert!(revision > second);
    assert_eq!(get(store, "/a").await, None);
}

pub(super) async fn deleting_what_is_absent_does_not_move_the_revision(store: &dyn Store) {
    let before = put(store, "/a", "1").await;
    assert_eq!(commit(store, Txn::remove("/none")).await, before);
    assert_eq!(commit(store, Txn::default()).await, before);
    assert_eq!(current(store).await, before);
}

pub(super) async fn a_transaction_applies_all_of_its_operations_at_one_revision(store: &dyn Store) {
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

pub(super) async fn one_failing_compare_stops_the_whole_transaction(store: &dyn Store) {
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

pub(super) async fn unusable_transactions_are_refused(store: &dyn Store) {
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

pub(super) async fn a_value_of_the_largest_size_is_stored(store: &dyn Store) {
    let value = Bytes::from(vec![b'x'; MAX_TXN_BYTES - 2]);
    commit(store, Txn::put("/a", value.clone())).await;
    assert_eq!(get(store, "/a").await.expect("it exists").value, value);
    let empty = commit(store, Txn::put("/e", "")).await;
    let kv = get(store, "/e").await.expect("an empty value is a value");
    assert_eq!((kv.value.len(), kv.mod_revision), (0, empty));
}

pub(super) async fn of_many_concurrent_creates_one_wins(store: &dyn Store) {
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

pub(super) async fn concurrent_increments_are_all_counted(store: &dyn Store) {
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

pub(super) async fn a_dropped_transaction_is_applied_whole_or_not_at_all(store: &dyn Store) {
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
