//! What of an append is taken: pure, so that it can be tested against every order of messages.
//!
//! The rule is the protocol's first: a record is appended only at the committed offset; what lies below
//! is dropped (it is stored already), what lies above is refused. Nothing is written here.

use breakbulk_log_record::{Kind, Record, RecordError, decode};
use bytes::{Bytes, BytesMut};

/// What to do with the bytes of one append.
#[derive(Debug)]
pub(crate) struct Intake {
    /// The frames to append, contiguous from the committed offset.
    pub(crate) frames: Bytes,
    /// The same, parsed. Payloads share memory with `frames`.
    pub(crate) records: Vec<Record>,
    /// Why the rest was not taken.
    pub(crate) fault: Option<Fault>,
}

/// Why records were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// A record starts beyond the committed offset.
    #[error("the record at offset {offset} does not continue the log at {committed}")]
    Offset {
        /// Where the record starts.
        offset: u64,
        /// Where it had to start.
        committed: u64,
    },
    /// A record that does not parse.
    #[error("after offset {after}: {source}")]
    Corrupt {
        /// What was good up to here.
        after: u64,
        /// What is wrong.
        source: RecordError,
    },
    /// The last record is cut off.
    #[error("the record after offset {after} is incomplete")]
    Incomplete {
        /// What was good up to here.
        after: u64,
    },
    /// A record whose end is no offset.
    #[error("the record at offset {offset} ends beyond any offset")]
    Overflow {
        /// Where the record starts.
        offset: u64,
    },
}

/// Decides what of `input` continues a log that is `committed` bytes long.
pub(crate) fn plan(mut committed: u64, input: &Bytes) -> Intake {
    let mut rest = input.clone();
    let mut records = Vec::new();
    let mut taken = 0..0;
    let mut reframed = None;
    let fault = loop {
        let start = input.len() - rest.len();
        let record = match decode(&mut rest) {
            Ok(Some(record)) => record,
            Ok(None) if rest.is_empty() => break None,
            Ok(None) => break Some(Fault::Incomplete { after: committed }),
            Err(source) => {
                break Some(Fault::Corrupt {
                    after: committed,
                    source,
                });
            }
        };
        let Some(end) = record.offset.checked_add(record.content_len()) else {
            break Some(Fault::Overflow { offset: record.offset });
        };
        if end <= committed {
            continue;
        }
        if record.offset > committed {
            break Some(Fault::Offset {
                offset: record.offset,
                committed,
            });
        }
        let after = input.len() - rest.len();
        if record.offset < committed {
            // Only a sender that framed the same bytes anew gets here: the rest is framed to fit.
            let rest = behind(&record, committed);
            let mut frame = BytesMut::new();
            rest.encode(&mut frame);
            reframed = Some(frame);
            records.push(rest);
            taken = after..after;
        } else {
            if records.is_empty() {
                taken.start = start;
            }
            taken.end = after;
            records.push(record);
        }
        committed = end;
    };
    let frames = match reframed {
        None => input.slice(taken),
        Some(mut first) => {
            first.extend_from_slice(&input[taken]);
            first.freeze()
        }
    };
    Intake { frames, records, fault }
}

/// The part of `record` from `offset` on, which lies inside it.
pub(crate) fn behind(record: &Record, offset: u64) -> Record {
    let skip = offset - record.offset;
    match record.kind {
        Kind::Data => {
            let skip = usize::try_from(skip).expect("an offset within a payload fits usize");
            Record {
                offset,
                payload: record.payload.slice(skip..),
                ..record.clone()
            }
        }
        Kind::Gap => {
            let (missing, cause) = record.missing().expect("a decoded gap has a count");
            Record::gap(offset, record.time, missing - skip, &cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use breakbulk_log_record::Stream;
    use proptest::prelude::*;

    fn frame(records: &[Record]) -> Bytes {
        let mut out = BytesMut::new();
        for record in records {
            record.encode(&mut out);
        }
        out.freeze()
    }

    fn data(offset: u64, content: &[u8]) -> Record {
        Record::data(offset, 1, Stream::Output, Bytes::copy_from_slice(content))
    }

    proptest! {
        #[test]
        fn whatever_range_is_resent_only_what_continues_the_log_is_taken(
            content in proptest::collection::vec(any::<u8>(), 1..200),
            committed in 0usize..200,
            from in 0usize..200,
            cuts in proptest::collection::vec(1usize..40, 1..10),
        ) {
            let committed = committed.min(content.len());
            let from = from.min(content.len());
            let mut at = from;
            let mut sent = Vec::new();
            for cut in cuts {
                let end = (at + cut).min(content.len());
                sent.push(data(at as u64, &content[at..end]));
                at = end;
            }
            let intake = plan(committed as u64, &frame(&sent));
            let got: Vec<u8> = intake.records.iter().flat_map(|r| r.payload.to_vec()).collect();
            if from > committed {
                prop_assert!(got.is_empty());
                let refused = matches!(intake.fault, Some(Fault::Offset { .. }));
                prop_assert!(refused || from == at);
            } else {
                prop_assert_eq!(&got[..], &content[committed..at.max(committed)]);
                prop_assert!(intake.fault.is_none());
            }
            prop_assert_eq!(frame(&intake.records), intake.frames);
        }
    }

    #[test]
    fn what_stands_before_a_broken_record_is_taken() {
        let good = data(0, b"good");
        let mut bytes = frame(&[good.clone(), data(4, b"bad")]).to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let intake = plan(0, &Bytes::from(bytes));
        assert_eq!(intake.records, [good]);
        assert!(matches!(intake.fault, Some(Fault::Corrupt { after: 4, .. })));
    }

    #[test]
    fn a_gap_without_end_is_refused() {
        let intake = plan(5, &frame(&[Record::gap(5, 0, u64::MAX, "hostile")]));
        assert_eq!(intake.fault, Some(Fault::Overflow { offset: 5 }));
        assert!(intake.frames.is_empty());
    }
}
