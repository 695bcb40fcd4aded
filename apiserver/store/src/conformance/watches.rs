//! What watches deliver, where they begin and how they end.

use futures::future::join_all;

use super::{
    batch, bytes, commit, current, events_until, put, put_together, revisions, seen_until, watch, watch_error,
};
use crate::{Error, Event, EventKind, KeyValue, Revision, Store, Txn};

pub(super) async fn a_watch_delivers_changes_in_order(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/", from).await;
    let first = put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    let third = commit(store, Txn::remove("/a")).await;
    let events = seen_until(store, &mut watching, third).await;
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
        },
        Event {
            kind: EventKind::Put,
            kv: kv("2", first, second),
        },
        Event {
            kind: EventKind::Delete,
            kv: kv("", Revision::ZERO, third),
        },
    ];
    assert_eq!(events, expected);
}

pub(super) async fn a_watch_sees_only_its_prefix(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/p/", from).await;
    for key in ["/o", "/p", "/p/a", "/pa", "/p/", "/q"] {
        put(store, key, "x").await;
    }
    let last = current(store).await;
    let events = seen_until(store, &mut watching, last).await;
    assert_eq!(
        events.iter().map(|event| event.kv.key.clone()).collect::<Vec<_>>(),
        ["/p/a", "/p/"]
    );
}

pub(super) async fn a_watch_begins_where_it_is_told(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    let second = put(store, "/b", "2").await;
    let third = put(store, "/c", "3").await;
    let mut from_first = watch(store, "/", first).await;
    let events = seen_until(store, &mut from_first, third).await;
    assert_eq!(revisions(&events), [second, third]);
    let mut from_third = watch(store, "/", third).await;
    let fourth = put(store, "/d", "4").await;
    let events = seen_until(store, &mut from_third, fourth).await;
    assert_eq!(revisions(&events), [fourth]);
}

pub(super) async fn a_watch_from_before_the_compaction_ends_with_compacted(store: &dyn Store) {
    let first = put(store, "/a", "1").await;
    put(store, "/a", "2").await;
    put(store, "/a", "3").await;
    let last = put(store, "/a", "4").await;
    store.compact(last).await.expect("it compacts");
    let error = watch_error(store, "/", first).await;
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
}

pub(super) async fn a_watch_from_the_compaction_sees_everything_after_it(store: &dyn Store) {
    put(store, "/a", "1").await;
    let second = put(store, "/a", "2").await;
    let third = put(store, "/b", "3").await;
    store.compact(second).await.expect("it compacts");
    let mut watching = watch(store, "/", second).await;
    let events = seen_until(store, &mut watching, third).await;
    assert_eq!(revisions(&events), [third]);
}

pub(super) async fn a_delete_at_the_compaction_revision_is_seen_or_refused(store: &dyn Store) {
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

pub(super) async fn the_changes_of_one_revision_come_in_one_batch(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/", from).await;
    let mut written = 0;
    for round in 0..20 {
        put_together(store, 10, round.to_string()).await;
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

pub(super) async fn large_revisions_come_whole(store: &dyn Store) {
    let from = current(store).await;
    // Together more than etcd sends at a time: it comes in pieces.
    for round in ["a", "b"] {
        put_together(store, 100, round.repeat(14_000)).await;
    }
    let mut watching = watch(store, "/", from).await;
    let mut seen = 0;
    while seen < 200 {
        let events = batch(&mut watching).await.expect("the watch goes on").events;
        assert_eq!(events.len() % 100, 0, "a revision was split");
        seen += events.len();
    }
}

pub(super) async fn a_watch_catches_up_over_a_long_history(store: &dyn Store) {
    let from = current(store).await;
    for round in 0..30 {
        put_together(store, 100, round.to_string()).await;
    }
    let mut watching = watch(store, "/", from).await;
    let last = put(store, "/last", "x").await;
    let events = seen_until(store, &mut watching, last).await;
    assert_eq!(events.len(), 3001);
    assert!(events.is_sorted_by_key(|event| event.kv.mod_revision));
}

pub(super) async fn progress_tells_an_idle_watch_where_it_is(store: &dyn Store) {
    let from = current(store).await;
    let mut watching = watch(store, "/idle/", from).await;
    let last = put(store, "/busy/a", "x").await;
    let events = seen_until(store, &mut watching, last).await;
    assert_eq!(events, []);
}

pub(super) async fn progress_is_told_when_what_the_watch_did_not_need_is_compacted(store: &dyn Store) {
    put(store, "/p/a", "1").await;
    let from = current(store).await;
    let mut watching = watch(store, "/p/", from).await;
    put(store, "/p/b", "1").await;
    put(store, "/p/b", "2").await;
    let last = commit(store, Txn::remove("/p/a")).await;
    let events = seen_until(store, &mut watching, last).await;
    assert_eq!(events.len(), 3);
    // As others do on a cluster that is shared: the state that was delivered can't be read any more.
    for key in ["/o/a", "/o/b", "/o/a"] {
        put(store, key, "x").await;
    }
    let last = current(store).await;
    store.compact(last).await.expect("it compacts");
    let events = seen_until(store, &mut watching, last).await;
    assert_eq!(events, []);
}

pub(super) async fn a_watch_resumed_from_its_last_batch_misses_and_repeats_nothing(store: &dyn Store) {
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

pub(super) async fn many_watches_see_the_same(store: &dyn Store) {
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
