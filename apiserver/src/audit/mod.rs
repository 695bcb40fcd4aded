//! The audit log: who did what, and how it was answered, one JSON line for each stage of a request
//! (`audit.k8s.io/v1` Event).
//!
//! ```text
//! request ─▶ policy (level) ─▶ trail (what is found out on the way) ─▶ event ─▶ bounded queue ─▶ writer thread ─▶ file
//! ```
//!
//! [`policy`] says how much is written, [`trail`] collects it, [`event`] gives it its form, [`writer`] owns the file. A
//! secret's value never gets in, whatever the policy says: see [`trail`]. When the queue is full an event is dropped and
//! counted; the request never waits. Without a file nothing of this exists and a request pays nothing.

pub mod event;
pub mod policy;
pub mod trail;
pub mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use crate::health::Health;
use crate::metrics::Metrics;
use policy::{Policy, PolicyError};
use writer::{Writer, WriterError};

pub use trail::Trail;

/// Where the log is written, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Where.
    pub sink: Sink,
    /// A file with a Policy, YAML. Without it everything is written at level Metadata.
    pub policy: Option<PathBuf>,
}

impl AuditConfig {
    /// Megabytes of a file before it is set aside, unless something else is said.
    pub const MAX_MEGABYTES: u64 = 100;
    /// Files kept that were set aside.
    pub const BACKUPS: u16 = 10;

    /// Into a file, within the usual bounds.
    pub fn file(path: PathBuf, policy: Option<PathBuf>) -> Self {
        let sink = Sink::File {
            path,
            max_bytes: Self::MAX_MEGABYTES << 20,
            backups: usize::from(Self::BACKUPS),
        };
        Self { sink, policy }
    }
}

/// Where the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, and the ones before it.
    File {
        /// The file.
        path: PathBuf,
        /// It is set aside when it would grow larger.
        max_bytes: u64,
        /// So many that were set aside are kept.
        backups: usize,
    },
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy cannot be read.
    #[error("cannot read the audit policy {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The policy makes no sense.
    #[error("the audit policy {path} is not valid")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Every mistake.
        #[source]
        source: PolicyError,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Writer(#[from] WriterError),
}

/// The log.
pub struct AuditLog {
    policy: Policy,
    writer: Writer,
}

impl AuditLog {
    /// Reads the policy, opens the log and starts its writer.
    ///
    /// # Errors
    /// When a file cannot be read or opened, or the policy is not valid.
    pub fn open(config: &AuditConfig, metrics: Arc<Metrics>, health: Arc<Health>) -> Result<Self, AuditError> {
        let policy = match &config.policy {
            None => Policy::metadata(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| AuditError::Read {
                    path: path.clone(),
                    source,
                })?;
                Policy::parse(&text).map_err(|source| AuditError::Policy {
                    path: path.clone(),
                    source,
                })?
            }
        };
        let writer = Writer::start(&config.sink, metrics, health)?;
        Ok(Self { policy, writer })
    }

    /// Writes what is queued and ends.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}
