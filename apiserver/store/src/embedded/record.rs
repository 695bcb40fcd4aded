//! Records: what a frame's payload says.
//!
//! Encoding and decoding only; what a record means for the state is decided in [`super::recovery`]. Numbers are
//! little-endian; keys and values are preceded by their length.

use bytes::Bytes;

use crate::{KeyValue, Op, Revision};

const TXN: u8 = 1;
const COMPACTED: u8 = 2;
const CLOSED: u8 = 3;
const SEALED: u8 = 4;
const ITEM: u8 = 16;
const END: u8 = 17;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Milliseconds since 1970, of this machine's clock: only used to forget history by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    pub(crate) fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// Log: a transaction was applied. Only operations that changed something are in it.
    Txn {
        revision: Revision,
        at: Millis,
        ops: Vec<Op>,
    },
    /// Log: the history before this revision was forgotten.
    Compacted(Revision),
    /// Log: the store was closed in order; everything before this was synced.
    Closed,
    /// Log: this file is complete, the next one begins with this revision.
    Sealed { next: Revision },
    /// Snapshot: a key that exists.
    Item(KeyValue),
    /// Snapshot: this was all, so many items.
    End { items: u64 },
}

/// Appends a transaction.
pub(crate) fn put_txn(out: &mut Vec<u8>, revision: Revision, at: Millis, ops: &[Op]) {
    out.push(TXN);
    out.extend_from_slice(&revision.0.to_le_bytes());
    out.extend_from_slice(&at.0.to_le_bytes());
    out.extend_from_slice(&length(ops.len()));
    for op in ops {
        match op {
            Op::Put { key, value } => {
                out.push(PUT);
                put_bytes(out, key);
                put_bytes(out, value);
            }
            Op::Delete { key } => {
                out.push(DELETE);
                put_bytes(out, key);
            }
        }
    }
}

/// Appends any other record.
pub(crate) fn put(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Txn { revision, at, ops } => put_txn(out, *revision, *at, ops),
        Record::Compacted(revision) => put_number(out, COMPACTED, revision.0),
        Record::Closed => out.push(CLOSED),
        Record::Sealed { next } => put_number(out, SEALED, next.0),
        Record::Item(item) => {
            put_number(out, ITEM, item.create_revision.0);
            out.extend_from_slice(&item.mod_revision.0.to_le_bytes());
            put_bytes(out, &item.key);
            put_bytes(out, &item.value);
        }
        Record::End { items } => put_number(out, END, *items),
    }
}

fn put_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes.len()));
    out.extend_from_slice(bytes);
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length)
        .expect("keys, values and transactions are bounded to a few MiB")
        .to_le_bytes()
}

/// A payload that passed its checksum but makes no sense: it was written by something else.
#[derive(Debug, thiserror::Error)]
#[error("a record can't be read")]
pub(crate) struct Unreadable;

/// The records of one payload.
pub(crate) fn decode(payload: &[u8]) -> Result<Vec<Record>, Unreadable> {
    let mut reader = Reader(payload);
    let mut records = Vec::new();
    while !reader.0.is_empty() {
        records.push(reader.record()?);
    }
    Ok(records)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn record(&mut self) -> Result<Record, Unreadable> {
        Ok(match self.byte()? {
            TXN => {
                let (revision, at) = (Revision(self.number()?), Millis(self.number()?));
                let count = self.length()?;
                let ops = (0..count).map(|_| self.op()).collect::<Result<_, _>>()?;
                Record::Txn { revision, at, ops }
            }
            COMPACTED => Record::Compacted(Revision(self.number()?)),
            CLOSED => Record::Closed,
            SEALED => Record::Sealed {
                next: Revision(self.number()?),
            },
            ITEM => {
                let (create_revision, mod_revision) = (Revision(self.number()?), Revision(self.number()?));
                Record::Item(KeyValue {
                    key: self.bytes()?,
                    value: self.bytes()?,
                    create_revision,
                    mod_revision,
                })
            }
            END => Record::End { items: self.number()? },
            _ => return Err(Unreadable),
        })
    }

    fn op(&mut self) -> Result<Op, Unreadable> {
        match self.byte()? {
            PUT => Ok(Op::Put {
                key: self.bytes()?,
                value: self.bytes()?,
            }),
            DELETE => Ok(Op::Delete { key: self.bytes()? }),
            _ => Err(Unreadable),
        }
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Unreadable)?))
    }

    fn length(&mut self) -> Result<usize, Unreadable> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| Unreadable)?) as usize)
    }

    /// Copied out, so that one live value does not keep a whole log file in memory.
    fn bytes(&mut self) -> Result<Bytes, Unreadable> {
        let length = self.length()?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_read_back_as_it_was_written() {
        let records = vec![
            Record::Txn {
                revision: Revision(7),
                at: Millis(99),
                ops: vec![
                    Op::Put {
                        key: Bytes::from_static(b"k"),
                        value: Bytes::from_static(b"v"),
                    },
                    Op::Delete {
                        key: Bytes::from_static(b"gone"),
                    },
                ],
            },
            Record::Compacted(Revision(3)),
            Record::Item(KeyValue {
                key: Bytes::from_static(b"a"),
                value: Bytes::new(),
                create_revision: Revision(2),
                mod_revision: Revision(5),
            }),
            Record::End { items: 1 },
            Record::Sealed { next: Revision(8) },
            Record::Closed,
        ];
        let mut payload = Vec::new();
        for record in &records {
            put(&mut payload, record);
        }
        assert_eq!(decode(&payload).unwrap(), records);
    }

    #[test]
    fn a_payload_cut_inside_a_record_is_unreadable() {
        let mut payload = Vec::new();
        put_txn(
            &mut payload,
            Revision(1),
            Millis(0),
            &[Op::Delete {
                key: Bytes::from_static(b"key"),
            }],
        );
        for cut in 1..payload.len() {
            assert!(decode(&payload[..cut]).is_err(), "cut at {cut}");
        }
    }
}
