//! The cacher: one watch over the whole store feeds a cache per storage, from which lists and watches are served. What a
//! watcher costs is a cursor.
//!
//! ```text
//! store ──watch /registry/──▶ feed ──▶ StorageCache (objects + ring of changes) ──▶ lists, watchers
//! ```
//!
//! Which storages there are is the registry's table, and that may change: a new one is filled by the feed, between two
//! batches, before anybody can see it.
//!
//! It writes nothing. A list that must be current asks the store for its revision and waits here until it is reached.

mod entry;
mod feed;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use breakbulk_store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::status::{ApiError, ApiResult};

pub use entry::{Converted, Entry, Place, Selected};
pub use feed::{Adopt, Feed, FeedError};
pub use storage::{Batch, Change, ChangeKind, Cursor, Snapshot, StorageCache, TooOld};

/// How long a read waits for a revision before it answers "too large resource version", as upstream does.
const WAIT: Duration = Duration::from_secs(3);
/// How often the store is asked again how far it is while somebody waits.
const NUDGE: Duration = Duration::from_millis(20);

/// How far the caches of all storages are. The caches themselves are each their storage's.
pub struct Cacher {
    store: Arc<dyn Store>,
    reached: watch::Sender<u64>,
}

impl Cacher {
    /// Of a store that nothing has been read from yet; [`Feed`] does that.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            reached: watch::Sender::new(0),
        }
    }

    /// The revision up to which everything has been applied.
    pub fn reached(&self) -> u64 {
        *self.reached.borrow()
    }

    /// Waits until the caches hold everything that was answered before this call; returns the revision.
    pub async fn catch_up(&self) -> ApiResult<u64> {
        let current = self.store.current_revision().await?;
        self.wait_for(current.0).await
    }

    /// Waits until the caches have reached a revision; returns how far they are.
    pub async fn wait_for(&self, revision: u64) -> ApiResult<u64> {
        if self.reached() >= revision {
            return Ok(self.reached());
        }
        let mut reached = self.reached.subscribe();
        let deadline = Instant::now() + WAIT;
        loop {
            // The guard of the watched value is let go before anything is awaited again.
            let step = timeout(NUDGE, reached.wait_for(|r| *r >= revision))
                .await
                .map(|seen| seen.map(|now| *now));
            match step {
                Ok(Ok(now)) => return Ok(now),
                Ok(Err(_)) => return Err(ApiError::unavailable("the server is shutting down")),
                Err(_) if Instant::now() >= deadline => {
                    return Err(ApiError::version_too_large(revision, self.reached()));
                }
                Err(_) => self.store.request_progress().await?,
            }
        }
    }
}
