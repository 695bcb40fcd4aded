//! The one writer of a log: recovery at open, appending, rolling, sealing.
//!
//! Everything here blocks and is synchronous; `log` decides on which thread it runs and tells readers. A
//! write that fails is cut off again before anyone hears of it, so a full disk leaves a log as it was.
//! Nothing is synced here: that is `sync`'s, which gets the files that need it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use breakbulk_log_record::{Kind, Record};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::index::Place;
use crate::intake::{self, Fault};
use crate::seal::{Seal, TRAILER_LEN, Trailer};
use crate::segment::{End, Segments, Step, Tail, walk};

/// Why a log could not be opened to write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another process, or another store in this one, writes it.
    #[error("another server is writing this log")]
    Busy,
    /// Bytes of a sealed log do not read as they were written. Cutting it there would lose what is good.
    #[error("the log is sealed, and damaged after offset {0}")]
    Damaged(u64),
    /// The disk.
    #[error("opening the log's files")]
    Io(#[from] io::Error),
}

/// Why a seal was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// Not what is stored.
    #[error("the seal says {claimed} bytes; {stored} are stored{}", if claimed == stored { ", with another digest" } else { "" })]
    Mismatch {
        /// What the sender counted.
        claimed: u64,
        /// What is here.
        stored: u64,
    },
    /// Sealed before, and differently.
    #[error("the log is sealed already, differently")]
    Sealed,
    /// The disk.
    #[error("writing the seal")]
    Io(#[from] io::Error),
    /// This process does not hold the log.
    #[error("the log is not open for writing")]
    NotOpen,
}

/// What an append did.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where the first record went.
    pub(crate) place: Place,
    /// The records, in order, contiguous, in one segment.
    pub(crate) records: Vec<Record>,
    /// Why the rest was not taken.
    pub(crate) fault: Option<Fault>,
}

/// A log open for writing, its lock held.
#[derive(Debug)]
pub(crate) struct Appender {
    segments: Segments,
    /// Segment 0: its lock is the log's lock.
    lock: Arc<File>,
    file: Arc<File>,
    end: Place,
    digest: Sha256,
    seal: Option<Seal>,
    segment_limit: u64,
    /// A failed write could not be undone: the file's end is unknown.
    broken: bool,
}

/// A log as its writer left it.
#[derive(Debug)]
pub(crate) struct Parked {
    end: Place,
    digest: Sha256,
    seal: Option<Seal>,
}

/// What opening found.
pub(crate) struct Opened {
    pub(crate) appender: Appender,
    /// All segments, to be synced before anything in them is called durable.
    pub(crate) files: Vec<Arc<File>>,
}

impl Appender {
    /// Locks the log, walks what is there, cuts a torn tail. `visit` sees each record. What lies beyond
    /// `trusted` is cut too: after a failed sync nobody knows what of it is on disk.
    pub(crate) fn open(
        segments: Segments,
        segment_limit: u64,
        trusted: u64,
        mut visit: impl FnMut(Place, &Record),
    ) -> Result<Opened, OpenError> {
        let lock = Arc::new(create(&segments)?);
        acquire(&lock)?;
        let mut digest = Sha256::new();
        let mut end = End {
            place: Place::START,
            tail: Tail::Clean,
        };
        if lock.metadata()?.len() == 0 {
            // New, as most are: there is nothing to walk.
            remove_after(&segments, 0)?;
        } else {
            end = walk(&segments, Place::START, |place, record| {
                if record.end() > trusted {
                    return Step::Stop;
                }
                absorb(&mut digest, &record);
                visit(place, &record);
                Step::Next
            })?;
        }
        if trusted < u64::MAX {
            end.tail = Tail::Torn;
        } else if end.tail == Tail::Torn
            && let Some(trailer) = segments.last_bytes(end.place.segment)?
            && trailer.seal.length >= end.place.offset
        {
            return Err(OpenError::Damaged(end.place.offset));
        }
        let mut files = vec![Arc::clone(&lock)];
        for number in 1..=end.place.segment {
            files.push(Arc::new(
                OpenOptions::new().read(true).write(true).open(segments.path(number))?,
            ));
        }
        let file = Arc::clone(files.last().expect("segment 0 is always there"));
        let seal = match end.tail {
            Tail::Sealed(trailer) => Some(trailer.seal),
            Tail::Torn | Tail::Clean => None,
        };
        if end.tail == Tail::Torn {
            tracing::warn!(segment = %segments.path(end.place.segment).display(), position = end.place.position, "cutting a torn tail");
            file.set_len(end.place.position)?;
            remove_after(&segments, end.place.segment)?;
        }
        let appender = Self {
            segments,
            lock,
            file,
            end: end.place,
            digest,
            seal,
            segment_limit,
            broken: false,
        };
        Ok(Opened { appender, files })
    }

    /// What to take the log up with when it was let go. `None` if what stands at its end is not known.
    pub(crate) fn park(&self) -> Option<Parked> {
        (!self.broken).then(|| Parked {
            end: self.end,
            digest: self.digest.clone(),
            seal: self.seal,
        })
    }

