//! The sparse index of one log: from an offset, a line or a time to a place in a segment.
//!
//! Built while records are appended or scanned, held in memory, bounded: when it grows too long every
//! second mark is dropped and the step doubles. A mark is a promise about where a record starts; what is
//! read there is checked as everything else.

use breakbulk_log_record::{Kind, Record};

/// The first distance between marks in content bytes: what a seek may have to read in vain.
const FIRST_STEP: u64 = 256 * 1024;

/// Marks per log. At 48 bytes each this keeps an index under 400 KB however long its log is.
const MAX_MARKS: usize = 8192;

/// Where a record starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The record's offset in the log.
    pub(crate) offset: u64,
    /// Number of the segment.
    pub(crate) segment: u32,
    /// Byte in the segment's file.
    pub(crate) position: u64,
}

impl Place {
    /// Where every log begins.
    pub(crate) const START: Self = Self {
        offset: 0,
        segment: 0,
        position: 0,
    };
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    place: Place,
    /// Newlines before the place.
    lines: u64,
    /// The latest time of any record before the place.
    latest: u64,
}

/// Marks, and the counts up to the end of what is known.
#[derive(Debug)]
pub(crate) struct Index {
    marks: Vec<Mark>,
    step: u64,
    lines: u64,
    latest: u64,
    ends_in_line: bool,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            marks: Vec::new(),
            step: FIRST_STEP,
            lines: 0,
            latest: 0,
            ends_in_line: false,
        }
    }

    /// Counts the record that starts at `place`.
    pub(crate) fn add(&mut self, place: Place, record: &Record) {
        let last = self.marks.last().map_or(0, |mark| mark.place.offset);
        if place.offset - last >= self.step {
            self.marks.push(Mark {
                place,
                lines: self.lines,
                latest: self.latest,
            });
            if self.marks.len() > MAX_MARKS {
                self.thin();
            }
        }
        self.latest = self.latest.max(record.time);
        if record.kind == Kind::Data && !record.payload.is_empty() {
            self.lines += newlines(&record.payload);
            self.ends_in_line = record.payload.last() != Some(&b'\n');
        }
    }

    fn thin(&mut self) {
        let mut odd = false;
        self.marks.retain(|_| {
            odd = !odd;
            !odd
        });
        self.step *= 2;
    }

    /// Lines so far; one without its newline counts.
    pub(crate) fn lines(&self) -> u64 {
        self.lines + u64::from(self.ends_in_line)
    }

    /// The last marked place at or before `offset`.
    pub(crate) fn at_offset(&self, offset: u64) -> Place {
        self.before(|mark| mark.place.offset <= offset).0
    }

    /// The last marked place with fewer than `line` newlines before it, and how many there are: the
    /// newline number `line` lies behind it.
    pub(crate) fn at_line(&self, line: u64) -> (Place, u64) {
        self.before(|mark| mark.lines < line)
    }

    /// The last marked place before which no record is as late as `time`.
    pub(crate) fn at_time(&self, time: u64) -> Place {
        self.before(|mark| mark.latest < time).0
    }

    fn before(&self, holds: impl Fn(&Mark) -> bool) -> (Place, u64) {
        match self.marks.partition_point(holds) {
            0 => (Place::START, 0),
            after => (self.marks[after - 1].place, self.marks[after - 1].lines),
        }
    }
}

/// Newlines in `bytes`.
pub(crate) fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
