//! Reads the log of one Job: the attempt asked for or the latest, and when following the attempts that come after it,
//! until the Job has ended and its last log is over.
//!
//! A log is over when it is sealed. One that will never be (its node is lost, or its attempt failed before anything
//! could be written) is over when the Job says so and everything stored has been read.

use std::sync::Arc;
use std::time::Duration;

use breakbulk_logs::{Chunk, Content, End, LogKey, LogStore, ReadError, ReadItem, ReadOptions, Start};
use breakbulk_schemas::Job;
use breakbulk_schemas::condition::{LOGS_SEALED, Truth, truth};
use breakbulk_schemas::job::{Attempt, AttemptReason};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::cursor::JobCursor;
use super::query::{LogQuery, Which};
use super::{JobLogs, Jobs, LogError, Part, Piece};

/// How long a log may take to appear after its attempt has ended, before it is taken for one that does not exist.
const LATE: Duration = Duration::from_secs(5);

/// Where to begin, and whether to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct From {
    which: Which,
    start: Start,
    follow: bool,
    resumed: Option<JobCursor>,
}

/// Reads one Job's log.
pub(super) struct JobReader {
    store: LogStore,
    jobs: Arc<dyn Jobs>,
    namespace: String,
    name: Arc<str>,
    from: From,
    changes: watch::Receiver<u64>,
    state: State,
}

enum State {
    /// The next attempt after this one is to be found; 0: the first to read.
    Finding {
        after: u32,
    },
    Reading(Reading),
    Done,
}

struct Reading {
    attempt: u32,
    key: LogKey,
    items: BoxStream<'static, Result<ReadItem, ReadError>>,
    offset: Option<u64>,
    /// Nothing more will be written: what is stored is all there will be.
    over: bool,
    /// When an attempt that has ended is given up on, if it has no log by then.
    late: Option<Instant>,
}

enum Found {
    Attempt(Arc<Job>, u32),
    Wait,
    Nothing,
}

impl From {
    pub(super) fn new(query: &LogQuery, resumed: Option<JobCursor>) -> Self {
        Self {
            which: query.attempt,
            start: query.start,
            follow: query.follow,
            resumed,
        }
    }
}

impl JobReader {
    pub(super) fn new(logs: &JobLogs, namespace: &str, name: &str, from: From) -> Self {
        Self {
            store: logs.store.clone(),
            changes: logs.jobs.job_changes(),
            jobs: Arc::clone(&logs.jobs),
            namespace: namespace.to_owned(),
            name: name.into(),
            from,
            state: State::Finding { after: 0 },
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
            match &mut self.state {
                State::Done => return None,
                State::Finding { after } => {
                    let after = *after;
                    match self.find(after) {
                        Found::Attempt(job, number) => self.open(&job, number, after == 0),
                        Found::Wait => self.wait().await,
                        Found::Nothing => self.state = State::Done,
                    }
                }
                State::Reading(_) => {
                    if let Some(piece) = self.read().await {
                        return Some(piece);
                    }
                }
            }
        }
    }

    /// The attempt to read next.
    fn find(&self, after: u32) -> Found {
        let Some(job) = self.jobs.job(&self.namespace, &self.name) else {
            return Found::Nothing;
        };
        let attempts = job
            .status
            .as_ref()
            .map(|status| status.attempts.as_slice())
            .unwrap_or_default();
        let has = |number: u32| attempts.iter().any(|attempt| attempt.number == number);
        let last = attempts.last().map(|attempt| attempt.number);
        let wanted = match (self.from.resumed, self.from.which) {
            _ if after > 0 => attempts
                .iter()
                .map(|attempt| attempt.number)
                .find(|number| *number > after),
            (Some(cursor), _) => Some(cursor.attempt).filter(|number| has(*number)),
            (None, Which::Number(number)) => Some(number).filter(|number| has(*number)),
            (None, Which::Previous) => last.and_then(|last| last.checked_sub(1)).filter(|number| *number > 0),
            (None, Which::Latest) => last,
        };
        match wanted {
            Some(number) => Found::Attempt(job, number),
            None if self.from.follow && !job.is_ended() => Found::Wait,
            None => Found::Nothing,
        }
    }

    async fn wait(&mut self) {
        // The sender goes away with the server; then there is nothing to wait for.
        if self.changes.changed().await.is_err() {
            self.state = State::Done;
        }
    }

    fn open(&mut self, job: &Job, number: u32, first: bool) {
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let Ok(key) = LogKey::new(&self.namespace, uid, number) else {
            self.state = State::Done;
            return;
        };
        let start = match (first, self.from.resumed) {
            (true, Some(cursor)) => Start::Offset(cursor.offset),
            (true, None) => self.from.start,
            (false, _) => Start::Beginning,
        };
        let over = !self.from.follow;
        let items = self.items(&key, start, over);
        let offset = if let Start::Offset(offset) = start {
            Some(offset)
        } else {
            None
        };
        // What the Job says already counts as a change: look at it before the first wait.
        self.changes.mark_changed();
        self.state = State::Reading(Reading {
            attempt: number,
            key,
            items,
            offset,
            over,
            late: None,
        });
    }

