//! Where the connection leaves what the server said about one log, and the log's shipper picks it up. Answers are
//! merged, never queued: the connection must always be able to read on.

use std::sync::{Mutex, PoisonError};

use breakbulk_log_api::rejected::Reason;
use breakbulk_log_api::server_message::Body;
use tokio::sync::Notify;

/// What the server has said since the log was opened on this connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The log is open, from this offset on.
    pub(crate) opened: Option<u64>,
    /// The server has the content up to here.
    pub(crate) received: u64,
    /// The log is sealed, and that is durable.
    pub(crate) sealed: bool,
    /// The first refusal that nobody has looked at.
    pub(crate) rejected: Option<Rejection>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: Reason,
    pub(crate) committed: u64,
    pub(crate) message: String,
}

/// One log's place.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    said: Mutex<Said>,
    bell: Notify,
}

impl Slot {
    /// Takes an answer in.
    pub(crate) fn put(&self, body: Body) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match body {
            Body::Opened(opened) => {
                said.opened = Some(opened.committed);
                said.received = said.received.max(opened.committed);
                said.sealed |= opened.sealed;
            }
            Body::Ack(ack) => said.received = said.received.max(ack.received),
            Body::Sealed(_) => said.sealed = true,
            Body::Rejected(rejected) => {
                let rejection = Rejection {
                    reason: rejected.reason(),
                    committed: rejected.committed,
                    message: rejected.message,
                };
                said.rejected.get_or_insert(rejection);
            }
        }
        drop(said);
        self.bell.notify_one();
    }

    /// What was said so far; a refusal is taken out.
    pub(crate) fn take(&self) -> Said {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = said.clone();
        said.rejected = None;
        now
    }

    /// Waits until something was said since the last time.
    pub(crate) async fn heard(&self) {
        self.bell.notified().await;
    }
}