    /// Takes the log up again without walking it, if nobody has written it since.
    pub(crate) fn resume(segments: &Segments, segment_limit: u64, parked: &Parked) -> Result<Option<Self>, OpenError> {
        let lock = Arc::new(create(segments)?);
        acquire(&lock)?;
        let end = parked.end;
        let file = match end.segment {
            0 => Arc::clone(&lock),
            number => match OpenOptions::new().read(true).write(true).open(segments.path(number)) {
                Ok(file) => Arc::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        if file.metadata()?.len() != end.position || segments.open(end.segment + 1)?.is_some() {
            return Ok(None);
        }
        Ok(Some(Self {
            segments: segments.clone(),
            lock,
            file,
            end,
            digest: parked.digest.clone(),
            seal: parked.seal,
            segment_limit,
            broken: false,
        }))
    }

    pub(crate) fn committed(&self) -> u64 {
        self.end.offset
    }

    pub(crate) fn seal(&self) -> Option<Seal> {
        self.seal
    }

    /// The file that the next sync must cover.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Appends what of `input` continues the log.
    pub(crate) fn append(&mut self, input: &Bytes) -> io::Result<Written> {
        let intake = intake::plan(self.end.offset, input);
        if !intake.records.is_empty() {
            if self.end.position > 0 && self.end.position + intake.frames.len() as u64 > self.segment_limit {
                self.roll()?;
            }
            self.write(&intake.frames)?;
        }
        let place = self.end;
        for record in &intake.records {
            absorb(&mut self.digest, record);
            self.end.offset = record.end();
        }
        self.end.position += intake.frames.len() as u64;
        Ok(Written {
            place,
            records: intake.records,
            fault: intake.fault,
        })
    }

    /// Writes the trailer if the seal is what is stored. `lines` goes with it, for readers.
    pub(crate) fn write_seal(&mut self, seal: Seal, lines: u64) -> Result<(), SealError> {
        if let Some(before) = self.seal {
            return if before == seal { Ok(()) } else { Err(SealError::Sealed) };
        }
        let digest: [u8; 32] = self.digest.clone().finalize().into();
        if seal
            != (Seal {
                length: self.end.offset,
                digest,
            })
        {
            return Err(SealError::Mismatch {
                claimed: seal.length,
                stored: self.end.offset,
            });
        }
        self.write(&Trailer { seal, lines }.encode())?;
        self.end.position += TRAILER_LEN as u64;
        self.seal = Some(seal);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed and could not be undone"));
        }
        self.file.write_all_at(bytes, self.end.position).inspect_err(|_| {
            self.broken = self.file.set_len(self.end.position).is_err();
        })
    }

    fn roll(&mut self) -> io::Result<()> {
        let number = self.end.segment + 1;
        let path = self.segments.path(number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        self.file = Arc::new(file);
        self.end = Place {
            segment: number,
            position: 0,
            ..self.end
        };
        Ok(())
    }
}

impl Drop for Appender {
    /// Unlocks, and does not leave it to the last handle: one may still wait to be synced.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "unlocking a log failed; it stays locked until it is synced");
        }
    }
}

fn acquire(lock: &File) -> Result<(), OpenError> {
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Busy,
        TryLockError::Error(error) => error.into(),
    })
}

fn absorb(digest: &mut Sha256, record: &Record) {
    if record.kind == Kind::Data {
        digest.update(&record.payload);
    }
}

fn create(segments: &Segments) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(segments.path(0))
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(segments.directory())?;
            open()
        }
        other => other,
    }
}

/// Removes segments behind a torn one: they were never durable, since syncs go in order.
fn remove_after(segments: &Segments, last: u32) -> io::Result<()> {
    let mut number = last + 1;
    loop {
        match fs::remove_file(segments.path(number)) {
            Ok(()) => number += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LogKey;
    use breakbulk_log_record::Stream;
    use bytes::BytesMut;

    fn frame(offset: u64, content: &'static [u8]) -> Bytes {
        let mut out = BytesMut::new();
        Record::data(offset, 0, Stream::Output, Bytes::from_static(content)).encode(&mut out);
        out.freeze()
    }

    fn open(dir: &tempfile::TempDir, trusted: u64) -> Appender {
        let segments = Segments::of(dir.path(), &LogKey::new("default", "uid", 1).unwrap());
        Appender::open(segments, 40, trusted, |_, _| ()).unwrap().appender
    }

    #[test]
    fn after_a_failed_sync_only_what_was_durable_before_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut appender = open(&dir, u64::MAX);
        for (offset, content) in [(0, &b"abc"[..]), (3, b"defg"), (7, b"hi")] {
            assert_eq!(appender.append(&frame(offset, content)).unwrap().fault, None);
        }
        let seal = Seal {
            length: 9,
            digest: Sha256::digest(b"abcdefghi").into(),
        };
        appender.write_seal(seal, 1).unwrap();
        drop(appender);
        let mut appender = open(&dir, 7);
        assert_eq!((appender.committed(), appender.seal()), (7, None));
        appender.append(&frame(7, b"hi")).unwrap();
        appender.write_seal(seal, 1).unwrap();
        drop(appender);
        let appender = open(&dir, 9);
        assert_eq!(
            (appender.committed(), appender.seal()),
            (9, None),
            "its seal may not be on disk"
        );
        drop(appender);
        assert_eq!(open(&dir, u64::MAX).committed(), 9);
    }
}
