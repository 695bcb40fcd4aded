//! Reading a spool while it grows: whole records, as they stand, from any offset on.
//!
//! Only the headers' lengths and offsets are looked at. Checksums are the server's to verify; a spool whose headers
//! do not follow on one another is damaged, and ends where it was last sound.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use breakbulk_log_record::{self as record, HEADER_LEN, Kind, MAX_PAYLOAD, Record};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What one batch holds at most, but for a single larger record: small enough that logs take turns on one
/// connection, large enough that nothing is paid per byte.
pub(crate) const BATCH: usize = 256 << 10;
/// The first read: what a chatty script writes between two looks.
const FIRST: usize = 32 << 10;

/// A cursor into a spool.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    file: Option<File>,
    /// Where in the file the next record starts.
    position: u64,
    /// Its content offset.
    offset: u64,
}

/// Whole records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) records: Bytes,
    /// The content offset behind them.
    pub(crate) end: u64,
}

/// Why a spool cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("cannot read the spool {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the spool {} is damaged at byte {position}", path.display())]
    Damaged { path: PathBuf, position: u64 },
}

impl Spool {
    /// A cursor at the beginning. The file need not be there yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            position: 0,
            offset: 0,
        }
    }

    /// The content offset of the next batch.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Moves to the record that holds content offset `to`, or to the end of what is there. Blocks.
    pub(crate) fn seek(&mut self, to: u64) -> Result<(), SpoolError> {
        if to < self.offset {
            (self.position, self.offset) = (0, 0);
        }
        while self.offset < to {
            let Some((length, end)) = self.header()? else {
                return Ok(());
            };
            if end > to {
                return Ok(());
            }
            self.position += length;
            self.offset = end;
        }
        Ok(())
    }

    /// Takes the next whole records, if any have been written. Blocks for a read of what is most likely in memory.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, SpoolError> {
        let mut bytes = Vec::with_capacity(FIRST);
        self.fill(&mut bytes)?;
        let mut whole = self.walk(&bytes)?;
        if bytes.len() == FIRST {
            // There is more: one record may need more room than a batch.
            let needed = needed(&bytes, whole.length);
            bytes.reserve_exact(BATCH.max(needed) - FIRST);
            self.fill(&mut bytes)?;
            whole = self.walk(&bytes)?;
        }
        if whole.length == 0 {
            return Ok(None);
        }
        bytes.truncate(whole.length);
        self.position += whole.length as u64;
        self.offset = whole.end;
        Ok(Some(Batch {
            records: Bytes::from(bytes),
            end: whole.end,
        }))
    }

    /// Reads into the spare room, from behind what `bytes` already holds.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> Result<(), SpoolError> {
        if !self.open()? {
            return Ok(());
        }
        while bytes.len() < bytes.capacity() {
            let Some(file) = &self.file else { return Ok(()) };
            let at = self.position + bytes.len() as u64;
            match rustix::io::pread(file, rustix::buffer::spare_capacity(bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.read_error(error.into())),
            }
        }
        Ok(())
    }

    /// How much of `bytes` is whole records that follow on the cursor.
    fn walk(&self, bytes: &[u8]) -> Result<Whole, SpoolError> {
        let mut whole = Whole {
            length: 0,
            end: self.offset,
        };
        while let Some(head) = Head::read(&bytes[whole.length..]) {
            let length = HEADER_LEN + head.payload;
            if !head.follows(whole.end) {
                if whole.length > 0 {
                    break;
                }
                return Err(self.damaged());
            }
            let Some(frame) = bytes.get(whole.length..whole.length + length) else {
                break;
            };
            whole.end = head.offset.saturating_add(head.content(frame));
            whole.length += length;
        }
        Ok(whole)
    }

    fn open(&mut self) -> Result<bool, SpoolError> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        Ok(self.file.is_some())
    }

    /// The record at the cursor: its length in the file and the offset behind it.
    fn header(&mut self) -> Result<Option<(u64, u64)>, SpoolError> {
        self.open()?;
        let Some(file) = &self.file else { return Ok(None) };
        // A gap's size stands right behind the header.
        let mut bytes = [0; HEADER_LEN + 8];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], self.position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        let Some(head) = Head::read(&bytes[..filled]) else {
            return Ok(None);
        };
        if !head.follows(self.offset) {
            return Err(self.damaged());
        }
        let content = head.content(&bytes[..filled]);
        Ok(Some((
            (HEADER_LEN + head.payload) as u64,
            head.offset.saturating_add(content),
        )))
    }

    fn read_error(&self, source: io::Error) -> SpoolError {
        SpoolError::Read {
            path: self.path.clone(),
            source,
        }
    }

    fn damaged(&self) -> SpoolError {
        SpoolError::Damaged {
            path: self.path.clone(),
            position: self.position,
        }
    }
}

