//! Following logs, for anybody who reads them: one stream of chunks for a job or for all jobs of a run, history
//! first and then live, that survives a lost connection and a restarted server.
//!
//! The server's `…/log?watch=true` answers with watch events, each with a cursor (`resourceVersion`). [`LogFollow`]
//! remembers the last one, connects again when the stream breaks before its end, and checks by offset that nothing
//! comes twice and nothing is left out. The end is told by the server, once the log is complete; a stream that just
//! stops is a broken one.
//!
//! This module does not print, assemble lines, or decide what a job's end means.

mod wire;

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;

/// The longest event accepted from a server: a record's payload is at most 1 MiB, and its text at most six times as
/// long in JSON. Whatever is longer is no log.
const MAX_EVENT: usize = 16 << 20;
/// Waits between attempts to connect again grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Whose log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// One job; of one attempt, or of its latest and those that follow it.
    Job {
        /// The Job's name.
        name: String,
        /// Only this attempt.
        attempt: Option<u32>,
    },
    /// All jobs of a run.
    Run {
        /// The PipelineRun's name.
        name: String,
    },
}

/// Where to start, and how much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Only the last so many lines of what is there, then what comes.
    pub tail_lines: Option<u64>,
    /// Only what was written from then on.
    pub since: Option<Timestamp>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Go on behind this cursor; the other options are not looked at then.
    pub after: Option<Cursor>,
}

/// A place in a log, as the server names it: opaque, to be handed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// What a follower gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// A piece of a log.
    Chunk(LogChunk),
    /// The connection broke, or the server is away: the next attempt is made after `retry_in`. Nothing is lost.
    Interrupted {
        /// What happened.
        cause: String,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// A piece of one attempt's log. Pieces of one attempt are contiguous by offset; they do not end at line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// The Job.
    pub job: String,
    /// The attempt's number.
    pub attempt: u32,
    /// The offset of its first byte, in bytes that the script wrote.
    pub offset: u64,
    /// When the bytes were read from the script.
    pub time: Option<Timestamp>,
    /// Where they came from.
    pub stream: LogStream,
    /// The bytes, or why there are none.
    pub payload: Payload,
    /// The place behind this chunk.
    pub cursor: Cursor,
}

/// What a chunk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes as the script wrote them, after masking; not always UTF-8.
    Data(Bytes),
    /// A hole of so many bytes, with its cause.
    Gap {
        /// How many bytes are missing.
        bytes: u64,
        /// Why.
        cause: String,
    },
}

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// The script's output and error output together.
    Output,
    /// Its standard output.
    Stdout,
    /// Its error output.
    Stderr,
    /// Words of the system about the job.
    System,
}

/// Why a log cannot be followed (any further).
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The server refused: no such job, no permission, a bad option.
    #[error("the server refused to show the log")]
    Refused(#[source] Box<kube::Error>),
    /// What the server sent is no log.
    #[error("the server sent what is not a log event: {0}")]
    Malformed(String),
    /// The bytes do not continue where the last ones ended, also after asking again.
    #[error("the log of {job} (attempt {attempt}) has a hole: expected offset {expected}, got {got}")]
    Hole {
        /// The Job.
        job: String,
        /// The attempt.
        attempt: u32,
        /// The offset that should have come.
        expected: u64,
        /// The offset that came.
        got: u64,
    },
}

/// A log being followed. Made by [`follow`]; asked by [`LogFollow::next`] or as a stream.
pub struct LogFollow {
    client: Client,
    path: String,
    options: LogOptions,
    cursor: Option<Cursor>,
    /// Where each attempt's next byte is expected.
    expected: HashMap<(String, u32), u64>,
    state: State,
    failures: u32,
    /// The offset of the last hole, to tell one that asking again closes from one that stays.
    hole: Option<u64>,
}

enum State {
    Idle,
    Waiting(Duration),
    Reading(Box<Reading>),
    Done,
}

struct Reading {
    body: futures::stream::BoxStream<'static, Result<Bytes, kube::Error>>,
    buffer: BytesMut,
    /// How much of the buffer was searched for a line end.
    searched: usize,
}

/// Follows a log in a namespace. Nothing is sent before the first [`LogFollow::next`].
pub fn follow(client: Client, namespace: &str, target: &LogTarget, options: LogOptions) -> LogFollow {
    let base = format!("/apis/{}/namespaces/{namespace}", breakbulk_schemas::API_VERSION);
    let path = match target {
        LogTarget::Job { name, attempt: None } => format!("{base}/jobs/{name}/log?watch=true"),
        LogTarget::Job { name, attempt: Some(n) } => format!("{base}/jobs/{name}/log?watch=true&attempt={n}"),
        LogTarget::Run { name } => format!("{base}/pipelineruns/{name}/log?watch=true"),
    };
    let cursor = options.after.clone();
    let expected = HashMap::new();
    LogFollow {
        client,
        path,
        options,
        cursor,
        expected,
        state: State::Idle,
        failures: 0,
        hole: None,
    }
}

