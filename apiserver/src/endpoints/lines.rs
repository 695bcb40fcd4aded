//! The events of a watch, as lines of JSON or frames of protobuf. Several that are ready together become one piece of the answer; a single one,
//! which is the rule, goes as it is and is shared with the other watchers.

use breakbulk_protobuf::{EncodeError, WatchEventType, watch_frame};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::Value;

use crate::cacher::Entry;
use crate::registry::Storage;
use crate::status::ApiError;

/// What a line has around its object, about.
const AROUND: usize = 40;

/// Lines or frames that are to be sent.
#[derive(Default)]
pub(super) struct Lines {
    single: Option<Bytes>,
    several: BytesMut,
}

impl Lines {
    /// One more.
    pub(super) fn push(&mut self, line: Bytes) {
        if self.single.is_none() && self.several.is_empty() {
            self.single = Some(line);
            return;
        }
        if let Some(first) = self.single.take() {
            self.several.extend_from_slice(&first);
        }
        self.several.extend_from_slice(&line);
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.single.as_ref().map_or(0, Bytes::len) + self.several.len()
    }

    /// All of them; none when there are none.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let single = self.single.take();
        single.or_else(|| (!self.several.is_empty()).then(|| self.several.split().freeze()))
    }
}

/// How the events of a watch are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A line of JSON each.
    Json,
    /// A frame of protobuf each, behind its length.
    Protobuf,
}

/// Why an event cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// Its object is not JSON.
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    /// Its object does not fit its kind.
    #[error("it cannot be written as protobuf")]
    Protobuf(#[from] EncodeError),
}

impl Framing {
    /// What a watch so written says it is.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }

    /// An event about an object that is encoded as JSON.
    pub(super) fn event(self, event: WatchEventType, object: &[u8]) -> Result<Bytes, FrameError> {
        match self {
            Self::Json => Ok(line(event, object)),
            Self::Protobuf => Ok(watch_frame(event, &protobuf(object)?).into()),
        }
    }

    /// An event about an object as it is stored.
    pub(super) fn stored(self, event: WatchEventType, entry: &Entry, storage: &Storage) -> Result<Bytes, FrameError> {
        match self {
            Self::Json => Ok(stored(event, entry, storage)),
            Self::Protobuf => self.event(event, &entry.encoded(storage)),
        }
    }

    /// The event that says why a watch ends.
    pub(super) fn error(self, error: &ApiError) -> Bytes {
        let status = error.to_json().to_string();
        let event = self.event(WatchEventType::Error, status.as_bytes());
        // The stream ends all the same.
        event
            .inspect_err(|error| tracing::error!(%error, "a Status cannot be encoded"))
            .unwrap_or_default()
    }
}

/// A JSON object as protobuf.
pub(super) fn protobuf(object: &[u8]) -> Result<Vec<u8>, FrameError> {
    let object: Value = serde_json::from_slice(object)?;
    Ok(breakbulk_protobuf::encode(&object)?)
}

/// A line about an object as it is stored: its bytes are copied.
pub(super) fn stored(event: WatchEventType, entry: &Entry, storage: &Storage) -> Bytes {
    let mut out = begun(event, entry.size());
    entry.put(&mut out, storage);
    ended(out)
}

fn line(event: WatchEventType, object: &[u8]) -> Bytes {
    let mut out = begun(event, object.len());
    out.put_slice(object);
    ended(out)
}

fn begun(event: WatchEventType, size: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(size + AROUND);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(event.as_str().as_bytes());
    out.put_slice(b"\",\"object\":");
    out
}

fn ended(mut out: BytesMut) -> Bytes {
    out.put_slice(b"}\n");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_line_is_shared_and_several_are_one_piece() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(), None);
        let one = line(WatchEventType::Added, b"{}");
        lines.push(one.clone());
        let taken = lines.take().unwrap();
        assert_eq!(taken.as_ptr(), one.as_ptr());
        for _ in 0..3 {
            lines.push(one.clone());
        }
        assert_eq!(lines.len(), 3 * one.len());
        assert_eq!(lines.take().unwrap(), one.repeat(3));
        assert_eq!((lines.len(), lines.take()), (0, None));
    }
}