struct Whole {
    length: usize,
    end: u64,
}

/// The parts of a record's header that say where the next record is.
struct Head {
    payload: usize,
    offset: u64,
    gap: bool,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_LEN>()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Some(Self {
            payload: word(0) as usize,
            offset: u64::from(word(8)) | u64::from(word(12)) << 32,
            gap: head[24] == Kind::Gap as u8,
        })
    }

    fn follows(&self, offset: u64) -> bool {
        self.offset == offset && self.payload <= MAX_PAYLOAD && (!self.gap || self.payload >= 8)
    }

    /// Content bytes that the record accounts for. `frame` starts at the header.
    fn content(&self, frame: &[u8]) -> u64 {
        if !self.gap {
            return self.payload as u64;
        }
        let count = frame.get(HEADER_LEN..).and_then(|rest| rest.first_chunk::<8>());
        count.map_or(0, |count| u64::from_le_bytes(*count))
    }
}

/// Room for the first record that did not fit.
fn needed(bytes: &[u8], whole: usize) -> usize {
    match Head::read(&bytes[whole..]) {
        Some(head) if whole == 0 => HEADER_LEN + head.payload.min(MAX_PAYLOAD),
        _ => BATCH,
    }
}

/// What is sound of a spool whose shim is gone: where its content ends, and its digest. Blocks for as long as it
/// takes to read all of it.
pub(crate) fn measure(path: &Path) -> (u64, [u8; 32]) {
    let mut spool = Spool::new(path);
    let mut digest = Sha256::new();
    'all: while let Ok(Some(batch)) = spool.next() {
        let mut records = batch.records;
        while let Ok(Some(record)) = record::decode(&mut records) {
            if record.kind == Kind::Data {
                digest.update(&record.payload);
            }
        }
        if !records.is_empty() {
            // A record fails its checksum: the log is sound up to it.
            let mut sound = Spool::new(path);
            if sound.seek(batch.end).is_err() {
                break 'all;
            }
            return sound_prefix(path);
        }
    }
    (spool.offset(), digest.finalize().into())
}

/// As [`measure`], record by record, up to the first that fails its checksum.
fn sound_prefix(path: &Path) -> (u64, [u8; 32]) {
    let mut spool = Spool::new(path);
    let mut digest = Sha256::new();
    let mut end = 0;
    while let Ok(Some(batch)) = spool.next() {
        let mut records = batch.records;
        loop {
            match record::decode(&mut records) {
                Ok(Some(record)) => {
                    if record.kind == Kind::Data {
                        digest.update(&record.payload);
                    }
                    end = record.end();
                }
                Ok(None) => break,
                Err(_) => return (end, digest.finalize().into()),
            }
        }
    }
    (end, digest.finalize().into())
}

