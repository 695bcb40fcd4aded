//! Writes that begin from a cache that is behind: nothing feeds it here after it was filled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use breakbulk_store::embedded::{self, Embedded};
use breakbulk_store::{
    Condition, KeyValue, RangePage, RangeQuery, ReadsFrom, Result, Revision, Store, Txn, TxnOutcome, WatchStream,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::cacher::Feed;

/// A store that is far away, and counts what is read one by one.
struct Far {
    store: Embedded,
    gets: AtomicUsize,
}

#[async_trait]
impl Store for Far {
    async fn get(&self, key: &[u8]) -> Result<(Option<KeyValue>, Revision)> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(key).await
    }

    fn reads_from(&self) -> ReadsFrom {
        ReadsFrom::Network
    }

    async fn range(&self, query: RangeQuery) -> Result<RangePage> {
        self.store.range(query).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome> {
        self.store.txn(txn).await
    }

    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<WatchStream> {
        self.store.watch(prefix, from).await
    }

    async fn request_progress(&self) -> Result<()> {
        self.store.request_progress().await
    }

    async fn compact(&self, at: Revision) -> Result<()> {
        self.store.compact(at).await
    }

    async fn current_revision(&self) -> Result<Revision> {
        self.store.current_revision().await
    }

    async fn check(&self) -> Result<Condition> {
        self.store.check().await
    }
}

struct Bench {
    objects: Objects,
    store: Arc<Far>,
    resource: Arc<Resource>,
    _dir: tempfile::TempDir,
}

const NAMESPACE: Option<&str> = Some("default");

impl Bench {
    /// With a ConfigMap that the cache has.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Far {
            store: Embedded::open(dir.path(), embedded::Options::default()).unwrap(),
            gets: AtomicUsize::new(0),
        });
        let far: Arc<dyn Store> = store.clone();
        let registry = Arc::new(Registry::new());
        let cacher = Arc::new(Cacher::new(far.clone()));
        let objects = Objects {
            store: far,
            cacher: cacher.clone(),
            registry: registry.clone(),
            admission: Arc::new(Chain::empty()),
        };
        let resource = registry.find("", "v1", "configmaps").unwrap();
        let new = json!({ "metadata": { "name": "c" }, "data": { "a": "1" } });
        objects
            .create(&resource, NAMESPACE, Submitted::plain(new), &WriteOptions::server())
            .await
            .unwrap();
        Feed::fill(cacher, registry).await.unwrap();
        Self {
            objects,
            store,
            resource,
            _dir: dir,
        }
    }

    /// Somebody else, of whom the cache has not heard, sets a member of the data.
    async fn elsewhere(&self, member: &str, value: &str) -> String {
        let key = self.objects.key(&self.resource, NAMESPACE, "c");
        let found = self.store.store.get(&key).await.unwrap().0.unwrap();
        let mut object: Value = serde_json::from_slice(&found.value).unwrap();
        object["data"][member] = Value::from(value);
        let stored = self.objects.prepared(&self.resource, &object).await.unwrap().stored;
        let txn = Txn::update(key, found.mod_revision, stored);
        match self.store.txn(txn).await.unwrap() {
            TxnOutcome::Committed { revision } => revision.0.to_string(),
            conflict @ TxnOutcome::Conflict { .. } => panic!("{conflict:?}"),
        }
    }

    /// Sets a member of the data; the object that is answered.
    async fn set(&self, member: &str, value: &str) -> Value {
        let edit = |mut old: Value| {
            old["data"][member] = Value::from(value);
            Ok(Submitted::plain(old))
        };
        self.update(Versioned::Optional, &edit).await.unwrap()
    }

    async fn update(&self, versioned: Versioned, edit: &dyn Edit) -> ApiResult<Value> {
        let options = UpdateOptions {
            part: Part::Main,
            versioned,
            write: WriteOptions::server(),
        };
        let objects = &self.objects;
        let written = objects.update(&self.resource, NAMESPACE, "c", &options, edit).await?;
        Ok(serde_json::from_slice(&written.encoded).unwrap())
    }

    async fn delete(&self, resource_version: Option<String>) -> ApiResult<Deleted> {
        let options = DeleteOptions {
            resource_version,
            ..DeleteOptions::plain(WriteOptions::server())
        };
        let deletion = self.objects.delete(&self.resource, NAMESPACE, "c", &options).await?;
        Ok(deletion.outcome)
    }

    fn gets(&self) -> usize {
        self.store.gets.load(Ordering::Relaxed)
    }

    async fn revision(&self) -> u64 {
        self.store.store.current_revision().await.unwrap().0
    }
}

