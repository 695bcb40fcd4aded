//! The spool: masked output as framed records in an append-only file.
//!
//! Written by the shim alone, read by the agent while it grows. A record is written as soon as bytes
//! arrive, in one system call with its header. Data reaches the disk by [`Spool::start_sync`] at intervals, in the background, and for good by
//! [`Spool::finish`]; never on the way of a record.
//!
//! What cannot be stored, since the quota is used up or the disk is full, is counted, and stands in the
//! log as one gap record with its cause.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use breakbulk_log_record::{HEADER_LEN, Kind, MAX_PAYLOAD, Record, Stream, header};
use bytes::BytesMut;
use sha2::{Digest, Sha256};

use crate::exit::LogEnd;
use crate::spec::Hex;
use crate::sys;

/// Room kept below the quota for the gap record that says what is missing.
const GAP_ROOM: u64 = 4096;

/// A spool being written.
pub(crate) struct Spool {
    file: File,
    digest: Sha256,
    /// Offset of the next content byte.
    offset: u64,
    /// Bytes of the file, all of them whole records.
    size: u64,
    quota: u64,
    /// The quota was reached once. What comes after stays out, even if it is small, so that there is one hole.
    full: bool,
    /// What is missing right before `offset` and has no gap record yet.
    gap: Option<Gap>,
    missing: u64,
}

struct Gap {
    from: u64,
    count: u64,
    cause: String,
}

impl Spool {
    /// A new spool. One that exists is never continued: its attempt was started before.
    pub(crate) fn create(path: &Path, quota: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self {
            file,
            digest: Sha256::new(),
            offset: 0,
            size: 0,
            quota,
            full: false,
            gap: None,
            missing: 0,
        })
    }

    /// Appends content, as one record or more.
    pub(crate) fn append(&mut self, stream: Stream, content: &[u8]) {
        for payload in content.chunks(MAX_PAYLOAD) {
            self.append_one(stream, payload);
        }
    }

    fn append_one(&mut self, stream: Stream, payload: &[u8]) {
        let needed = (HEADER_LEN + payload.len()) as u64 + GAP_ROOM;
        self.full |= self.size + needed > self.quota;
        if self.full {
            return self.lose(payload.len(), "the log is over its quota");
        }
        if self.gap.is_some() && self.close_gap().is_err() {
            return self.lose(payload.len(), "the disk is full");
        }
        let head = header(self.offset, sys::now(), Kind::Data, stream, payload);
        match self.write(&[&head, payload]) {
            Ok(()) => {
                self.digest.update(payload);
                self.offset += payload.len() as u64;
            }
            Err(error) => self.lose(payload.len(), &format!("the spool cannot be written: {error}")),
        }
    }

    fn lose(&mut self, count: usize, cause: &str) {
        let from = self.offset;
        let gap = self.gap.get_or_insert_with(|| Gap {
            from,
            count: 0,
            cause: cause.to_owned(),
        });
        gap.count += count as u64;
        self.offset += count as u64;
        self.missing += count as u64;
    }

    fn close_gap(&mut self) -> io::Result<()> {
        let Some(gap) = &self.gap else { return Ok(()) };
        let mut frame = BytesMut::new();
        Record::gap(gap.from, sys::now(), gap.count, &gap.cause).encode(&mut frame);
        self.write(&[&frame])?;
        self.gap = None;
        Ok(())
    }

    /// Writes one whole record, or nothing: a part that got through is taken back.
    fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let total: usize = parts.iter().map(|p| p.len()).sum();
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|p| IoSlice::new(p)).collect();
        let mut rest = slices.as_mut_slice();
        let mut write_all = || -> io::Result<()> {
            while !rest.is_empty() {
                match self.file.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => IoSlice::advance_slices(&mut rest, written),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let written = write_all();
        match &written {
            Ok(()) => self.size += total as u64,
            Err(_) => {
                self.file.set_len(self.size)?;
                io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.size))?;
            }
        }
        written
    }

    /// Asks the kernel to begin writing to the disk what it has not written yet; returns at once.
    pub(crate) fn start_sync(&self) {
        sys::start_writeback(std::os::fd::AsFd::as_fd(&self.file));
    }

    /// Makes everything durable and says how the log ends.
    pub(crate) fn finish(mut self) -> (LogEnd, io::Result<()>) {
        let closed = self.close_gap();
        let synced = closed.and_then(|()| self.file.sync_data());
        let sha256 = Hex(&self.digest.finalize()).to_string();
        (
            LogEnd {
                length: self.offset,
                sha256,
                missing: self.missing,
            },
            synced,
        )
    }
}
