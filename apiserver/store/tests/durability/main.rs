//! What the embedded store promises about its directory: nothing acknowledged is lost, nothing is half there, nothing
//! that is not what was written is accepted, whatever happens to the process, the machine or the disk.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bounds;
mod condition;
mod damage;
mod full;
mod kill;
mod power;
mod steps;

use std::path::Path;

use breakbulk_store::embedded::{Embedded, Options};
use breakbulk_store::{KeyValue, Op, RangeQuery, Revision, Store, Txn, TxnOutcome};
use bytes::Bytes;
use futures::StreamExt;

fn small_files() -> Options {
    Options {
        segment_bytes: 4096,
        ..Options::default()
    }
}

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, small_files()).unwrap()
}

async fn put(store: &dyn Store, key: &str, value: impl Into<Bytes>) -> Revision {
    match store.txn(Txn::put(key.to_owned(), value)).await.unwrap() {
        TxnOutcome::Committed { revision } => revision,
        TxnOutcome::Conflict { .. } => panic!("a put has nothing to conflict with"),
    }
}

/// Two keys that only ever change together.
fn pair(writer: usize, number: u64) -> Txn {
    let op = |side: &str| Op::Put {
        key: Bytes::from(format!("/{writer}/{side}")),
        value: Bytes::from(format!(
            "{number} {}",
            "x".repeat(usize::try_from(number * 37 % 1500).unwrap())
        )),
    };
    Txn {
        compares: vec![],
        ops: vec![op("a"), op("b")],
    }
}

/// The number both keys of a pair have; 0 if they don't exist.
async fn pair_number(store: &dyn Store, writer: usize) -> u64 {
    let page = store.range(RangeQuery::prefix(format!("/{writer}/"))).await.unwrap();
    let numbers: Vec<u64> = page.items.iter().map(number).collect();
    match numbers.as_slice() {
        [] => 0,
        [a, b] if a == b && page.items[0].mod_revision == page.items[1].mod_revision => *a,
        half => panic!("a transaction is half there: {half:?}"),
    }
}

fn number(kv: &KeyValue) -> u64 {
    std::str::from_utf8(&kv.value)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// The history has every revision from where it begins to the newest.
async fn check_history(store: &dyn Store) {
    let current = store.current_revision().await.unwrap();
    let mut from = Revision::ZERO;
    let mut watch = loop {
        match store.watch(Bytes::new(), from).await {
            Ok(watch) => break watch,
            Err(breakbulk_store::Error::Compacted { oldest, .. }) => from = oldest,
            Err(error) => panic!("{error}"),
        }
    };
    let mut next = from.max(Revision(1)).next();
    while next <= current {
        for event in watch.next().await.unwrap().unwrap().events {
            let revision = event.kv.mod_revision;
            assert!(
                revision == next || revision.next() == next,
                "{revision} comes where {next} is due"
            );
            next = revision.next();
        }
    }
}
