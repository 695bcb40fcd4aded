//! The lines of a watch: one event each. Several that are ready together become one piece of the answer; a single one,
//! which is the rule, goes as it is and is shared with the other watchers.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::cacher::Entry;
use crate::registry::Storage;
use crate::status::ApiError;

/// What a line has around its object, about.
const AROUND: usize = 40;

/// Lines that are to be sent.
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

/// An event about an object that is encoded.
pub(super) fn line(event: &str, object: &[u8]) -> Bytes {
    let mut out = begun(event, object.len());
    out.put_slice(object);
    ended(out)
}

/// An event about an object as it is stored.
pub(super) fn stored(event: &str, entry: &Entry, storage: &Storage) -> Bytes {
    let mut out = begun(event, entry.size());
    entry.put(&mut out, storage);
    ended(out)
}

/// The event that says why a watch ends.
pub(super) fn error(error: &ApiError) -> Bytes {
    line("ERROR", error.to_json().to_string().as_bytes())
}

fn begun(event: &str, size: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(size + AROUND);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(event.as_bytes());
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
        let one = line("ADDED", b"{}");
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