#[tokio::test]
async fn a_write_of_what_the_cache_knows_reads_nothing_from_a_store_that_is_far() {
    let bench = Bench::new().await;
    assert_eq!(bench.set("b", "2").await["data"], json!({ "a": "1", "b": "2" }));
    assert_eq!(bench.gets(), 0);
    let bench = Bench::new().await;
    assert!(matches!(bench.delete(None).await, Ok(Deleted::Gone { .. })));
    assert_eq!(bench.gets(), 0);
}

#[tokio::test]
async fn a_change_to_an_object_that_the_cache_has_an_old_one_of_is_made_to_the_newest() {
    let bench = Bench::new().await;
    bench.elsewhere("x", "9").await;
    let written = bench.set("b", "2").await;
    assert_eq!(written["data"], json!({ "a": "1", "b": "2", "x": "9" }));
}

#[tokio::test]
async fn what_would_change_nothing_but_the_old_object_is_written() {
    let bench = Bench::new().await;
    bench.elsewhere("a", "9").await;
    assert_eq!(bench.set("a", "1").await["data"], json!({ "a": "1" }));
    let key = bench.objects.key(&bench.resource, NAMESPACE, "c");
    let stored = bench.store.get(&key).await.unwrap().0.unwrap().value;
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(stored["data"], json!({ "a": "1" }));
}

#[tokio::test]
async fn what_changes_nothing_is_answered_with_the_newest_object_and_writes_nothing() {
    let bench = Bench::new().await;
    let newest = bench.elsewhere("x", "9").await;
    let before = bench.revision().await;
    let written = bench.set("a", "1").await;
    assert_eq!(written["metadata"]["resourceVersion"], Value::from(newest));
    assert_eq!(written["data"]["x"], "9");
    assert_eq!(bench.revision().await, before);
}

#[tokio::test]
async fn a_client_that_knows_a_newer_object_than_the_cache_is_no_conflict() {
    let bench = Bench::new().await;
    let newest = bench.elsewhere("x", "9").await;
    let replace = |mut old: Value| {
        old["metadata"]["resourceVersion"] = Value::from(newest.as_str());
        old["data"] = json!({ "b": "2" });
        Ok(Submitted::plain(old))
    };
    let written = bench.update(Versioned::Required, &replace).await.unwrap();
    assert_eq!(written["data"], json!({ "b": "2" }));
    // And one that knows only what the cache knew is one.
    let error = bench.update(Versioned::Required, &replace).await.unwrap_err();
    assert_eq!(error.code(), 409);
}

#[tokio::test]
async fn a_deletion_asks_its_preconditions_of_the_newest_object() {
    let bench = Bench::new().await;
    let newest = bench.elsewhere("x", "9").await;
    assert_eq!(bench.delete(Some("1".to_owned())).await.unwrap_err().code(), 409);
    assert!(matches!(bench.delete(Some(newest)).await, Ok(Deleted::Gone { .. })));
    // The cache has it still.
    assert_eq!(bench.delete(None).await.unwrap_err().code(), 404);
    let edit = |old: Value| Ok(Submitted::plain(old));
    assert_eq!(bench.update(Versioned::Optional, &edit).await.unwrap_err().code(), 404);
}
