//! A log as plain text: what `kubectl logs` prints.
//!
//! Content bytes go out exactly as they are. Two things are added: with timestamps each line begins with
//! the time of its first byte, in the fixed-width form of RFC 3339 that the kubelet uses; and a gap is a line of its
//! own. Nothing here reads files.

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{Stream, StreamExt};

use crate::reader::{Chunk, Content, ReadError, ReadItem};

/// How many chunks that are there anyway go out as one piece of text.
const COALESCE: usize = 256;

/// Whether lines carry their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// They do not.
    #[default]
    Off,
    /// Each begins with it.
    On,
}

/// Turns chunks into text, piece by piece.
#[derive(Debug)]
pub struct Renderer {
    timestamps: Timestamps,
    left: u64,
    in_line: bool,
}

impl Renderer {
    /// A renderer that writes `limit_bytes` bytes at most, all it adds included.
    pub fn new(timestamps: Timestamps, limit_bytes: Option<u64>) -> Self {
        Self {
            timestamps,
            left: limit_bytes.unwrap_or(u64::MAX),
            in_line: false,
        }
    }

    /// Whether the limit is reached.
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// The text of `chunk`.
    pub fn render(&mut self, chunk: &Chunk) -> Bytes {
        let mut text = match &chunk.content {
            Content::Data(bytes) if self.timestamps == Timestamps::Off => bytes.clone(),
            Content::Data(bytes) => self.stamped(chunk.time, bytes),
            Content::Gap { missing, cause } => self.gap(chunk.time, *missing, cause),
        };
        text.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= text.len() as u64;
        self.in_line = text.last().map_or(self.in_line, |last| *last != b'\n');
        text
    }

    fn stamped(&self, time: u64, bytes: &[u8]) -> Bytes {
        let stamp = stamp(time);
        let mut out = BytesMut::with_capacity(bytes.len() + 2 * stamp.len());
        let mut in_line = self.in_line;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !in_line {
                out.put_slice(stamp.as_bytes());
            }
            out.put_slice(line);
            in_line = false;
            if out.len() as u64 >= self.left {
                break;
            }
        }
        out.freeze()
    }

    fn gap(&self, time: u64, missing: u64, cause: &str) -> Bytes {
        let newline = if self.in_line { "\n" } else { "" };
        let stamp = if self.timestamps == Timestamps::On {
            stamp(time)
        } else {
            String::new()
        };
        let cause: String = cause.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{newline}{stamp}[log: {missing} bytes are missing here: {cause}]\n").into()
    }
}

/// The time, in UTC with nine digits of fraction, and a space.
fn stamp(time: u64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time)) {
        Ok(time) => format!("{time:.9} "),
        Err(_) => String::from("- "),
    }
}

/// Renders what a reader yields. Ends with it, at its first error, or at the limit.
pub fn render<S>(
    items: S,
    timestamps: Timestamps,
    limit_bytes: Option<u64>,
) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + use<S>
where
    S: Stream<Item = Result<ReadItem, ReadError>> + Send,
{
    let renderer = Renderer::new(timestamps, limit_bytes);
    items
        .ready_chunks(COALESCE)
        .scan(renderer, |renderer, items| {
            let pieces = (!renderer.is_full()).then(|| render_all(renderer, items));
            std::future::ready(pieces)
        })
        .flat_map(futures::stream::iter)
}

/// Large chunks go out as they are, small ones together.
fn render_all(renderer: &mut Renderer, items: Vec<Result<ReadItem, ReadError>>) -> Vec<Result<Bytes, ReadError>> {
    const LARGE: usize = 16 * 1024;
    let mut out = Vec::new();
    let mut small = BytesMut::new();
    for item in items {
        let text = match item {
            Ok(ReadItem::Chunk(chunk)) => renderer.render(&chunk),
            Ok(ReadItem::End(_)) => continue,
            Err(error) => {
                flush(&mut small, &mut out);
                out.push(Err(error));
                continue;
            }
        };
        if text.len() >= LARGE {
            flush(&mut small, &mut out);
            out.push(Ok(text));
        } else {
            small.put_slice(&text);
        }
    }
    flush(&mut small, &mut out);
    out
}

fn flush(small: &mut BytesMut, out: &mut Vec<Result<Bytes, ReadError>>) {
    if !small.is_empty() {
        out.push(Ok(small.split().freeze()));
    }
}
