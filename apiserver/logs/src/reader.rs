//! Reading a log: one cursor for what is stored and what is to come.
//!
//! A reader pulls: from the records kept in memory while it is at the end, from the files while it is
//! behind. It is woken by the log's watch and holds nothing that could stop the writer, so a slow one
//! costs nobody anything. How bytes become text is `text`'s.

use std::io;
use std::sync::Arc;

use breakbulk_log_record::{Kind, Record, Stream as Source};
use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::watch;

use crate::index::Place;
use crate::intake::behind;
use crate::key::LogKey;
use crate::log::{Follower, Log, Progress};
use crate::segment::{Step, batch, walk};
use crate::store::LogStore;

/// Where reading begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first byte.
    #[default]
    Beginning,
    /// At this offset, also in the middle of a record.
    Offset(u64),
    /// That many lines before the end as it is now. An unfinished line counts.
    TailLines(u64),
    /// At the first record of this time or later, in nanoseconds since the Unix epoch.
    Since(u64),
}

/// What to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Where to begin.
    pub start: Start,
    /// How many content bytes at most.
    pub limit_bytes: Option<u64>,
    /// Whether to wait for more until the log is sealed. Otherwise reading ends with what is there now.
    pub follow: bool,
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of its first byte.
    pub offset: u64,
    /// When it was written, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// Where it came from.
    pub stream: Source,
    /// Bytes, or a hole.
    pub content: Content,
}

/// What a chunk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Content bytes, at least one.
    Data(Bytes),
    /// Bytes that are missing for a cause.
    Gap {
        /// How many.
        missing: u64,
        /// Why, for people.
        cause: String,
    },
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Content bytes in the log as far as it is known.
    pub length: u64,
    /// SHA-256 over the content, once sealed.
    pub digest: Option<[u8; 32]>,
    /// Whether the log is sealed: if not, there may be more to come.
    pub sealed: bool,
}

/// What a reader yields: chunks, contiguous by offset, and then one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadItem {
    /// The next piece.
    Chunk(Chunk),
    /// The last item.
    End(End),
}

/// Why reading stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such log, and nobody asked to wait for one.
    #[error("there is no log for this attempt")]
    NotFound,
    /// It was deleted while it was read.
    #[error("the log was deleted")]
    Deleted,
    /// The files hold less than they did.
    #[error("the log's files end before offset {0}")]
    Damaged(u64),
    /// The disk.
    #[error("reading the log's files")]
    Io(#[from] io::Error),
}

impl LogStore {
    /// Reads a log. The stream ends after [`ReadItem::End`] or an error.
    pub fn read(
        &self,
        key: &LogKey,
        options: ReadOptions,
    ) -> impl Stream<Item = Result<ReadItem, ReadError>> + Send + use<> {
        let reader = Reader::new(self.clone(), self.log(key), options);
        stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(ReadItem::Chunk(chunk)) => Some((Ok(ReadItem::Chunk(chunk)), Some(reader))),
                last => Some((last, None)),
            }
        })
    }
}

struct Reader {
    store: LogStore,
    log: Arc<Log>,
    watch: watch::Receiver<Progress>,
    options: ReadOptions,
    /// `None` until the start has been looked up.
    cursor: Option<u64>,
    /// Where the files go on, if the cursor came from there.
    place: Option<Place>,
    /// Where to end without following.
    stop: u64,
    left: u64,
    records: Arc<[Record]>,
    at: usize,
    _follower: Option<Follower>,
}

impl Reader {
    fn new(store: LogStore, log: Arc<Log>, options: ReadOptions) -> Self {
        Self {
            store,
            watch: log.watch(),
            _follower: options.follow.then(|| log.follow()),
            log,
            options,
            cursor: None,
            place: None,
            stop: u64::MAX,
            left: options.limit_bytes.unwrap_or(u64::MAX),
            records: Arc::new([]),
            at: 0,
        }
    }

    async fn next(&mut self) -> Result<ReadItem, ReadError> {
        let mut cursor = match self.cursor {
            Some(cursor) => cursor,
            None => self.begin().await?,
        };
        loop {
            if self.left == 0 || cursor >= self.stop {
                return Ok(ReadItem::End(self.end()));
            }
            if let Some(chunk) = self.take(&mut cursor) {
                self.cursor = Some(cursor);
                return Ok(ReadItem::Chunk(chunk));
            }
            let progress = *self.watch.borrow_and_update();
            match progress {
                Progress::Deleted => return Err(ReadError::Deleted),
                _ if cursor < progress.received() => self.fill(cursor, progress.received()).await?,
                Progress::Sealed(_) => return Ok(ReadItem::End(self.end())),
                _ => self.wait().await?,
            }
        }
    }

