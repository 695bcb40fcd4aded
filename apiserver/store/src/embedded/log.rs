//! The log: segment files that transactions are appended to.
//!
//! A segment is a 64-byte header (which store, which first revision) and frames, see [`super::frame`]. Ahead of the
//! frames the file is filled with zeros, so that a commit's fdatasync overwrites blocks that exist already: that halves
//! its time, and it means that a full disk shows while zeros are written, before anything of a transaction is. When a
//! segment is full the next one is created (under a temporary name, synced, renamed), and the old one gets a seal that
//! names it, so that a missing file is noticed.
//!
//! A segment is named after the first revision in it, and no other may ever have that name: what is complete is removed
//! by name. So a segment in which no revision stands yet, but the mark of a compaction or of closing, is never full.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::frame;
use super::record::{self, Record};
use crate::Revision;

/// Bytes of a file's header.
pub(crate) const FILE_HEADER: usize = 64;
/// How far zeros are written ahead.
const AHEAD: u64 = 1024 * 1024;
const BLOCK: u64 = 4096;

/// Which store a file belongs to: random, chosen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

/// What a file is, as its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Names the store; written last when a store is created.
    Identity,
    /// A segment of the log.
    Log,
    /// All key-values at one revision.
    Snapshot,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Identity => *b"BKSTID_1",
            Self::Log => *b"BKSTLOG1",
            Self::Snapshot => *b"BKSTSNP1",
        }
    }
}

/// A file's header: what it is, whose, and its revision (a log's first, a snapshot's only).
pub(crate) fn file_header(kind: FileKind, store: StoreId, revision: Revision) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..8].copy_from_slice(&kind.magic());
    header[8..24].copy_from_slice(&store.0);
    header[24..32].copy_from_slice(&revision.0.to_le_bytes());
    let crc = crc32c::crc32c(&header[..FILE_HEADER - 4]);
    header[FILE_HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads a file's header, or says what is wrong with it.
pub(crate) fn read_file_header(kind: FileKind, file: &[u8]) -> Result<(StoreId, Revision), String> {
    let header = file.get(..FILE_HEADER).ok_or("the file is shorter than its header")?;
    let crc = crc32c::crc32c(&header[..FILE_HEADER - 4]);
    if header[..8] != kind.magic() || header[FILE_HEADER - 4..] != crc.to_le_bytes() {
        return Err("the file's header is not what was written".to_owned());
    }
    let (mut store, mut revision) = ([0; 16], [0; 8]);
    store.copy_from_slice(&header[8..24]);
    revision.copy_from_slice(&header[24..32]);
    Ok((StoreId(store), Revision(u64::from_le_bytes(revision))))
}

/// What is written behind a complete segment: one frame, which names the segment that follows.
pub(crate) fn seal(next: Revision) -> Vec<u8> {
    let (mut payload, mut framed) = (Vec::new(), Vec::new());
    record::put(&mut payload, &Record::Sealed { next });
    frame::encode(&payload, &mut framed);
    framed
}

/// The name of the segment that begins with this revision.
pub(crate) fn segment_name(first: Revision) -> String {
    format!("log-{first:020}.bkl", first = first.0)
}

/// Why something could not be appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The disk is full; nothing of it was written, and trying again later is fine.
    Full(io::Error),
    /// Something failed that must not be tried again. What it was.
    Broken(String),
}

/// A segment that is complete.
#[derive(Debug, Clone)]
pub(crate) struct SealedSegment {
    pub(crate) path: PathBuf,
    /// The last revision in it.
    pub(crate) last: Revision,
    pub(crate) bytes: u64,
}

/// The segment that is written to.
pub(crate) struct Log {
    dir: PathBuf,
    store: StoreId,
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    path: PathBuf,
    /// The first revision of the segment, which it is named after. It need not be written yet.
    first: Revision,
    file: File,
    /// Where the next frame goes.
    position: u64,
    /// How far the file has been written to, with frames or zeros.
    written: u64,
    sealed: Vec<SealedSegment>,
    frame: Vec<u8>,
}

/// Where a log goes on.
pub(crate) struct Resume {
    pub(crate) path: PathBuf,
    pub(crate) first: Revision,
    pub(crate) file: File,
    pub(crate) position: u64,
    pub(crate) written: u64,
    pub(crate) sealed: Vec<SealedSegment>,
}

impl Log {
    /// Goes on after a recovery.
    pub(crate) fn resume(
        dir: PathBuf,
        store: StoreId,
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        resume: Resume,
    ) -> Self {
        let Resume {
            path,
            first,
            file,
            position,
            written,
            sealed,
        } = resume;
        Self {
            dir,
            store,
            disk,
            segment_bytes,
            path,
            first,
            file,
            position,
            written,
            sealed,
            frame: Vec::new(),
        }
    }

