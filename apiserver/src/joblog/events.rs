//! Logs as watch events: each chunk an ADDED event of a `LogChunk`, whose resourceVersion is the place behind it. The
//! end is a BOOKMARK that says how the log was closed; a stream that stops without one was broken off.

use std::fmt::Write as _;

use base64::Engine as _;
use breakbulk_logs::{Chunk, Content, End, Stream as Source};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};

use super::cursor::{JobCursor, RunCursor};
use super::job::end_of;
use super::{Body, LogError, Part, Piece};

/// On the last event: the log is complete. The value says how it was closed.
const LOG_END: &str = "breakbulk.dev/log-end";

/// How many events that are ready go out together.
const COALESCE: usize = 64;

/// Follows where a reader is.
enum Place {
    Job(JobCursor),
    Run(RunCursor),
}

struct Encoder {
    namespace: String,
    /// The object whose log it is.
    name: String,
    place: Place,
    left: u64,
    last: Option<End>,
    /// Whether every log that ended was sealed.
    sealed: bool,
}

/// A job's log.
pub(super) fn job(
    pieces: BoxStream<'static, Result<Piece, LogError>>,
    namespace: &str,
    name: &str,
    limit: Option<u64>,
) -> Body {
    encode(
        pieces,
        Encoder::new(namespace, name, Place::Job(JobCursor { attempt: 1, offset: 0 }), limit),
    )
}

/// A run's log; `from` is the cursor it was resumed at.
pub(super) fn run(
    pieces: BoxStream<'static, Result<Piece, LogError>>,
    namespace: &str,
    from: RunCursor,
    limit: Option<u64>,
) -> Body {
    encode(pieces, Encoder::new(namespace, "", Place::Run(from), limit))
}

fn encode(pieces: BoxStream<'static, Result<Piece, LogError>>, encoder: Encoder) -> Body {
    pieces
        .map(Some)
        .chain(stream::once(std::future::ready(None)))
        .ready_chunks(COALESCE)
        .scan(encoder, |encoder, pieces| std::future::ready(encoder.batch(pieces)))
        .boxed()
}

impl Encoder {
    fn new(namespace: &str, name: &str, place: Place, limit: Option<u64>) -> Self {
        let left = limit.unwrap_or(u64::MAX);
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            place,
            left,
            last: None,
            sealed: true,
        }
    }

    /// Events for some pieces; none when everything allowed has been handed out.
    fn batch(&mut self, pieces: Vec<Option<Result<Piece, LogError>>>) -> Option<Result<Bytes, LogError>> {
        if self.left == 0 {
            return None;
        }
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Some(Ok(piece)) => self.piece(piece, &mut out),
                Some(Err(error)) => {
                    let status = json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": error.to_string(), "reason": "InternalError", "code": 500,
                    });
                    event("ERROR", &status, &mut out);
                    self.left = 0;
                }
                None => self.end(&mut out),
            }
            if self.left == 0 {
                break;
            }
        }
        Some(Ok(Bytes::from(out)))
    }

    fn piece(&mut self, piece: Piece, out: &mut String) {
        match piece.part {
            Part::End(end) => {
                self.sealed &= end.sealed;
                self.last = Some(end);
            }
            Part::Chunk(mut chunk) => {
                if let Content::Data(bytes) = &mut chunk.content {
                    bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= bytes.len() as u64;
                }
                let behind = end_of(&chunk);
                let cursor = match &mut self.place {
                    Place::Job(cursor) => {
                        *cursor = JobCursor {
                            attempt: piece.attempt,
                            offset: behind,
                        };
                        cursor.to_string()
                    }
                    Place::Run(cursor) => {
                        cursor.advance(&piece.job, piece.attempt, behind);
                        cursor.to_string()
                    }
                };
                self.chunk(&piece.job, piece.attempt, &cursor, &chunk, out);
            }
        }
    }

    /// Written by hand, field by field: this is the path of every byte that anybody follows.
    fn chunk(&self, job: &str, attempt: u32, cursor: &str, chunk: &Chunk, out: &mut String) {
        let name = if self.name.is_empty() { job } else { &self.name };
        let time = jiff::Timestamp::from_nanosecond(i128::from(chunk.time)).unwrap_or_default();
        let stream = match chunk.stream {
            Source::Output => "output",
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
            Source::System => "system",
        };
        // Names and cursors are made of letters, digits and a few signs; none of them needs escaping in JSON.
        let _ = write!(
            out,
            r#"{{"type":"ADDED","object":{{"apiVersion":"breakbulk.dev/v1","kind":"LogChunk","metadata":{{"name":"{name}","namespace":"{}","resourceVersion":"{cursor}"}},"job":"{job}","attempt":{attempt},"offset":{},"time":"{time:.9}","stream":"{stream}","#,
            self.namespace, chunk.offset,
        );
        match &chunk.content {
            Content::Data(bytes) => data(bytes, out),
            Content::Gap { missing, cause } => {
                let _ = write!(out, r#""gap":{}"#, json!({"bytes": missing, "cause": cause}));
            }
        }
        out.push_str("}}\n");
    }

    fn end(&mut self, out: &mut String) {
        let cursor = match &self.place {
            Place::Job(cursor) => cursor.to_string(),
            Place::Run(cursor) => cursor.to_string(),
        };
        let digest = self.last.as_ref().and_then(|end| end.digest).map(hex);
        let mut how = json!({"sealed": self.sealed && self.last.is_some()});
        if let (Place::Job(_), Some(end)) = (&self.place, &self.last) {
            how["length"] = json!(end.length);
            how["digest"] = json!(digest);
        }
        let object = json!({
            "apiVersion": "breakbulk.dev/v1",
            "kind": "LogChunk",
            "metadata": {"resourceVersion": cursor, "annotations": {LOG_END: how.to_string()}},
        });
        event("BOOKMARK", &object, out);
    }
}

fn event(kind: &str, object: &Value, out: &mut String) {
    let _ = writeln!(out, r#"{{"type":"{kind}","object":{object}}}"#);
}

/// Text where the bytes are text, base64 where they are not: every byte arrives.
fn data(bytes: &Bytes, out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.push_str(r#""data":"#);
            out.push_str(&serde_json::to_string(text).unwrap_or_default());
        }
        Err(_) => {
            out.push_str(r#""dataBase64":""#);
            base64::engine::general_purpose::STANDARD.encode_string(bytes, out);
            out.push('"');
        }
    }
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
