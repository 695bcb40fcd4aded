//! Logs as text: a job's as its bytes, a run's line by line with each line's job before it.

use std::sync::Arc;

use breakbulk_logs::Chunk;
use breakbulk_logs::text::{Renderer, Timestamps};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};

use super::query::LogQuery;
use super::run::Lines;
use super::{Body, LogError, Part, Piece};

/// How many pieces that are ready go out together.
const COALESCE: usize = 64;

/// The longest line that is held back until it is finished; a longer one is cut.
const MAX_LINE: usize = 64 * 1024;

/// A job's log.
pub(super) fn job(pieces: BoxStream<'static, Result<Piece, LogError>>, query: &LogQuery) -> Body {
    let renderer = Renderer::new(query.timestamps, query.limit_bytes);
    pieces
        .ready_chunks(COALESCE)
        .scan(renderer, |renderer, pieces| {
            let out = (!renderer.is_full()).then(|| joined(pieces, |part| renderer.render(part)));
            std::future::ready(out)
        })
        .flat_map(stream::iter)
        .boxed()
}

/// Renders pieces; large ones go out as they are, small ones together.
fn joined(
    pieces: Vec<Result<Piece, LogError>>,
    mut render: impl FnMut(&Chunk) -> Bytes,
) -> Vec<Result<Bytes, LogError>> {
    const LARGE: usize = 16 * 1024;
    let mut out = Vec::new();
    let mut small = BytesMut::new();
    for piece in pieces {
        let bytes = match piece {
            Ok(Piece {
                part: Part::Chunk(chunk),
                ..
            }) => render(&chunk),
            Ok(_) => continue,
            Err(error) => {
                flush(&mut small, &mut out);
                out.push(Err(error));
                continue;
            }
        };
        if bytes.len() < LARGE {
            small.extend_from_slice(&bytes);
        } else {
            flush(&mut small, &mut out);
            out.push(Ok(bytes));
        }
    }
    flush(&mut small, &mut out);
    out
}

fn flush(small: &mut BytesMut, out: &mut Vec<Result<Bytes, LogError>>) {
    if !small.is_empty() {
        out.push(Ok(small.split().freeze()));
    }
}

/// A run's log: whole lines, each behind the name of its job in brackets.
pub(super) fn run(pieces: BoxStream<'static, Result<Piece, LogError>>, run: &str, query: &LogQuery) -> Body {
    let prefix = format!("{run}-");
    let lines = Joiner {
        prefix,
        timestamps: query.timestamps,
        left: query.limit_bytes.unwrap_or(u64::MAX),
        lines: Lines::new(),
    };
    pieces
        .map(Some)
        .chain(stream::once(std::future::ready(None)))
        .scan(lines, |joiner, piece| {
            let out = (joiner.left > 0).then(|| match piece {
                Some(Ok(piece)) => Ok(joiner.take(&piece)),
                Some(Err(error)) => Err(error),
                None => Ok(joiner.rest()),
            });
            std::future::ready(out)
        })
        .filter(|bytes| std::future::ready(!matches!(bytes, Ok(bytes) if bytes.is_empty())))
        .boxed()
}

struct Joiner {
    prefix: String,
    timestamps: Timestamps,
    left: u64,
    lines: Lines,
}

impl Joiner {
    fn take(&mut self, piece: &Piece) -> Bytes {
        let mut out = BytesMut::new();
        match &piece.part {
            Part::Chunk(chunk) => {
                // A renderer of its own for each piece: a line's time is that of the piece it ends in.
                let text = Renderer::new(Timestamps::Off, None).render(chunk);
                let stamp = self.stamp(chunk);
                for line in text.split_inclusive(|byte| *byte == b'\n') {
                    let held = self.lines.entry(Arc::clone(&piece.job)).or_default();
                    held.extend_from_slice(line);
                    if held.ends_with(b"\n") || held.len() >= MAX_LINE {
                        let held = std::mem::take(held);
                        self.line(&piece.job, &stamp, &held, &mut out);
                    }
                }
            }
            Part::End(_) => {
                if let Some(held) = self.lines.remove(&piece.job) {
                    self.line(&piece.job, "", &held, &mut out);
                }
            }
        }
        self.limited(out)
    }

    fn rest(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        for (job, held) in std::mem::take(&mut self.lines) {
            self.line(&job, "", &held, &mut out);
        }
        self.limited(out)
    }

    fn stamp(&self, chunk: &Chunk) -> String {
        if self.timestamps == Timestamps::Off {
            return String::new();
        }
        jiff::Timestamp::from_nanosecond(i128::from(chunk.time))
            .map(|time| format!("{time:.9} "))
            .unwrap_or_default()
    }

    fn line(&self, job: &str, stamp: &str, line: &[u8], out: &mut BytesMut) {
        if line.is_empty() {
            return;
        }
        let name = job.strip_prefix(&self.prefix).unwrap_or(job);
        out.extend_from_slice(format!("[{name}] {stamp}").as_bytes());
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend_from_slice(b"\n");
        }
    }

    fn limited(&mut self, mut out: BytesMut) -> Bytes {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        out.truncate(left);
        self.left -= out.len() as u64;
        out.freeze()
    }
}
