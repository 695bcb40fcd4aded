//! One log as this process knows it: what is stored, who writes, who waits.
//!
//! Appends come in through a [`Writer`], in `writing`; readers look at [`Log::progress`] and wait on
//! its watch; the sync workers take what is dirty. If another process writes the log, [`Log::refresh`]
//! learns what it has written from the files. Readers are in `reader`, the protocol is in `ingest`.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use breakbulk_log_record::{HEADER_LEN, Record};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::index::{Index, Place};
use crate::index_file;
use crate::seal::Seal;
use crate::segment::{Segments, Step, Tail, walk};
use crate::sync::{Dirt, Syncer, Urgency};

mod writing;

use writing::Role;
pub(crate) use writing::{AppendError, Writer};

/// Bytes of records kept in memory for followers who are at the end. A follower further behind reads the
/// file, which is in the page cache. Only logs with followers keep any.
const TAIL_BYTES: usize = 2 << 20;

/// Appends smaller than this are copied before they are kept for followers: a slice would hold the whole
/// receive buffer it came in.
const COPY_BELOW: usize = 16 * 1024;

/// What readers see and wait on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No file yet.
    Absent,
    /// Growing.
    Open { received: u64 },
    /// At its end.
    Sealed(Seal),
    /// Deleted: there is nothing to wait for.
    Deleted,
}

impl Progress {
    pub(crate) fn received(&self) -> u64 {
        match self {
            Self::Absent | Self::Deleted => 0,
            Self::Open { received } => *received,
            Self::Sealed(seal) => seal.length,
        }
    }
}

/// Records that were appended together, shared by all followers.
#[derive(Debug)]
struct Block {
    end: u64,
    bytes: usize,
    records: Arc<[Record]>,
}

#[derive(Debug)]
struct State {
    index: Index,
    /// Behind the last record known.
    end: Place,
    tail: VecDeque<Block>,
    tail_bytes: usize,
}

/// What the next sync makes durable.
#[derive(Debug, Default)]
struct Pending {
    dirt: Dirt,
    goal: Goal,
    queued: Option<Urgency>,
}

/// What is durable once a sync is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Goal {
    offset: u64,
    seal: Option<Seal>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) segments: Segments,
    segment_limit: u64,
    /// Stored bytes beyond this offset are not to be believed.
    trusted: AtomicU64,
    /// When the files were last looked at for what another process wrote.
    looked: Mutex<Option<Instant>>,
    state: Mutex<State>,
    role: Mutex<Role>,
    writing: AtomicBool,
    progress: watch::Sender<Progress>,
    durable: AtomicU64,
    failed: AtomicBool,
    followers: AtomicUsize,
    pending: Mutex<Pending>,
    syncer: Arc<Syncer>,
    /// Rung when something became durable.
    bells: Mutex<Vec<Weak<Notify>>>,
    /// For the choice of what to close: when it was last asked for.
    pub(crate) used: AtomicU64,
}

impl Log {
    /// A log of which nothing is known yet. `trusted` is where an earlier writer in this process knew all to
    /// be durable when its sync failed.
    pub(crate) fn new(segments: Segments, segment_limit: u64, trusted: Option<u64>, syncer: Arc<Syncer>) -> Self {
        let state = State {
            index: Index::new(),
            end: Place::START,
            tail: VecDeque::new(),
            tail_bytes: 0,
        };
        Self {
            segments,
            segment_limit,
            trusted: AtomicU64::new(trusted.unwrap_or(u64::MAX)),
            looked: Mutex::new(None),
            state: Mutex::new(state),
            role: Mutex::new(Role::Closed),
            writing: AtomicBool::new(false),
            progress: watch::Sender::new(Progress::Absent),
            durable: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            followers: AtomicUsize::new(0),
            pending: Mutex::default(),
            syncer,
            bells: Mutex::default(),
            used: AtomicU64::new(0),
        }
    }

    /// Where the next record must start.
    pub(crate) fn committed(&self) -> u64 {
        self.state.lock().end.offset
    }

