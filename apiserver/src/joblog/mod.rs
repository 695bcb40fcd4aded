//! The logs of jobs and runs, as HTTP hands them out: one reader, two encoders (text, watch events).
//!
//! ```text
//! LogStore (bytes of one attempt) ─▶ JobReader (attempts of one job) ─▶ RunReader (jobs of a run)
//!                                        └──────────────┬──────────────────────┘
//!                                            text · watch events
//! ```
//!
//! What a reader gets is a prefix of what the script wrote, whether it comes from disk or live: there is one source and
//! one cursor. The end is explicit. This module knows Jobs only through [`Jobs`], and HTTP not at all; who may read is
//! decided before.

mod authority;
mod cache;
mod cursor;
mod events;
mod job;
mod query;
mod run;
mod text;

use std::sync::Arc;

use breakbulk_logs::{Chunk, End, LogStore, ReadError};
use breakbulk_schemas::Job;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::watch;

pub use authority::JobAuthority;
pub use cache::CachedJobs;
pub use query::{LogQuery, QueryError};

/// What has to be known of Jobs and runs.
pub trait Jobs: Send + Sync + 'static {
    /// A Job as it is now.
    fn job(&self, namespace: &str, name: &str) -> Option<Arc<Job>>;
    /// The names of the Jobs of a run.
    fn of_run(&self, namespace: &str, run: &str) -> Vec<String>;
    /// Whether a run has ended; `None` when there is no such run.
    fn run_has_ended(&self, namespace: &str, run: &str) -> Option<bool>;
    /// Ticks when a Job changes.
    fn job_changes(&self) -> watch::Receiver<u64>;
    /// Ticks when a run changes.
    fn run_changes(&self) -> watch::Receiver<u64>;
}

/// Why a log cannot be handed out.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// There was no attempt before the latest.
    #[error("there was no attempt before the latest")]
    NoPrevious,
    /// The cursor is none of this log's.
    #[error("resourceVersion: Invalid value: {0:?}: is not a place in this log")]
    Cursor(String),
    /// The log store failed.
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
}

/// A body: pieces to be sent as they come.
pub type Body = BoxStream<'static, Result<Bytes, LogError>>;

/// A piece of a log, and which attempt of which Job it belongs to.
#[derive(Clone, Debug)]
struct Piece {
    job: Arc<str>,
    attempt: u32,
    part: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Chunk(Chunk),
    /// The attempt's log is over.
    End(End),
}

/// Hands logs out.
#[derive(Clone)]
pub struct JobLogs {
    store: LogStore,
    jobs: Arc<dyn Jobs>,
}

impl JobLogs {
    /// Over a log store and what is known of Jobs.
    pub fn new(store: LogStore, jobs: Arc<dyn Jobs>) -> Self {
        Self { store, jobs }
    }

    /// The log of a Job.
    pub fn job(&self, namespace: &str, name: &str, query: &LogQuery) -> Result<Body, LogError> {
        let job = self.jobs.job(namespace, name).ok_or(LogError::NotFound)?;
        let before_latest = job.last_attempt().is_some_and(|latest| latest.number > 1);
        if query.attempt == query::Which::Previous && !before_latest {
            return Err(LogError::NoPrevious);
        }
        let from = query.after.as_deref().map(cursor::parse_job).transpose()?;
        let reader = job::JobReader::new(self, namespace, name, job::From::new(query, from));
        Ok(match query.form {
            query::Form::Text => text::job(reader.into_stream(), query),
            query::Form::Watch => events::job(reader.into_stream(), namespace, name, query.limit_bytes),
        })
    }

    /// The logs of all Jobs of a run, together.
    pub fn run(&self, namespace: &str, name: &str, query: &LogQuery) -> Result<Body, LogError> {
        if self.jobs.run_has_ended(namespace, name).is_none() {
            return Err(LogError::NotFound);
        }
        let from = query
            .after
            .as_deref()
            .map(cursor::RunCursor::parse)
            .transpose()?
            .unwrap_or_default();
        let reader = run::RunReader::new(self, namespace, name, query, &from);
        Ok(match query.form {
            query::Form::Text => text::run(reader.into_stream(), name, query),
            query::Form::Watch => events::run(reader.into_stream(), namespace, from, query.limit_bytes),
        })
    }
}
