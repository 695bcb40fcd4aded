//! A store that is timed: every call passes on to the real one.

use std::sync::Arc;

use async_trait::async_trait;
use breakbulk_store::{
    Condition, KeyValue, RangePage, RangeQuery, ReadsFrom, Result, Revision, Store, Txn, TxnOutcome, WatchStream,
};
use bytes::Bytes;
use prometheus::{Histogram, IntGauge};
use tokio::time::Instant;

use super::Metrics;

/// The store, and how long it takes for what. The words are those that upstream's etcd client uses.
pub struct Measured {
    store: Arc<dyn Store>,
    get: Histogram,
    list: Histogram,
    txn: Histogram,
    compact: Histogram,
    revision: Histogram,
    check: Histogram,
    failed_snapshots: IntGauge,
}

impl Measured {
    /// Times a store.
    pub fn over(store: Arc<dyn Store>, metrics: &Metrics) -> Arc<dyn Store> {
        let of = |operation: &str| metrics.store.with_label_values(&[operation]);
        Arc::new(Self {
            store,
            get: of("get"),
            list: of("list"),
            txn: of("txn"),
            compact: of("compact"),
            revision: of("getCurrentResourceVersion"),
            check: of("check"),
            failed_snapshots: metrics.failed_snapshots.clone(),
        })
    }
}

fn seconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64()
}

#[async_trait]
impl Store for Measured {
    async fn get(&self, key: &[u8]) -> Result<(Option<KeyValue>, Revision)> {
        let begun = Instant::now();
        let answer = self.store.get(key).await;
        self.get.observe(seconds(begun));
        answer
    }

    fn reads_from(&self) -> ReadsFrom {
        self.store.reads_from()
    }

    async fn range(&self, query: RangeQuery) -> Result<RangePage> {
        let begun = Instant::now();
        let answer = self.store.range(query).await;
        self.list.observe(seconds(begun));
        answer
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome> {
        let begun = Instant::now();
        let answer = self.store.txn(txn).await;
        self.txn.observe(seconds(begun));
        answer
    }

    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<WatchStream> {
        self.store.watch(prefix, from).await
    }

    async fn request_progress(&self) -> Result<()> {
        self.store.request_progress().await
    }

    async fn compact(&self, at: Revision) -> Result<()> {
        let begun = Instant::now();
        let answer = self.store.compact(at).await;
        self.compact.observe(seconds(begun));
        answer
    }

    async fn current_revision(&self) -> Result<Revision> {
        let begun = Instant::now();
        let answer = self.store.current_revision().await;
        self.revision.observe(seconds(begun));
        answer
    }

    async fn check(&self) -> Result<Condition> {
        let begun = Instant::now();
        let answer = self.store.check().await;
        self.check.observe(seconds(begun));
        if let Ok(condition) = &answer {
            let failed = i64::try_from(condition.failed_snapshots).unwrap_or(i64::MAX);
            self.failed_snapshots.set(failed);
        }
        answer
    }
}
