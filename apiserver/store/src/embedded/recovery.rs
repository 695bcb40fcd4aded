//! Opening a store's directory: create it, or read back what was acknowledged, or refuse.
//!
//! The newest snapshot gives the oldest known state; the log after it is applied transaction by transaction, which
//! gives the history and the newest state. Revisions must follow one another without a gap. The only thing that is
//! ever repaired is the torn end of the last segment (see [`frame::Tail`]), which was never acknowledged; the only thing
//! that may be missing is the seal of one before it, or a part of it. Everything else that is not what was written is
//! refused, with nothing changed: a store that quietly opens with less than it acknowledged is worse than one that does
//! not open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::frame::{self, Found, Tail};
use super::index::{FIRST, Index};
use super::log::{self, FILE_HEADER, FileKind, Log, Resume, SealedSegment, StoreId, file_header, read_file_header};
use super::record::{self, Record};
use super::{Options, snapshot};
use crate::{Error, Result, Revision};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "IDENTITY";

/// An opened store.
pub(crate) struct Recovered {
    pub(crate) store: StoreId,
    pub(crate) index: Index,
    pub(crate) log: Log,
    /// Size of the snapshot on disk, zero without one.
    pub(crate) snapshot_bytes: u64,
    /// Its revision.
    pub(crate) snapshot_revision: Revision,
    /// Held as long as the store is open.
    pub(crate) lock: File,
}

/// Opens or creates the store in this directory.
pub(crate) fn open(dir: &Path, options: &Options) -> Result<Recovered> {
    let failed = |source: io::Error| Error::Open {
        path: dir.to_owned(),
        source: source.into(),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed)?;
    let lock = lock(dir)?;
    let files = Files::list(dir, &*options.disk).map_err(failed)?;
    let store = match read_identity(dir).map_err(failed)? {
        Some(bytes) => {
            read_file_header(FileKind::Identity, &bytes)
                .map_err(|m| damaged(&dir.join(IDENTITY), m))?
                .0
        }
        None => create(dir, &files, &*options.disk)?,
    };
    let files = Files::list(dir, &*options.disk).map_err(failed)?;
    let (mut index, snapshot_bytes) = load_snapshot(&files, store)?;
    let snapshot_revision = index.current();
    let resume = Replay {
        index: &mut index,
        store,
        disk: &options.disk,
    }
    .segments(dir, &files)?;
    let mut log = Log::resume(
        dir.to_owned(),
        store,
        Arc::clone(&options.disk),
        options.segment_bytes,
        resume,
    );
    log.remove_until(snapshot_revision);
    for (_, path) in files.snapshots.iter().rev().skip(1) {
        options.disk.remove(path).map_err(failed)?;
    }
    Ok(Recovered {
        store,
        index,
        log,
        snapshot_bytes,
        snapshot_revision,
        lock,
    })
}

fn lock(dir: &Path) -> Result<File> {
    let failed = |source: io::Error| Error::Open {
        path: dir.to_owned(),
        source: source.into(),
    };
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_owned() }),
        Err(fs::TryLockError::Error(e)) => Err(failed(e)),
    }
}

fn damaged(path: &Path, message: impl Into<String>) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        message: message.into(),
    }
}

fn read_identity(dir: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(dir.join(IDENTITY)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Creates an empty store: its first segment, then its identity. A directory that has the first but not the second is
/// one whose creation was interrupted, so long as nothing was ever written to it.
fn create(dir: &Path, files: &Files, disk: &dyn Disk) -> Result<StoreId> {
    let failed = |source: io::Error| Error::Open {
        path: dir.to_owned(),
        source: source.into(),
    };
    let unused = match files.segments.as_slice() {
        [] => true,
        [(first, path)] => *first == FIRST.next() && fs::metadata(path).map_err(failed)?.len() == FILE_HEADER as u64,
        _ => false,
    };
    if !unused || !files.snapshots.is_empty() {
        return Err(damaged(
            dir,
            format!("there is data, but the file {IDENTITY} is missing"),
        ));
    }
    for (_, path) in &files.segments {
        disk.remove(path).map_err(failed)?;
    }
    let mut id = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut id))
        .map_err(failed)?;
    let store = StoreId(id);
    Log::create_segment(dir, store, disk, FIRST.next()).map_err(failed)?;
    let write_identity = || {
        let temporary = dir.join("IDENTITY.tmp");
        let file = disk.create_new(&temporary)?;
        disk.write_at(&file, &file_header(FileKind::Identity, store, FIRST), 0)?;
        disk.sync(&file)?;
        disk.rename(&temporary, &dir.join(IDENTITY))
    };
    write_identity().map_err(failed)?;
    Ok(store)
}

/// The store's files by their names, each kind in order of revision.
struct Files {
    snapshots: Vec<(Revision, PathBuf)>,
    segments: Vec<(Revision, PathBuf)>,
}

impl Files {
    /// Lists them, and removes what was not finished when the store last stopped.
    fn list(dir: &Path, disk: &dyn Disk) -> io::Result<Self> {
        let mut files = Self {
            snapshots: Vec::new(),
            segments: Vec::new(),
        };
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let numbered = |prefix: &str, suffix: &str| {
                name.strip_prefix(prefix)?
                    .strip_suffix(suffix)?
                    .parse()
                    .ok()
                    .map(Revision)
            };
            if let Some(revision) = numbered("snapshot-", ".bks") {
                files.snapshots.push((revision, path));
            } else if let Some(revision) = numbered("log-", ".bkl") {
                files.segments.push((revision, path));
            } else if name.ends_with(".tmp") {
                disk.remove(&path)?;
            }
        }
        files.snapshots.sort();
        files.segments.sort();
        Ok(files)
    }
}

