//! Reads the logs of all Jobs of a run as one stream. Of what is ready the oldest comes first; when following, nothing
//! waits for a job that is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use super::cursor::RunCursor;
use super::job::{From, JobReader};
use super::query::LogQuery;
use super::{JobLogs, LogError, Part, Piece};

/// Reads a run's log.
pub(super) struct RunReader {
    logs: JobLogs,
    namespace: String,
    name: String,
    query: LogQuery,
    from: RunCursor,
    known: BTreeSet<String>,
    open: Vec<Open>,
    job_changes: watch::Receiver<u64>,
    run_changes: watch::Receiver<u64>,
}

/// One job's log, and its next piece where that is there already.
struct Open {
    pieces: BoxStream<'static, Result<Piece, LogError>>,
    head: Option<Result<Piece, LogError>>,
    done: bool,
}

enum Step {
    Piece(Result<Piece, LogError>),
    /// Every log that is known is at its end.
    Drained,
}

impl RunReader {
    pub(super) fn new(logs: &JobLogs, namespace: &str, name: &str, query: &LogQuery, from: &RunCursor) -> Self {
        Self {
            job_changes: logs.jobs.job_changes(),
            run_changes: logs.jobs.run_changes(),
            logs: logs.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            query: query.clone(),
            from: from.clone(),
            known: BTreeSet::new(),
            open: Vec::new(),
        }
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Piece, LogError>> {
        stream::unfold(self, |mut reader| async move {
            let piece = reader.next().await?;
            Some((piece, reader))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Piece, LogError>> {
        loop {
            // Asked before the jobs are: a run that has ended makes no more of them.
            let ended = self
                .logs
                .jobs
                .run_has_ended(&self.namespace, &self.name)
                .unwrap_or(true);
            self.discover();
            let follow = self.query.follow;
            let (open, job_changes, run_changes) = (&mut self.open, &mut self.job_changes, &mut self.run_changes);
            // Streams keep their places and watches their versions: all arms are cancel-safe.
            tokio::select! {
                biased;
                step = poll_fn(|context| poll(open, follow, context)) => match step {
                    Step::Piece(piece) => return Some(piece),
                    Step::Drained if ended || !follow => return None,
                    Step::Drained => {
                        tokio::select! {
                            changed = job_changes.changed() => if changed.is_err() { return None },
                            changed = run_changes.changed() => if changed.is_err() { return None },
                        }
                    }
                },
                changed = job_changes.changed(), if follow => if changed.is_err() { return None },
            }
        }
    }

    /// Opens the logs of jobs not seen before.
    fn discover(&mut self) {
        for name in self.logs.jobs.of_run(&self.namespace, &self.name) {
            if self.known.insert(name.clone()) {
                let from = From::new(&self.query, self.from.jobs.get(&name).copied());
                let reader = JobReader::new(&self.logs, &self.namespace, &name, from);
                self.open.push(Open {
                    pieces: reader.into_stream(),
                    head: None,
                    done: false,
                });
            }
        }
    }
}

/// Takes the oldest piece that is ready. Without following, waits until every job has one, so that history comes in
/// the order of its times.
fn poll(open: &mut Vec<Open>, follow: bool, context: &mut Context<'_>) -> Poll<Step> {
    let mut pending = false;
    for log in open.iter_mut().filter(|log| log.head.is_none() && !log.done) {
        match log.pieces.poll_next_unpin(context) {
            Poll::Ready(Some(piece)) => log.head = Some(piece),
            Poll::Ready(None) => log.done = true,
            Poll::Pending => pending = true,
        }
    }
    open.retain(|log| !log.done || log.head.is_some());
    if open.is_empty() {
        return Poll::Ready(Step::Drained);
    }
    if pending && !follow {
        return Poll::Pending;
    }
    let oldest = open
        .iter()
        .enumerate()
        .filter_map(|(at, log)| Some((time(log.head.as_ref()?), at)))
        .min();
    let head = oldest.and_then(|(_, at)| open[at].head.take());
    head.map_or(Poll::Pending, |piece| Poll::Ready(Step::Piece(piece)))
}

/// When a piece was written; ends and errors come as soon as they can.
fn time(piece: &Result<Piece, LogError>) -> u64 {
    match piece {
        Ok(Piece {
            part: Part::Chunk(chunk),
            ..
        }) => chunk.time,
        _ => 0,
    }
}

impl RunCursor {
    /// Moves a job's place.
    pub(super) fn advance(&mut self, job: &Arc<str>, attempt: u32, offset: u64) {
        let place = super::cursor::JobCursor { attempt, offset };
        match self.jobs.get_mut(job.as_ref()) {
            Some(cursor) => *cursor = place,
            None => _ = self.jobs.insert(job.to_string(), place),
        }
    }
}

/// The unfinished lines of a run's jobs.
pub(super) type Lines = BTreeMap<Arc<str>, Vec<u8>>;