    /// Finds where to begin, once.
    async fn begin(&mut self) -> Result<u64, ReadError> {
        self.store.look(&self.log).await?;
        let progress = self.log.progress();
        if !self.options.follow {
            if matches!(progress, Progress::Absent | Progress::Deleted) {
                return Err(ReadError::NotFound);
            }
            self.stop = progress.received();
        }
        let cursor = match self.options.start {
            Start::Beginning => 0,
            Start::Offset(offset) => offset,
            Start::TailLines(_) | Start::Since(_) => {
                let (log, start) = (Arc::clone(&self.log), self.options.start);
                self.store.blocking(move || seek(&log, start)).await?
            }
        };
        self.cursor = Some(cursor);
        Ok(cursor)
    }

    /// The next chunk of the records at hand, cut to the cursor and the limit.
    fn take(&mut self, cursor: &mut u64) -> Option<Chunk> {
        while let Some(record) = self.records.get(self.at) {
            self.at += 1;
            if record.end() <= *cursor {
                continue;
            }
            let record = if record.offset < *cursor {
                behind(record, *cursor)
            } else {
                record.clone()
            };
            *cursor = record.end();
            let content = match record.missing() {
                Some((missing, cause)) => Content::Gap { missing, cause },
                None => Content::Data(self.limited(record.payload)),
            };
            return Some(Chunk {
                offset: record.offset,
                time: record.time,
                stream: record.stream,
                content,
            });
        }
        None
    }

    fn limited(&mut self, mut bytes: Bytes) -> Bytes {
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX);
        bytes.truncate(limit);
        self.left -= bytes.len() as u64;
        bytes
    }

    /// Gets the records at `cursor`, which are there, from memory or from the files.
    async fn fill(&mut self, cursor: u64, received: u64) -> Result<(), ReadError> {
        self.at = 0;
        if let Some(records) = self.log.recent(cursor) {
            self.records = records;
            return Ok(());
        }
        let place = match self.place {
            Some(place) if place.offset == cursor => place,
            _ => self.log.with_index(|index| index.at_offset(cursor)),
        };
        let log = Arc::clone(&self.log);
        let (records, next) = self
            .store
            .blocking(move || {
                let mut found = batch(&log.segments, place, received)?;
                while found.1.offset <= cursor && !found.0.is_empty() {
                    found = batch(&log.segments, found.1, received)?;
                }
                Ok(found)
            })
            .await?;
        if records.is_empty() {
            return Err(match self.log.progress() {
                Progress::Deleted => ReadError::Deleted,
                _ => ReadError::Damaged(cursor),
            });
        }
        self.place = Some(next);
        self.records = records.into();
        Ok(())
    }

    /// Waits for more. If another process writes the log, nothing but its files tells of it.
    async fn wait(&mut self) -> Result<(), ReadError> {
        self.records = Arc::new([]);
        self.at = 0;
        if self.log.is_writer() {
            self.watch
                .changed()
                .await
                .expect("the log is held, and with it the sender");
            return Ok(());
        }
        tokio::select! {
            changed = self.watch.changed() => {
                changed.expect("the log is held, and with it the sender");
                Ok(())
            }
            () = tokio::time::sleep(self.store.poll_interval()) => {
                if self.log.is_due(self.store.poll_interval()) {
                    self.store.look(&self.log).await?;
                }
                Ok(())
            }
        }
    }

    fn end(&self) -> End {
        let progress = self.log.progress();
        let (digest, sealed) = match progress {
            Progress::Sealed(seal) => (Some(seal.digest), true),
            _ => (None, false),
        };
        End {
            length: progress.received(),
            digest,
            sealed,
        }
    }
}

/// The offset at which `start` lies now. Blocks: reads from the nearest mark on.
fn seek(log: &Log, start: Start) -> io::Result<u64> {
    match start {
        Start::Beginning => Ok(0),
        Start::Offset(offset) => Ok(offset),
        Start::TailLines(count) => seek_line(log, count),
        Start::Since(time) => {
            let place = log.with_index(|index| index.at_time(time));
            let end = walk(&log.segments, place, |_, record| {
                if record.time >= time { Step::Stop } else { Step::Next }
            })?;
            Ok(end.place.offset.min(log.committed()))
        }
    }
}

fn seek_line(log: &Log, count: u64) -> io::Result<u64> {
    let (total, committed) = log.counts();
    let Some(skip) = total.checked_sub(count).filter(|skip| *skip > 0) else {
        return Ok(0);
    };
    if count == 0 {
        return Ok(committed);
    }
    let (place, mut lines) = log.with_index(|index| index.at_line(skip));
    let mut found = committed;
    walk(&log.segments, place, |_, record| {
        if record.kind != Kind::Data {
            return Step::Next;
        }
        for newline in memchr::memchr_iter(b'\n', &record.payload) {
            lines += 1;
            if lines == skip {
                found = record.offset + newline as u64 + 1;
                return Step::Stop;
            }
        }
        Step::Next
    })?;
    Ok(found)
}