/// The digest of a spool's content up to the offset `to`, checksums aside. Blocks.
pub(crate) fn digest(path: &Path, to: u64) -> [u8; 32] {
    let mut spool = Spool::new(path);
    let mut digest = Sha256::new();
    while let Ok(Some(batch)) = spool.next() {
        let mut records = batch.records;
        while let Ok(Some(record)) = record::decode(&mut records) {
            if record.kind == Kind::Data && record.end() <= to {
                digest.update(&record.payload);
            }
        }
    }
    digest.finalize().into()
}

/// A framed record that stands for what a spool has lost.
pub(crate) fn gap(offset: u64, missing: u64) -> Bytes {
    let mut frame = bytes::BytesMut::new();
    Record::gap(offset, now_nanos(), missing, "the node's copy of the log was damaged").encode(&mut frame);
    frame.freeze()
}

/// Writes the system's own words as a log: for an attempt that ended before it had a shim. Does nothing when there
/// is a spool already.
pub(crate) fn write_note(path: &Path, words: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        file => file?,
    };
    let mut line: String = words.chars().take(MAX_PAYLOAD / 8).collect();
    line.push('\n');
    let mut frame = bytes::BytesMut::new();
    Record::data(0, now_nanos(), record::Stream::System, Bytes::from(line)).encode(&mut frame);
    file.write_all(&frame)
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_nanos() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use breakbulk_log_record::Stream;
    use bytes::BytesMut;
    use proptest::prelude::*;

    fn framed(sizes: &[usize]) -> (Vec<u8>, Vec<u64>) {
        let (mut out, mut ends, mut offset) = (BytesMut::new(), vec![0], 0);
        for (index, size) in sizes.iter().enumerate() {
            let record = if index % 7 == 6 {
                Record::gap(offset, 1, *size as u64, "full")
            } else {
                Record::data(offset, 1, Stream::Output, Bytes::from(vec![b'x'; *size]))
            };
            record.encode(&mut out);
            offset = record.end();
            ends.push(offset);
        }
        (out.to_vec(), ends)
    }

    fn drain(spool: &mut Spool) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(batch) = spool.next().unwrap() {
            all.extend_from_slice(&batch.records);
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_read_is_what_was_written_however_it_is_cut(
            sizes in prop::collection::vec(prop_oneof![0..64usize, 30_000..40_000usize, Just(MAX_PAYLOAD)], 0..12),
            cut in any::<prop::sample::Index>(),
            from in any::<prop::sample::Index>(),
        ) {
            let (bytes, ends) = framed(&sizes);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("spool");
            let cut = cut.index(bytes.len() + 1);
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut spool = Spool::new(&path);
            let mut all = drain(&mut spool);
            std::fs::write(&path, &bytes).unwrap();
            all.extend(drain(&mut spool));
            prop_assert!(all == bytes);
            prop_assert_eq!(spool.offset(), *ends.last().unwrap());
            let to = ends[from.index(ends.len())];
            spool.seek(to).unwrap();
            prop_assert_eq!(spool.offset(), to);
            let (end, digest) = measure(&path);
            prop_assert_eq!(end, *ends.last().unwrap());
            let data: usize = sizes.iter().enumerate().filter(|(i, _)| i % 7 != 6).map(|(_, s)| s).sum();
            prop_assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(vec![b'x'; data])));
        }
    }

    #[test]
    fn a_spool_that_is_not_there_yet_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(&dir.path().join("spool"));
        assert_eq!(spool.next().unwrap(), None);
        spool.seek(10).unwrap();
        assert_eq!(spool.offset(), 0);
    }

    #[test]
    fn a_damaged_spool_ends_where_it_was_last_sound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let (mut bytes, ends) = framed(&[10, 10, 10]);
        let second = HEADER_LEN + 10;
        bytes[second + HEADER_LEN] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(measure(&path).0, ends[1]);
        bytes[second + 8] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let mut spool = Spool::new(&path);
        assert_eq!(spool.next().unwrap().unwrap().end, ends[1]);
        assert!(matches!(spool.next(), Err(SpoolError::Damaged { .. })));
        assert_eq!(measure(&path).0, ends[1]);
    }
}