    /// Lines and content bytes, as of the same moment.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.index.lines(), state.end.offset)
    }

    /// Up to where everything is synced.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The seal, once it is durable.
    pub(crate) fn sealed(&self) -> Option<Seal> {
        match *self.progress.borrow() {
            Progress::Sealed(seal) => Some(seal),
            _ => None,
        }
    }

    /// Waits until what is stored is known to be durable, for a log whose seal was found at open.
    pub(crate) async fn settle(&self) {
        let bell = Arc::new(Notify::new());
        self.subscribe(&bell);
        while self.has_seal() && self.sealed().is_none() && !self.has_failed() {
            bell.notified().await;
        }
    }

    fn has_seal(&self) -> bool {
        self.role
            .lock()
            .appender()
            .is_some_and(|appender| appender.seal().is_some())
    }

    /// Whether a sync failed: what is not durable yet may never be.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Rings `bell` whenever more of this log is durable, as long as somebody holds it.
    pub(crate) fn subscribe(&self, bell: &Arc<Notify>) {
        let mut bells = self.bells.lock();
        bells.retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(bell)));
        bells.push(Arc::downgrade(bell));
    }

    fn publish(&self, received: u64) {
        self.progress.send_if_modified(|progress| {
            let next = Progress::Open { received };
            let moved = match progress {
                Progress::Absent | Progress::Open { .. } => *progress != next,
                Progress::Sealed(_) | Progress::Deleted => false,
            };
            if moved {
                *progress = next;
            }
            moved
        });
    }

    // ---- syncing ----

    fn enqueue(self: &Arc<Self>, pending: &mut Pending, urgency: Urgency) {
        let wanted = match (pending.queued, urgency) {
            (None, _) | (Some(Urgency::Soon), Urgency::Now) => true,
            (Some(_), _) => false,
        };
        if wanted {
            pending.queued = Some(urgency);
            self.syncer.push(Arc::clone(self), urgency);
        }
    }

    /// Takes what is dirty; what is appended from now on is for the next sync.
    pub(crate) fn begin_sync(&self) -> (Goal, Dirt) {
        let mut pending = self.pending.lock();
        pending.queued = None;
        (pending.goal.clone(), std::mem::take(&mut pending.dirt))
    }

    pub(crate) fn finish_sync(&self, goal: &Goal) {
        if self.has_failed() {
            return;
        }
        self.durable.fetch_max(goal.offset, Ordering::AcqRel);
        if let Some(seal) = goal.seal {
            let first = self.progress.send_if_modified(|progress| {
                let first = matches!(progress, Progress::Open { .. } | Progress::Absent);
                if first {
                    *progress = Progress::Sealed(seal);
                }
                first
            });
            self.ring();
            if first {
                self.save_index();
            }
            return;
        }
        self.ring();
    }

    /// Keeps the index of a sealed log. Without it the log is walked when it is next opened.
    fn save_index(&self) {
        let state = self.state.lock();
        if state.end.offset < index_file::WORTHWHILE {
            return;
        }
        let (index, end) = (state.index.clone(), state.end);
        drop(state);
        if let Err(error) = index_file::save(&self.segments, &index, end) {
            tracing::warn!(log = %self.segments.path(0).display(), %error, "keeping a log's index failed");
        }
    }

    /// After a failed sync nobody knows what is on disk: the log takes nothing more in this process.
    pub(crate) fn fail_sync(&self, error: &io::Error) {
        tracing::error!(log = %self.segments.path(0).display(), %error, "syncing a log failed; it is closed for writing");
        self.failed.store(true, Ordering::Release);
        self.writing.store(false, Ordering::Release);
        *self.role.lock() = Role::Closed;
        self.ring();
    }

    fn ring(&self) {
        for bell in self.bells.lock().iter() {
            if let Some(bell) = bell.upgrade() {
                bell.notify_one();
            }
        }
    }

    // ---- reading ----

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Whether this process writes the log, and so knows of every byte at once.
    pub(crate) fn is_writer(&self) -> bool {
        self.writing.load(Ordering::Acquire)
    }

    /// Looks into the files for what another process has written. Blocks, also for another look that is under
    /// way: whoever asks must know what is there. Does nothing if this process is the writer.
    pub(crate) fn refresh(&self) -> io::Result<()> {
        let mut role = self.role.lock();
        if role.appender().is_some() || matches!(self.progress(), Progress::Sealed(_) | Progress::Deleted) {
            return Ok(());
        }
        let start = self.state.lock().end;
        if start == Place::START {
            if self.segments.open(0)?.is_none() {
                return Ok(());
            }
            if let Some(found) = index_file::load(&self.segments) {
                *self.state.lock() = State::of(found.index, found.end);
                self.publish_sealed(found.trailer.seal);
                return Ok(());
            }
        }
        let end = walk(&self.segments, start, |place, record| {
            self.state.lock().learn(place, &record);
            Step::Next
        })?;
        self.state.lock().end = end.place;
        match end.tail {
            Tail::Clean => self.publish(end.place.offset),
            Tail::Sealed(trailer) => {
                self.publish_sealed(trailer.seal);
                self.save_index();
            }
            Tail::Torn => match self.segments.last_bytes(end.place.segment)? {
                // Sealed and damaged: readers get what is good and are told where it ends.
                Some(trailer) if trailer.seal.length >= end.place.offset => self.publish_sealed(trailer.seal),
                _ => self.publish(end.place.offset),
            },
        }
        drop(role);
        Ok(())
    }

    fn publish_sealed(&self, seal: Seal) {
        self.durable.fetch_max(seal.length, Ordering::AcqRel);
        self.progress.send_replace(Progress::Sealed(seal));
    }

    /// Whether it is time to look at the files again; if so, the caller is the one to do it.
    pub(crate) fn is_due(&self, interval: Duration) -> bool {
        let mut looked = self.looked.lock();
        let due = looked.is_none_or(|before| before.elapsed() >= interval);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }

    /// Counts a follower, for as long as the guard lives.
    pub(crate) fn follow(self: &Arc<Self>) -> Follower {
        self.followers.fetch_add(1, Ordering::AcqRel);
        Follower(Arc::clone(self))
    }

    /// The records that hold `offset`, if they are still in memory.
    pub(crate) fn recent(&self, offset: u64) -> Option<Arc<[Record]>> {
        let state = self.state.lock();
        let first = state.tail.front()?.records.first()?.offset;
        if offset < first {
            return None;
        }
        let at = state.tail.partition_point(|block| block.end <= offset);
        state.tail.get(at).map(|block| Arc::clone(&block.records))
    }

    /// Runs `look` on the index.
    pub(crate) fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.state.lock().index)
    }

    // ---- deleting ----

    /// Forgets the log and removes its files. Blocks.
    pub(crate) fn delete(&self) -> io::Result<()> {
        let mut role = self.role.lock();
        self.progress.send_replace(Progress::Deleted);
        self.writing.store(false, Ordering::Release);
        match fs::remove_file(self.segments.index_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut number = 0;
        loop {
            match fs::remove_file(self.segments.path(number)) {
                Ok(()) => number += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        *role = Role::Closed;
        Ok(())
    }
}

impl State {
    fn of(index: Index, end: Place) -> Self {
        Self {
            index,
            end,
            tail: VecDeque::new(),
            tail_bytes: 0,
        }
    }

    /// Takes notice of a record found in a file. Those known already are passed over.
    fn learn(&mut self, place: Place, record: &Record) {
        if place.offset == self.end.offset {
            self.index.add(place, record);
            let position = place.position + frame_len(record);
            self.end = Place {
                offset: record.end(),
                position,
                ..place
            };
        }
    }

    fn append(&mut self, mut place: Place, records: Vec<Record>, followed: bool) {
        for record in &records {
            self.index.add(place, record);
            place.offset = record.end();
            place.position += frame_len(record);
        }
        self.end = place;
        if followed {
            self.keep(records);
        } else {
            self.tail.clear();
            self.tail_bytes = 0;
        }
    }

    fn keep(&mut self, mut records: Vec<Record>) {
        let bytes: usize = records
            .iter()
            .map(|record| record.payload.len() + size_of::<Record>())
            .sum();
        if bytes < COPY_BELOW {
            for record in &mut records {
                record.payload = Bytes::copy_from_slice(&record.payload);
            }
        }
        self.tail.push_back(Block {
            end: self.end.offset,
            bytes,
            records: records.into(),
        });
        self.tail_bytes += bytes;
        while self.tail_bytes > TAIL_BYTES && self.tail.len() > 1 {
            let gone = self.tail.pop_front().expect("more than one block is there");
            self.tail_bytes -= gone.bytes;
        }
    }
}

fn frame_len(record: &Record) -> u64 {
    (HEADER_LEN + record.payload.len()) as u64
}

/// A follower of a log: while it lives, the log keeps its newest records in memory.
#[derive(Debug)]
pub(crate) struct Follower(Arc<Log>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Ordering::AcqRel);
    }
}