fn load_snapshot(files: &Files, store: StoreId) -> Result<(Index, u64)> {
    let Some((revision, path)) = files.snapshots.last() else {
        return Ok((Index::new(), 0));
    };
    let bytes = fs::read(path).map_err(|e| Error::Open {
        path: path.clone(),
        source: e.into(),
    })?;
    let mut index = Index::starting_at(*revision);
    snapshot::read(&bytes, store, *revision, |item| index.restore(item)).map_err(|m| damaged(path, m))?;
    Ok((index, bytes.len() as u64))
}

/// Applies the log to the state of the snapshot.
struct Replay<'a> {
    index: &'a mut Index,
    store: StoreId,
    disk: &'a Arc<dyn Disk>,
}

impl Replay<'_> {
    fn segments(mut self, dir: &Path, files: &Files) -> Result<Resume> {
        let snapshot = self.index.current();
        let mut sealed = Vec::new();
        let mut compacted = snapshot;
        let Some(((last_first, last_path), complete)) = files.segments.split_last() else {
            return Err(damaged(dir, "there is no log"));
        };
        let begins = complete.first().map_or(*last_first, |(first, _)| *first);
        if begins > snapshot.next() {
            return Err(damaged(
                dir,
                format!("the log from revision {} to {begins} is missing", snapshot.next()),
            ));
        }
        for (i, (first, path)) in complete.iter().enumerate() {
            let next = files.segments[i + 1].0;
            let bytes = self.read(path, *first)?;
            let last = Revision(next.0 - 1);
            // Otherwise the snapshot has made the file superfluous, and it was to be removed.
            if last > snapshot {
                self.complete_segment(path, &bytes, next, &mut compacted)?;
            }
            sealed.push(SealedSegment {
                path: path.clone(),
                last,
                bytes: bytes.len() as u64,
            });
        }
        let (file, position, written) = self.last_segment(last_path, *last_first, &mut compacted)?;
        self.index.compact(compacted);
        Ok(Resume {
            path: last_path.clone(),
            first: *last_first,
            file,
            position,
            written,
            sealed,
        })
    }

    fn read(&self, path: &Path, first: Revision) -> Result<Vec<u8>> {
        let bytes = fs::read(path).map_err(|e| Error::Open {
            path: path.to_owned(),
            source: e.into(),
        })?;
        let (store, begins) = read_file_header(FileKind::Log, &bytes).map_err(|m| damaged(path, m))?;
        if store != self.store || begins != first {
            return Err(damaged(path, "it belongs to another store, or has another file's name"));
        }
        Ok(bytes)
    }

    /// Applies a segment that another follows, which begins with the revision `next`.
    fn complete_segment(&mut self, path: &Path, bytes: &[u8], next: Revision, compacted: &mut Revision) -> Result<()> {
        let end = self.frames(path, bytes, compacted)?;
        // A crash may have come while it was sealed: what the seal was to be is known.
        let seal = match end.sealed {
            Some(_) => Vec::new(),
            None => log::seal(next),
        };
        if !frame::is_cut_short(bytes, end.position, &seal) {
            return Err(damaged(
                path,
                format!("the bytes at {} are not what was written", end.position),
            ));
        }
        if self.index.current().next() != next {
            return Err(damaged(
                path,
                format!("it ends at {}, the next begins at {next}", self.index.current()),
            ));
        }
        Ok(())
    }

    fn last_segment(&mut self, path: &Path, first: Revision, compacted: &mut Revision) -> Result<(File, u64, u64)> {
        let bytes = self.read(path, first)?;
        let end = self.frames(path, &bytes, compacted)?;
        if let Some(next) = end.sealed {
            return Err(damaged(
                path,
                format!("the log that follows it, from revision {next}, is missing"),
            ));
        }
        let failed = |e: io::Error| Error::Open {
            path: path.to_owned(),
            source: e.into(),
        };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let mut written = bytes.len();
        match frame::tail(&bytes, end.position) {
            Tail::Clean => {}
            Tail::Torn => {
                tracing::warn!(path = %path.display(), position = end.position, "the last write was interrupted, it was not acknowledged and is dropped");
                self.disk.truncate(&file, end.position as u64).map_err(failed)?;
                self.disk.sync(&file).map_err(failed)?;
                written = end.position;
            }
            Tail::Damaged(message) => return Err(damaged(path, message)),
        }
        // A file cut between two frames ends before its position only if it was cut inside the padding.
        Ok((file, end.position as u64, written as u64))
    }

    /// Applies the sound frames of a segment, up to the first position without one.
    fn frames(&mut self, path: &Path, bytes: &[u8], compacted: &mut Revision) -> Result<End> {
        let mut end = End {
            position: FILE_HEADER,
            sealed: None,
        };
        while let Found::Frame { payload, next } = frame::at(bytes, end.position) {
            for record in record::decode(payload).map_err(|e| damaged(path, e.to_string()))? {
                end.sealed = None;
                match record {
                    Record::Txn { revision, .. } if revision <= self.index.compacted() => {}
                    Record::Txn { revision, at, ops } if revision == self.index.current().next() => {
                        self.index.apply(at, ops);
                    }
                    Record::Txn { revision, .. } => {
                        let message = format!("revision {revision} follows {}", self.index.current());
                        return Err(damaged(path, message));
                    }
                    Record::Compacted(at) => *compacted = (*compacted).max(at),
                    Record::Closed => {}
                    Record::Sealed { next } => end.sealed = Some(next),
                    Record::Item(_) | Record::End { .. } => {
                        return Err(damaged(path, "a record does not belong into a log"));
                    }
                }
            }
            end.position = next;
        }
        Ok(end)
    }
}

/// Where a segment's sound frames end.
struct End {
    position: usize,
    /// The last record is a seal: the next segment begins with this revision.
    sealed: Option<Revision>,
}
