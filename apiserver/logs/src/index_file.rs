//! The index of a sealed log, kept beside its segments, so that a long log opens at any place at once.
//!
//! ```text
//! | magic 8 | trailer: segment, position | length | lines | latest | step | in line | count | marks … | crc 4 |
//! ```
//!
//! All numbers are little-endian u64. The file is a shortcut and never the truth: it counts only if its
//! checksum holds and the log's trailer stands where it says; without it the segments are walked. It is not
//! synced. Only the server writes it, so what a job prints cannot pretend to be a trailer through it.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use crate::index::{Index, Place};
use crate::seal::{TRAILER_LEN, Trailer};
use crate::segment::Segments;

/// Shorter logs have none: walking them takes less than a few milliseconds.
pub(crate) const WORTHWHILE: u64 = 4 << 20;

const MAGIC: u64 = u64::from_le_bytes(*b"bulkIDX1");

/// The largest file that is read: an index is bounded, and so is this.
const MAX_LEN: u64 = 1 << 20;

/// What an index file says.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) index: Index,
    /// Where the trailer stands: the place behind the last record.
    pub(crate) end: Place,
    pub(crate) trailer: Trailer,
}

/// Writes the index of a sealed log whose trailer stands at `end`.
pub(crate) fn save(segments: &Segments, index: &Index, end: Place) -> io::Result<()> {
    let mut words = vec![MAGIC, u64::from(end.segment), end.position, end.offset];
    index.export(&mut words);
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let path = segments.index_path();
    let temporary = path.with_extension("idx.tmp");
    fs::write(&temporary, bytes)?;
    fs::rename(temporary, path)
}

/// The index of a sealed log, if there is one and the log ends as it says.
pub(crate) fn load(segments: &Segments) -> Option<Loaded> {
    let path = segments.index_path();
    if fs::metadata(&path).ok()?.len() > MAX_LEN {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (words, rest) = body.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let [MAGIC, segment, position, offset, index @ ..] = &words[..] else {
        return None;
    };
    if !rest.is_empty() {
        return None;
    }
    let end = Place {
        offset: *offset,
        segment: u32::try_from(*segment).ok()?,
        position: *position,
    };
    let trailer = trailer_at(segments, end)?;
    Some(Loaded {
        index: Index::import(index)?,
        end,
        trailer,
    })
}

fn trailer_at(segments: &Segments, end: Place) -> Option<Trailer> {
    let file = segments.open(end.segment).ok()??;
    let mut bytes = [0; TRAILER_LEN];
    file.read_exact_at(&mut bytes, end.position).ok()?;
    let last = file.metadata().ok()?.len() == end.position + TRAILER_LEN as u64;
    Trailer::decode(&bytes).filter(|trailer| last && trailer.seal.length == end.offset)
}