    fn items(&self, key: &LogKey, start: Start, over: bool) -> BoxStream<'static, Result<ReadItem, ReadError>> {
        self.store
            .read(
                key,
                ReadOptions {
                    start,
                    limit_bytes: None,
                    follow: !over,
                },
            )
            .boxed()
    }

    /// One step of reading. `None`: nothing to hand out yet.
    async fn read(&mut self) -> Option<Result<Piece, LogError>> {
        let State::Reading(reading) = &mut self.state else {
            return None;
        };
        let late = reading.late.unwrap_or_else(Instant::now);
        // All three are cancel-safe: a stream keeps its place, a watch its version, and a timer is only a time.
        tokio::select! {
            biased;
            item = reading.items.next() => self.item(item),
            changed = self.changes.changed(), if !reading.over => {
                if changed.is_err() {
                    self.state = State::Done;
                } else {
                    self.look().await;
                }
                None
            }
            () = sleep_until(late), if reading.late.is_some() && !reading.over => {
                self.give_up().await;
                None
            }
        }
    }

    fn item(&mut self, item: Option<Result<ReadItem, ReadError>>) -> Option<Result<Piece, LogError>> {
        let State::Reading(reading) = &mut self.state else {
            return None;
        };
        let attempt = reading.attempt;
        let part = match item {
            Some(Ok(ReadItem::Chunk(chunk))) => {
                reading.offset = Some(end_of(&chunk));
                Part::Chunk(chunk)
            }
            Some(Ok(ReadItem::End(end))) => self.ended(attempt, end),
            // Nothing was ever stored; a deleted log goes with its Job.
            None | Some(Err(ReadError::NotFound)) => self.ended(
                attempt,
                End {
                    length: 0,
                    digest: None,
                    sealed: false,
                },
            ),
            Some(Err(ReadError::Deleted)) => {
                self.state = State::Done;
                return None;
            }
            Some(Err(error)) => {
                self.state = State::Done;
                return Some(Err(LogError::Read(error)));
            }
        };
        Some(Ok(Piece {
            job: Arc::clone(&self.name),
            attempt,
            part,
        }))
    }

    fn ended(&mut self, attempt: u32, end: End) -> Part {
        let goes_on = self.from.follow && !matches!(self.from.which, Which::Number(_));
        self.state = if goes_on {
            State::Finding { after: attempt }
        } else {
            State::Done
        };
        Part::End(end)
    }

    /// Looks at the Job: whether the log being followed will ever be sealed.
    async fn look(&mut self) {
        let job = self.jobs.job(&self.namespace, &self.name);
        let State::Reading(reading) = &mut self.state else {
            return;
        };
        let attempt = job.as_ref().and_then(|job| attempt_of(job, reading.attempt));
        let verdict = match (&job, attempt) {
            (Some(job), Some(attempt)) => verdict(job, attempt),
            // The Job is gone, and its log with it.
            _ => Verdict::Over,
        };
        match verdict {
            Verdict::Open => {}
            Verdict::Ended if reading.late.is_some() => {}
            Verdict::Ended => reading.late = Some(Instant::now() + LATE),
            Verdict::Over => self.drain(),
        }
    }

    /// The attempt ended a while ago: if it still has no log, it has none.
    async fn give_up(&mut self) {
        let State::Reading(reading) = &mut self.state else {
            return;
        };
        reading.late = None;
        let known = self.store.info(&reading.key).await;
        if matches!(known, Ok(None)) {
            self.drain();
        }
    }

    /// Reads what is stored to its end, and then no further.
    fn drain(&mut self) {
        let State::Reading(reading) = &self.state else { return };
        let start = reading.offset.map_or(self.from.start, Start::Offset);
        let items = self.items(&reading.key.clone(), start, true);
        if let State::Reading(reading) = &mut self.state {
            reading.items = items;
            reading.over = true;
        }
    }
}

enum Verdict {
    /// The attempt goes on.
    Open,
    /// It has ended, and its log is on its way.
    Ended,
    /// It has ended, and nothing more will come.
    Over,
}

fn verdict(job: &Job, attempt: &Attempt) -> Verdict {
    let latest = job.last_attempt().map(|last| last.number) == Some(attempt.number);
    let never_sealed = latest
        && job
            .status
            .as_ref()
            .is_some_and(|status| truth(&status.conditions, LOGS_SEALED) == Truth::False);
    match attempt.reason {
        None => Verdict::Open,
        Some(AttemptReason::NodeLost) => Verdict::Over,
        Some(_) if attempt.log.is_none() && never_sealed => Verdict::Over,
        Some(_) => Verdict::Ended,
    }
}

fn attempt_of(job: &Job, number: u32) -> Option<&Attempt> {
    job.status
        .as_ref()?
        .attempts
        .iter()
        .find(|attempt| attempt.number == number)
}

/// The offset behind a chunk.
pub(super) fn end_of(chunk: &Chunk) -> u64 {
    chunk.offset
        + match &chunk.content {
            Content::Data(bytes) => bytes.len() as u64,
            Content::Gap { missing, .. } => *missing,
        }
}
