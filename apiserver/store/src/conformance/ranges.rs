//! What is read, from the newest state and from older ones, and how those are forgotten.

use super::{bytes, commit, get, keys, put, watch_error};
use crate::{At, Error, RangeQuery, Revision, Store, Txn};

pub(super) async fn a_range_is_ordered_and_bounded(store: &dyn Store) {
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

pub(super) async fn a_range_is_read_in_pages_of_one_state(store: &dyn Store) {
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

pub(super) async fn a_range_at_an_old_revision_shows_the_old_state(store: &dyn Store) {
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

pub(super) async fn a_read_in_the_future_is_refused(store: &dyn Store) {
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

pub(super) async fn a_read_before_the_compaction_is_refused_and_at_it_is_not(store: &dyn Store) {
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

pub(super) async fn compacting_twice_or_backwards_is_no_error_and_in_the_future_is(store: &dyn Store) {
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