    /// Creates a segment and returns it open, durable under its name. It never takes the place of another.
    pub(crate) fn create_segment(
        dir: &Path,
        store: StoreId,
        disk: &dyn Disk,
        first: Revision,
    ) -> io::Result<(PathBuf, File)> {
        let path = dir.join(segment_name(first));
        let temporary = path.with_extension("tmp");
        let create = || -> io::Result<File> {
            let file = disk.create_new(&temporary)?;
            disk.write_at(&file, &file_header(FileKind::Log, store, first), 0)?;
            disk.sync(&file)?;
            // Nobody else is in this directory, so nothing comes between the question and the rename.
            if path.try_exists()? {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            disk.rename(&temporary, &path)?;
            Ok(file)
        };
        let created = create();
        if created.is_err() {
            let _ = disk.remove(&temporary);
        }
        Ok((path, created?))
    }

    /// Appends one payload as one frame and returns when it is durable. `first` is the first revision in it, or the one
    /// that comes next if there is none in it.
    pub(crate) fn append(&mut self, payload: &[u8], first: Revision) -> Result<(), AppendError> {
        let needed = frame::framed_len(payload.len()) as u64;
        if self.position + needed > self.segment_bytes && first > self.first {
            self.rotate(first)?;
        }
        self.make_room(needed)?;
        self.frame.clear();
        frame::encode(payload, &mut self.frame);
        let broken = |what: &str, e: io::Error| AppendError::Broken(format!("{what}: {e}"));
        self.disk
            .write_at(&self.file, &self.frame, self.position)
            .map_err(|e| broken("writing the log", e))?;
        self.disk.sync(&self.file).map_err(|e| broken("syncing the log", e))?;
        self.position += needed;
        // A large group must not keep its buffer for ever.
        self.frame.shrink_to(256 * 1024);
        Ok(())
    }

    /// Writes zeros ahead until a frame of this size fits.
    fn make_room(&mut self, needed: u64) -> Result<(), AppendError> {
        let end = self.position + needed;
        if end <= self.written {
            return Ok(());
        }
        let generous = (end + AHEAD).min(self.segment_bytes.max(end)).next_multiple_of(BLOCK);
        let tight = end.next_multiple_of(BLOCK);
        match self.fill_to(generous) {
            Err(e) if is_full(&e) && generous > tight => self.fill_to(tight),
            other => other,
        }
        .map_err(|e| match is_full(&e) {
            true => AppendError::Full(e),
            false => AppendError::Broken(format!("extending the log: {e}")),
        })
    }

    fn fill_to(&mut self, end: u64) -> io::Result<()> {
        let zeros = vec![0; 64 * 1024];
        while self.written < end {
            let length = usize::try_from(end - self.written)
                .unwrap_or(usize::MAX)
                .min(zeros.len());
            self.disk.write_at(&self.file, &zeros[..length], self.written)?;
            self.written += length as u64;
        }
        Ok(())
    }

    fn rotate(&mut self, first: Revision) -> Result<(), AppendError> {
        let (path, file) =
            Self::create_segment(&self.dir, self.store, &*self.disk, first).map_err(|e| match is_full(&e) {
                true => AppendError::Full(e),
                false => AppendError::Broken(format!("creating a log segment: {e}")),
            })?;
        self.seal(first);
        let last = Revision(first.0 - 1);
        self.sealed.push(SealedSegment {
            path: std::mem::replace(&mut self.path, path),
            last,
            bytes: self.position,
        });
        self.first = first;
        self.file = file;
        self.position = FILE_HEADER as u64;
        self.written = FILE_HEADER as u64;
        Ok(())
    }

    /// Best effort: the seal only helps to notice a missing file, and everything before it is synced already.
    fn seal(&mut self, next: Revision) {
        let sealed = self
            .disk
            .write_at(&self.file, &seal(next), self.position)
            .and_then(|()| self.disk.sync(&self.file));
        if let Err(error) = sealed {
            tracing::warn!(%error, path = %self.path.display(), "a full log segment could not be sealed");
        }
    }

    /// The complete segments that hold nothing after this revision: a snapshot there makes them superfluous.
    pub(crate) fn sealed_until(&self, revision: Revision) -> impl Iterator<Item = &SealedSegment> {
        self.sealed.iter().take_while(move |segment| segment.last <= revision)
    }

    /// Removes the complete segments that hold nothing after this revision.
    pub(crate) fn remove_until(&mut self, revision: Revision) {
        let count = self.sealed_until(revision).count();
        for segment in self.sealed.drain(..count) {
            if let Err(error) = self.disk.remove(&segment.path) {
                tracing::warn!(%error, path = %segment.path.display(), "an old log segment could not be removed");
            }
        }
    }
}

/// The disk, or the user's share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn a_segment_never_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreId([7; 16]);
        let create = |first| Log::create_segment(dir.path(), store, &RealDisk, Revision(first));
        let (path, file) = create(2).unwrap();
        RealDisk.write_at(&file, b"acknowledged", FILE_HEADER as u64).unwrap();
        assert_eq!(create(2).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(std::fs::read(&path).unwrap().ends_with(b"acknowledged"));
        create(3).unwrap();
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }
}
