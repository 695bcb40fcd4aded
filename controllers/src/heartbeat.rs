//! How long a node has been silent: since when its lease looks as it does, by our own clock. Clocks of two machines are
//! never compared, and a controller that has just started gives every node its full time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use crate::runtime::Change;

/// When each node was last heard of.
#[derive(Debug, Default)]
pub struct Heartbeats {
    heard: Mutex<HashMap<String, Instant>>,
}

impl Heartbeats {
    /// Takes in that a lease changed.
    pub fn changed(&self, change: &Change<'_, Lease>) {
        let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
        let before = change.old.and_then(|lease| renewed(lease));
        let after = change.new.and_then(|lease| renewed(lease));
        if after.is_some() && after != before {
            self.lock().insert(change.key.name.clone(), Instant::now());
        }
    }

    /// For how long a node has been silent. One that is asked about for the first time has just been heard of.
    pub fn silence(&self, node: &str) -> Duration {
        let now = Instant::now();
        now.duration_since(*self.lock().entry(node.to_owned()).or_insert(now))
    }

    /// Forgets a node that is no more.
    pub fn forget(&self, node: &str) {
        self.lock().remove(node);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