impl LogFollow {
    /// The next event; none when the log is complete. Safe to drop and call again: what was read stays.
    ///
    /// # Errors
    /// When the server refuses, or what it sends cannot be a log. There is nothing after an error.
    pub async fn next(&mut self) -> Result<Option<LogEvent>, LogError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(None),
                State::Waiting(wait) => {
                    tokio::time::sleep(*wait).await;
                    self.state = State::Idle;
                }
                State::Idle => {
                    if let Some(event) = self.connect().await? {
                        return Ok(Some(event));
                    }
                }
                State::Reading(reading) => match reading.line().await {
                    Ok(Some(line)) => {
                        if let Some(event) = self.event(&line)? {
                            return Ok(Some(event));
                        }
                    }
                    Ok(None) => return Ok(Some(self.interrupted("the server closed the connection".to_owned()))),
                    Err(cause) => return Ok(Some(self.interrupted(cause))),
                },
            }
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<LogEvent, LogError>> + Send {
        futures::stream::try_unfold(self, |mut follow| async move {
            let event = follow.next().await?;
            Ok(event.map(|event| (event, follow)))
        })
    }

    /// Whether another event is at hand without waiting.
    pub fn has_more(&self) -> bool {
        match &self.state {
            State::Reading(reading) => memchr::memchr(b'\n', &reading.buffer).is_some(),
            _ => false,
        }
    }

    /// The place behind the last chunk.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    async fn connect(&mut self) -> Result<Option<LogEvent>, LogError> {
        let request = http::Request::get(self.uri()).header(http::header::ACCEPT_ENCODING, "identity");
        let request = request
            .body(Body::empty())
            .map_err(|e| LogError::Malformed(e.to_string()))?;
        match self.client.send(request).await {
            Ok(response) if response.status().is_success() => {
                let body = response
                    .into_body()
                    .into_data_stream()
                    .map_err(kube::Error::from)
                    .boxed();
                self.state = State::Reading(Box::new(Reading {
                    body,
                    buffer: BytesMut::new(),
                    searched: 0,
                }));
                Ok(None)
            }
            Ok(response) => {
                let error = wire::refusal(response).await;
                if wire::is_passing(&error) {
                    Ok(Some(self.interrupted(wire::cause(&error))))
                } else {
                    self.refused(error)
                }
            }
            Err(error) => Ok(Some(self.interrupted(wire::cause(&error)))),
        }
    }

    fn uri(&self) -> String {
        let mut uri = self.path.clone();
        let mut add = |key: &str, value: &dyn std::fmt::Display| uri.push_str(&format!("&{key}={value}"));
        if let Some(Cursor(cursor)) = &self.cursor {
            add("resourceVersion", &wire::escape(cursor));
            return uri;
        }
        if let Some(lines) = self.options.tail_lines {
            add("tailLines", &lines);
        }
        if let Some(since) = self.options.since {
            add("sinceTime", &wire::escape(&since.to_string()));
        }
        if let Some(limit) = self.options.limit_bytes {
            add("limitBytes", &limit);
        }
        uri
    }

    fn interrupted(&mut self, cause: String) -> LogEvent {
        let (first, last) = BACKOFF;
        let retry_in = first.saturating_mul(1 << self.failures.min(10)).min(last);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(retry_in);
        LogEvent::Interrupted { cause, retry_in }
    }

    fn refused<T>(&mut self, error: kube::Error) -> Result<T, LogError> {
        self.state = State::Done;
        Err(LogError::Refused(Box::new(error)))
    }

    fn event(&mut self, line: &[u8]) -> Result<Option<LogEvent>, LogError> {
        match wire::parse(line) {
            Ok(wire::Event::Chunk(chunk)) => self.accept(chunk),
            Ok(wire::Event::Bookmark(cursor)) => {
                self.cursor = Some(cursor).or(self.cursor.take());
                self.failures = 0;
                Ok(None)
            }
            Ok(wire::Event::Nothing) => Ok(None),
            Ok(wire::Event::End) => {
                self.state = State::Done;
                Ok(None)
            }
            Ok(wire::Event::Error(error)) if wire::is_passing(&error) => {
                Ok(Some(self.interrupted(wire::cause(&error))))
            }
            Ok(wire::Event::Error(error)) => self.refused(error),
            Err(what) => {
                self.state = State::Done;
                Err(LogError::Malformed(what))
            }
        }
    }

    /// Takes a chunk that continues its attempt; drops what came before, and asks again once where bytes are missing.
    fn accept(&mut self, mut chunk: LogChunk) -> Result<Option<LogEvent>, LogError> {
        self.failures = 0;
        let key = (chunk.job.clone(), chunk.attempt);
        let length = match &chunk.payload {
            Payload::Data(bytes) => bytes.len() as u64,
            Payload::Gap { bytes, .. } => *bytes,
        };
        let end = chunk.offset + length;
        match self.expected.get(&key) {
            Some(&expected) if end <= expected && length > 0 => return Ok(None),
            Some(&expected) if chunk.offset < expected => {
                let known = usize::try_from(expected - chunk.offset).unwrap_or(usize::MAX);
                if let Payload::Data(bytes) = &mut chunk.payload {
                    *bytes = bytes.slice(known.min(bytes.len())..);
                }
                chunk.offset = expected;
            }
            Some(&expected) if chunk.offset > expected => return self.missing(&chunk, expected),
            _ => {}
        }
        self.expected.insert(key, end);
        self.cursor = Some(chunk.cursor.clone());
        self.hole = None;
        Ok(Some(LogEvent::Chunk(chunk)))
    }

    fn missing(&mut self, chunk: &LogChunk, expected: u64) -> Result<Option<LogEvent>, LogError> {
        if self.hole.replace(expected) == Some(expected) {
            self.state = State::Done;
            let (job, attempt) = (chunk.job.clone(), chunk.attempt);
            return Err(LogError::Hole {
                job,
                attempt,
                expected,
                got: chunk.offset,
            });
        }
        Ok(Some(self.interrupted(format!(
            "bytes {expected} to {} did not arrive",
            chunk.offset
        ))))
    }
}

impl Reading {
    /// The next line, without its end. None: the body ended. What is behind the last line end is half an event.
    async fn line(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                line.truncate(self.searched + at);
                self.searched = 0;
                return Ok(Some(line.freeze()));
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_EVENT {
                return Err(format!("an event is longer than {MAX_EVENT} bytes"));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Err(wire::cause(&error)),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
