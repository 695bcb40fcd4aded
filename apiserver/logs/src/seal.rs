//! The seal: how a log ends, and the trailer that says so at the end of its last segment.
//!
//! ```text
//!  0        8        16      24       56         60    64
//!  | magic  | length | lines | digest | reserved | crc |
//! ```
//!
//! Little endian; `crc` is CRC-32C over all before it. The magic's first four bytes, read as a record's
//! payload length, are larger than any record may be, so a trailer can never be taken for a record. It
//! lies in the log's own file, and not beside it, so that a small log is durable after one sync.

/// Bytes of the trailer.
pub(crate) const TRAILER_LEN: usize = 64;

const MAGIC: [u8; 8] = *b"bulkSEAL";

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Content bytes in the whole log, those in gaps included: the offset behind the last byte.
    pub length: u64,
    /// SHA-256 over the content bytes that are there (a gap's bytes are not).
    pub digest: [u8; 32],
}

/// A seal as it is stored, with the count that readers want and no agent sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) seal: Seal,
    pub(crate) lines: u64,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut out = [0u8; TRAILER_LEN];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.seal.length.to_le_bytes());
        out[16..24].copy_from_slice(&self.lines.to_le_bytes());
        out[24..56].copy_from_slice(&self.seal.digest);
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The trailer at the front of `input`, if a whole and valid one stands there.
    pub(crate) fn decode(input: &[u8]) -> Option<Self> {
        let bytes = input.first_chunk::<TRAILER_LEN>()?;
        let long = |at: usize| {
            let word = bytes[at..at + 8].first_chunk::<8>().expect("eight bytes were sliced");
            u64::from_le_bytes(*word)
        };
        let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
        if bytes[..8] != MAGIC || bytes[60..] != crc {
            return None;
        }
        let digest = *bytes[24..56].first_chunk::<32>().expect("thirty-two bytes were sliced");
        Some(Self {
            seal: Seal {
                length: long(8),
                digest,
            },
            lines: long(16),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use breakbulk_log_record::{RecordError, decode};
    use bytes::Bytes;

    #[test]
    fn a_trailer_is_read_back_and_never_taken_for_a_record() {
        let trailer = Trailer {
            seal: Seal {
                length: 7,
                digest: [3; 32],
            },
            lines: 2,
        };
        let bytes = trailer.encode();
        assert_eq!(Trailer::decode(&bytes), Some(trailer));
        assert!(matches!(
            decode(&mut Bytes::copy_from_slice(&bytes)),
            Err(RecordError::Length(_))
        ));
        for bit in 0..bytes.len() * 8 {
            let mut torn = bytes;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Trailer::decode(&torn), None, "bit {bit}");
        }
    }
}
