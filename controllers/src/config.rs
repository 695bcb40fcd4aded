//! What the controllers are told when they start.

use std::path::PathBuf;
use std::time::Duration;

use breakbulk_client::Connection;

/// Everything a process of controllers needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The API server, and who we are to it.
    pub server: Connection,
    /// Whether to be elected before doing anything. Off where there is never a second process.
    pub election: Option<Election>,
    /// What the operator decided.
    pub settings: Settings,
}

/// How one of several processes becomes the one that acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// This process's name; unique among them.
    pub identity: String,
    /// For how long a leader may be silent before another takes over.
    pub lease: Duration,
    /// For how long a leader that cannot renew goes on. Less than `lease`, so that it stops before another starts.
    pub renew_deadline: Duration,
    /// How often to renew, and to look whether the place is free.
    pub retry: Duration,
}

impl Election {
    /// The usual times, for a process called `identity`.
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What the operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where git mirrors are kept.
    pub data_dir: PathBuf,
    /// Whether repositories may be paths on this machine.
    pub allow_local_git: bool,
    /// A node whose lease has not been renewed for so long gets no new jobs.
    pub node_silent_after: Duration,
    /// A node whose lease has not been renewed for so long has lost its attempts. Must be longer than the agents'
    /// own fence and the time they take to kill.
    pub node_lost_after: Duration,
    /// The certificates by which the API server is known, PEM, as every namespace is told. Unset: those of the
    /// connection.
    pub roots: Option<String>,
}

impl Settings {
    /// The usual times, with mirrors below `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            allow_local_git: false,
            node_silent_after: Duration::from_secs(12),
            node_lost_after: Duration::from_secs(45),
            roots: None,
        }
    }
}
