//! Segment files: their names, and walking the records that lie in them.
//!
//! A log's segments are `<uid>.<attempt>.<number>.log`, numbered from zero without holes; each holds
//! whole records, one behind the other, verbatim as they came. Only the last may end in a trailer. A walk
//! trusts nothing: it stops at the first thing that is not a valid record in its place. This module reads
//! and never writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use breakbulk_log_record::{HEADER_LEN, MAX_PAYLOAD, Record, decode};
use bytes::{Bytes, BytesMut};

use crate::index::Place;
use crate::key::LogKey;
use crate::seal::{TRAILER_LEN, Trailer};

/// How much a walk reads at once: a whole record of the largest size always fits.
const READ: usize = MAX_PAYLOAD + HEADER_LEN;

/// Where one log's segments are.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    directory: PathBuf,
    prefix: String,
}

impl Segments {
    pub(crate) fn of(root: &Path, key: &LogKey) -> Self {
        Self {
            directory: key.directory(root),
            prefix: key.file_prefix(),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{}{number:05}.log", self.prefix))
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.directory.join(format!("{}idx", self.prefix))
    }

    /// The trailer at the very end of the last segment, if the bytes there read as one. What a job prints
    /// may read as one too, so this is only good for telling a damaged log from a torn one.
    pub(crate) fn last_bytes(&self, mut number: u32) -> io::Result<Option<Trailer>> {
        let mut last = None;
        while let Some(file) = self.open(number)? {
            last = Some(file);
            number += 1;
        }
        let Some(file) = last else { return Ok(None) };
        let Some(position) = file.metadata()?.len().checked_sub(TRAILER_LEN as u64) else {
            return Ok(None);
        };
        let mut bytes = [0; TRAILER_LEN];
        file.read_exact_at(&mut bytes, position)?;
        Ok(Trailer::decode(&bytes))
    }

    /// Opens a segment to read; `None` where there is none.
    pub(crate) fn open(&self, number: u32) -> io::Result<Option<File>> {
        match File::open(self.path(number)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What follows the last valid record of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    Clean,
    /// Bytes that are no whole record: a write that is under way, or was when its writer died.
    Torn,
    /// The log's end.
    Sealed(Trailer),
}

/// Whether a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the next record.
    Next,
    /// No further; the record just seen is the first one not passed.
    Stop,
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The place of the next record.
    pub(crate) place: Place,
    /// What stands there.
    pub(crate) tail: Tail,
}

/// Walks the records from `place` on through all segments.
pub(crate) fn walk(
    segments: &Segments,
    mut place: Place,
    mut visit: impl FnMut(Place, Record) -> Step,
) -> io::Result<End> {
    let mut stopped = false;
    let mut next = segments.open(place.segment)?;
    let mut tail = Tail::Clean;
    while let Some(file) = next.take() {
        tail = walk_segment(&file, &mut place, |at, record| {
            let step = visit(at, record);
            stopped = step == Step::Stop;
            step
        })?;
        if stopped || tail != Tail::Clean {
            break;
        }
        next = segments.open(place.segment + 1)?;
        if next.is_some() {
            place = Place {
                segment: place.segment + 1,
                position: 0,
                ..place
            };
        }
    }
    Ok(End { place, tail })
}

fn walk_segment(file: &File, place: &mut Place, mut visit: impl FnMut(Place, Record) -> Step) -> io::Result<Tail> {
    let mut pending = Bytes::new();
    loop {
        pending = refill(file, &pending, place.position)?;
        let before = pending.len();
        loop {
            let left = pending.len();
            let record = match decode(&mut pending) {
                Ok(Some(record)) if record.offset == place.offset => record,
                Ok(Some(_)) => return Ok(Tail::Torn),
                Ok(None) => break,
                Err(_) => return Ok(tail_at(&pending)),
            };
            let Some(end) = record.offset.checked_add(record.content_len()) else {
                return Ok(Tail::Torn);
            };
            if visit(*place, record) == Step::Stop {
                return Ok(Tail::Clean);
            }
            place.position += (left - pending.len()) as u64;
            place.offset = end;
        }
        if pending.len() == before {
            // Nothing in a full buffer was a record, so none follows.
            return Ok(if pending.is_empty() {
                Tail::Clean
            } else {
                tail_at(&pending)
            });
        }
    }
}

fn tail_at(bytes: &[u8]) -> Tail {
    match Trailer::decode(bytes) {
        Some(trailer) if bytes.len() == TRAILER_LEN => Tail::Sealed(trailer),
        _ => Tail::Torn,
    }
}

/// Reads the whole records at `place`, up to one buffer full and up to the offset `limit`. Returns them with
/// the place behind them; none at all means that the files hold less than was known to be there.
pub(crate) fn batch(segments: &Segments, mut place: Place, limit: u64) -> io::Result<(Vec<Record>, Place)> {
    let mut records = Vec::new();
    while let Some(file) = segments.open(place.segment)? {
        let mut bytes = refill(&file, &[], place.position)?;
        let mut left = bytes.len();
        while let Ok(Some(record)) = decode(&mut bytes) {
            if record.offset != place.offset || record.end() > limit {
                break;
            }
            place.position += (left - bytes.len()) as u64;
            left = bytes.len();
            place.offset = record.end();
            records.push(record);
        }
        if !records.is_empty() {
            break;
        }
        place = Place {
            segment: place.segment + 1,
            position: 0,
            ..place
        };
    }
    Ok((records, place))
}

/// `pending`, which starts at `position`, continued from the file until a record must be whole.
fn refill(file: &File, pending: &[u8], position: u64) -> io::Result<Bytes> {
    let there = file.metadata()?.len().saturating_sub(position);
    let size = usize::try_from(there).map_or(READ, |there| there.clamp(pending.len(), READ));
    let mut buffer = BytesMut::zeroed(size);
    let mut filled = pending.len();
    buffer[..filled].copy_from_slice(pending);
    while filled < size {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.freeze())
}
