//! Export, import, and moving from one store to the other.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use breakbulk_store::embedded::{Embedded, Options};
use breakbulk_store::etcd::Etcd;
use breakbulk_store::testing::EtcdServer;
use breakbulk_store::transfer::{TransferError, copy, export, import};
use breakbulk_store::{RangeQuery, Store, Txn};
use bytes::Bytes;

fn embedded() -> (tempfile::TempDir, Embedded) {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), Options::default()).unwrap();
    (dir, store)
}

async fn contents(store: &dyn Store) -> Vec<(Bytes, Bytes)> {
    let page = store.range(RangeQuery::prefix("")).await.unwrap();
    page.items.into_iter().map(|kv| (kv.key, kv.value)).collect()
}

async fn fill(store: &dyn Store) {
    for i in 0..2500 {
        let value = vec![b'x'; i % 700];
        store
            .txn(Txn::put(format!("/registry/things/{i:05}"), value))
            .await
            .unwrap();
    }
    store.txn(Txn::put("/large", vec![b'y'; 1_400_000])).await.unwrap();
    store
        .txn(Txn::put(&b"/bytes/\xff\xfe"[..], &b"\x00\xff\n\""[..]))
        .await
        .unwrap();
    store.txn(Txn::put("/gone", "x")).await.unwrap();
    store.txn(Txn::remove("/gone")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_exported_is_imported_as_it_was() {
    let (_dir, store) = embedded();
    fill(&store).await;
    let mut file = Vec::new();
    let (items, revision) = export(&store, b"", &mut file).await.unwrap();
    assert_eq!((items, revision), (2502, store.current_revision().await.unwrap()));
    let (_dir, other) = embedded();
    assert_eq!(import(&other, file.as_slice()).await.unwrap(), 2502);
    assert_eq!(contents(&other).await, contents(&store).await);
    let mut again = Vec::new();
    export(&other, b"", &mut again).await.unwrap();
    let items = |file: &[u8]| {
        file.split(|byte| *byte == b'\n')
            .skip(1)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    assert!(items(&again) == items(&file));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_move_from_the_embedded_store_to_etcd_and_back() {
    let (_dir, store) = embedded();
    fill(&store).await;
    let server = EtcdServer::start().await.unwrap();
    let etcd = Etcd::connect(&server.options()).await.unwrap();
    assert_eq!(copy(&store, &etcd).await.unwrap(), 2502);
    assert!(contents(&etcd).await == contents(&store).await);
    let (_dir, back) = embedded();
    assert_eq!(copy(&etcd, &back).await.unwrap(), 2502);
    assert!(contents(&back).await == contents(&store).await);
}

#[tokio::test]
async fn an_import_into_a_store_that_is_not_empty_changes_nothing() {
    let (_dir, store) = embedded();
    store.txn(Txn::put("/a", "1")).await.unwrap();
    let mut file = Vec::new();
    export(&store, b"", &mut file).await.unwrap();
    let error = import(&store, file.as_slice()).await.unwrap_err();
    assert!(matches!(error, TransferError::NotEmpty { count: 1 }), "{error:?}");
    let error = copy(&store, &store).await.unwrap_err();
    assert!(matches!(error, TransferError::NotEmpty { count: 1 }), "{error:?}");
}

#[tokio::test]
async fn a_broken_export_is_refused_with_its_line_and_without_its_content() {
    let (_dir, store) = embedded();
    store.txn(Txn::put("/a", "very-secret")).await.unwrap();
    store.txn(Txn::put("/b", "2")).await.unwrap();
    let mut file = Vec::new();
    export(&store, b"", &mut file).await.unwrap();
    let file = String::from_utf8(file).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    let broken = [
        ("nothing at all".to_owned(), 1),
        (String::new(), 1),
        (lines[1..].join("\n"), 1),
        (lines[..3].join("\n"), 4),
        (
            file.replace("}}\n{\"item\":{\"key\":\"/b\"", "\n{\"item\":{\"key\":\"/b\""),
            2,
        ),
        ([lines[0], lines[1], lines[3]].join("\n"), 3),
        (file.replace("\"key\"", "\"name\""), 2),
        (file.replace("\"2\"", "{\"hex\":\"0g\"}"), 3),
        (format!("{}\n{}", lines[0], "x".repeat(5_000_000)), 2),
    ];
    for (text, expected) in broken {
        let (_dir, target) = embedded();
        let error = import(&target, text.as_bytes()).await.unwrap_err();
        assert!(
            matches!(error, TransferError::Line { line, .. } if line == expected),
            "line {expected}: {error:?}"
        );
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
