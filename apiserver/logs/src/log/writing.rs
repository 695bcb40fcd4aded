//! The writing side of a log: who holds it, and what an append and a seal do.
//!
//! A log is held by the streams that have it open, mostly one. When the last lets go, so does this process,
//! and another server may go on; what is needed to take it up again here without walking it is kept.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Goal, Log};
use crate::appender::{Appender, OpenError, Parked, SealError};
use crate::intake::{Fault, plan};
use crate::seal::Seal;
use crate::sync::Urgency;

/// Why an append was not taken, or not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// What was sent does not continue the log.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The log takes nothing more.
    #[error("the log is sealed at {0} bytes")]
    Sealed(u64),
    /// The disk.
    #[error("writing the log")]
    Io(#[from] io::Error),
    /// This process does not hold the log.
    #[error("the log is not open for writing")]
    NotOpen,
}

/// What this process is to the log.
#[derive(Debug)]
pub(super) enum Role {
    /// A reader, if anything.
    Closed,
    /// The last writer, maybe.
    Parked(Parked),
    /// The writer, for so many holders.
    Open { appender: Box<Appender>, users: usize },
}

impl Role {
    pub(super) fn appender(&mut self) -> Option<&mut Appender> {
        match self {
            Self::Open { appender, .. } => Some(appender),
            Self::Closed | Self::Parked(_) => None,
        }
    }
}

/// A holder of a log open for writing. Dropping the last one lets other servers write it.
#[derive(Debug)]
pub(crate) struct Writer(Arc<Log>);

impl Writer {
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.0
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Log {
    /// Opens the log to write. Blocks: walks what is stored, unless this process wrote it last.
    pub(crate) fn open_writer(self: &Arc<Self>) -> Result<Writer, OpenError> {
        let mut role = self.role.lock();
        match &mut *role {
            Role::Open { users, .. } => {
                *users += 1;
                return Ok(Writer(Arc::clone(self)));
            }
            Role::Parked(parked) => {
                if let Some(appender) = Appender::resume(&self.segments, self.segment_limit, parked)? {
                    *role = Role::Open {
                        appender: Box::new(appender),
                        users: 1,
                    };
                    self.writing.store(true, Ordering::Release);
                    return Ok(Writer(Arc::clone(self)));
                }
            }
            Role::Closed => {}
        }
        let trusted = self.trusted.load(Ordering::Acquire);
        let opened = Appender::open(self.segments.clone(), self.segment_limit, trusted, |place, record| {
            self.state.lock().learn(place, record);
        })?;
        self.trusted.store(u64::MAX, Ordering::Release);
        let goal = Goal {
            offset: opened.appender.committed(),
            seal: opened.appender.seal(),
        };
        *role = Role::Open {
            appender: Box::new(opened.appender),
            users: 1,
        };
        self.writing.store(true, Ordering::Release);
        self.publish(goal.offset);
        drop(role);
        self.sync_found(goal, opened.files);
        Ok(Writer(Arc::clone(self)))
    }

    /// What was found may be in the page cache only: it is synced before it is called durable.
    fn sync_found(self: &Arc<Self>, goal: Goal, files: Vec<Arc<File>>) {
        let fresh = goal.offset == 0 && goal.seal.is_none();
        let mut pending = self.pending.lock();
        pending.dirt.files.extend(files);
        pending.dirt.directory = Some(self.segments.directory().to_path_buf());
        pending.goal = goal;
        if !fresh {
            self.enqueue(&mut pending, Urgency::Now);
        }
    }

    fn release(&self) {
        let mut role = self.role.lock();
        let Role::Open { users, .. } = &mut *role else { return };
        *users -= 1;
        if *users > 0 {
            return;
        }
        self.writing.store(false, Ordering::Release);
        if let Role::Open { appender, .. } = std::mem::replace(&mut *role, Role::Closed) {
            *role = appender.park().map_or(Role::Closed, Role::Parked);
        }
    }

    /// Appends what of `records` continues the log and tells the readers. Blocks for a page-cache write.
    pub(crate) fn append(self: &Arc<Self>, records: &Bytes) -> Result<(), AppendError> {
        let mut role = self.role.lock();
        let appender = role.appender().ok_or(AppendError::NotOpen)?;
        if let Some(seal) = appender.seal() {
            let beyond = plan(seal.length, records);
            let more = !beyond.records.is_empty() || beyond.fault.is_some();
            return if more {
                Err(AppendError::Sealed(seal.length))
            } else {
                Ok(())
            };
        }
        let written = appender.append(records)?;
        if !written.records.is_empty() {
            let file = Arc::clone(appender.file());
            let committed = appender.committed();
            self.state.lock().append(
                written.place,
                written.records,
                self.followers.load(Ordering::Acquire) > 0,
            );
            self.publish(committed);
            let mut pending = self.pending.lock();
            if !pending.dirt.files.iter().any(|known| Arc::ptr_eq(known, &file)) {
                pending.dirt.files.push(file);
            }
            if written.place.segment > 0 && written.place.position == 0 {
                pending.dirt.directory = Some(self.segments.directory().to_path_buf());
            }
            pending.goal.offset = committed;
            self.enqueue(&mut pending, Urgency::Soon);
        }
        written.fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Writes the seal; it is there for readers, and [`Log::sealed`] says so, once it is durable.
    pub(crate) fn seal(self: &Arc<Self>, seal: Seal) -> Result<(), SealError> {
        let mut role = self.role.lock();
        let appender = role.appender().ok_or(SealError::NotOpen)?;
        let lines = self.state.lock().index.lines();
        appender.write_seal(seal, lines)?;
        let file = Arc::clone(appender.file());
        drop(role);
        let mut pending = self.pending.lock();
        if self.sealed().is_none() {
            if !pending.dirt.files.iter().any(|known| Arc::ptr_eq(known, &file)) {
                pending.dirt.files.push(file);
            }
            pending.goal.seal = Some(seal);
            pending.goal.offset = seal.length;
            self.enqueue(&mut pending, Urgency::Now);
        }
        Ok(())
    }
}
