//! What all controllers stand on, between `kube::runtime`'s watchers and the reconcilers.
//!
//! ```text
//! watcher ──▶ cache ──▶ hooks ──▶ queue ──▶ reconcile ──▶ act ──▶ API server
//!               ▲                                          │
//!               └────────── what was written ──────────────┘
//! ```
//!
//! One watch per kind feeds one [`cache`], whatever the number of controllers that read it. A controller's
//! [`queue`] holds names, never objects: what happened is only a hint to look. What a controller writes goes into the
//! cache with the server's answer, so that nobody here acts on a state older than their own writes.
//!
//! Nothing here knows what a run or a job is.

pub mod cache;
pub mod index;
pub mod leader;
pub mod queue;
pub mod store;

pub use cache::{Cache, Change, Key};
pub use index::Index;
pub use queue::{Next, Queue};
pub use store::{ApiError, Store};
