//! The store: ordered keys, opaque values, one growing revision.
//!
//! This crate is the bottom of the API server. It knows bytes and revisions and nothing else: no kinds, no JSON, no
//! namespaces. Everything above goes through the [`Store`] trait, which has two implementations that pass the same
//! conformance suite and the same model test:
//!
//! - [`embedded`]: in this process, in one directory, crash-safe.
//! - [`etcd`]: an etcd cluster, v3.4 or newer.
//!
//! It does not expire keys (what has a lifetime is deleted by the API server) and it does not cache for etcd (the API
//! server's cacher does that for both).

#[cfg(feature = "testing")]
pub mod conformance;
pub mod embedded;
mod error;
pub mod etcd;
mod model;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transfer;
mod validate;

pub use error::{Error, Result};
pub use model::{
    At, Compare, Condition, Event, EventKind, KeyValue, Op, RangePage, RangeQuery, Revision, Txn, TxnOutcome,
    WatchBatch,
};
pub use store::{ReadsFrom, Store, WatchStream, prefix_end};
pub use validate::{MAX_KEY_BYTES, MAX_TXN_BYTES, MAX_TXN_OPS};
