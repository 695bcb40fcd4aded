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
#[derive(Clone, Debug)]
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

    /// Everything as numbers, for the file.
    pub(crate) fn export(&self, words: &mut Vec<u64>) {
        words.extend([
            self.lines,
            self.latest,
            self.step,
            u64::from(self.ends_in_line),
            self.marks.len() as u64,
        ]);
        for mark in &self.marks {
            let Place {
                offset,
                segment,
                position,
            } = mark.place;
            words.extend([offset, u64::from(segment), position, mark.lines, mark.latest]);
        }
    }

    /// An index from its numbers; `None` if they are none.
    pub(crate) fn import(words: &[u64]) -> Option<Self> {
        let [lines, latest, step, ends_in_line, count, marks @ ..] = words else {
            return None;
        };
        let (marks, rest) = marks.as_chunks::<5>();
        if marks.len() as u64 != *count || !rest.is_empty() {
            return None;
        }
        let mark = |[offset, segment, position, lines, latest]: &[u64; 5]| {
            let place = Place {
                offset: *offset,
                segment: u32::try_from(*segment).ok()?,
                position: *position,
            };
            Some(Mark {
                place,
                lines: *lines,
                latest: *latest,
            })
        };
        let marks = marks.iter().map(mark).collect::<Option<Vec<_>>>()?;
        Some(Self {
            marks,
            step: *step,
            lines: *lines,
            latest: *latest,
            ends_in_line: *ends_in_line == 1,
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use breakbulk_log_record::Stream;
    use bytes::Bytes;

    fn long(records: u64) -> Index {
        let mut index = Index::new();
        for number in 0..records {
            let offset = number * FIRST_STEP;
            let record = Record::data(offset, number, Stream::Output, Bytes::from_static(b"a\nb"));
            index.add(
                Place {
                    offset,
                    segment: 0,
                    position: offset,
                },
                &record,
            );
        }
        index
    }

    #[test]
    fn an_index_stays_bounded_and_still_finds_a_place_before_what_is_asked() {
        let count = 5 * MAX_MARKS as u64;
        let index = long(count);
        assert!(index.marks.len() <= MAX_MARKS);
        for number in (1..count).step_by(977) {
            assert!(index.at_offset(number * FIRST_STEP).offset <= number * FIRST_STEP);
            let (place, lines) = index.at_line(number);
            assert!(lines < number && place.offset == lines * FIRST_STEP);
            assert!(index.at_time(number).offset <= number * FIRST_STEP);
        }
    }

    #[test]
    fn an_index_is_the_same_after_its_file() {
        let index = long(100);
        let mut words = Vec::new();
        index.export(&mut words);
        assert_eq!(format!("{:?}", Index::import(&words).unwrap()), format!("{index:?}"));
        assert!(Index::import(&words[..words.len() - 1]).is_none());
    }
}
