//! The log record: the frame in which log bytes lie in a node's spool, travel to the server and lie in
//! its segments. One format for all three, so that bytes are framed and checksummed once, by the shim.
//!
//! A log is a byte stream. Its *offset* counts content bytes (what the script wrote, after masking), not
//! frames. Records are contiguous: each starts where the one before it ended.
//!
//! ```text
//!  0      4      8             16            24     25     26   28
//!  | len  | crc  | offset      | time        | kind | strm | 0  | payload: len bytes …
//! ```
//!
//! Little endian. `len` counts the payload only. `crc` is CRC-32C over bytes 8.. of the header and the
//! payload. `time` is nanoseconds since the Unix epoch when the bytes were read from the script.
//!
//! A [`Kind::Gap`] record stands for content that is missing for a stated cause: its payload is
//! `u64 missing byte count | UTF-8 cause`, and the next record's offset is larger by that count. Readers
//! show it; nothing is ever lost silently.
//!
//! This crate does no I/O and knows neither jobs nor networks.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the payload.
pub const HEADER_LEN: usize = 28;

/// The largest payload. Writers cut longer input; readers refuse longer records, so that a corrupt length
/// cannot make them allocate. It bounds what one reader holds in memory at once.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// What a record's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Content bytes.
    Data = 1,
    /// A hole, with its size and cause.
    Gap = 2,
}

/// Where content bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    /// Standard output and standard error together, in the order they were written (one pipe).
    Output = 0,
    /// Standard output alone.
    Stdout = 1,
    /// Standard error alone.
    Stderr = 2,
    /// Words of the system about the job (checkout, limits, how it ended), not of the script.
    System = 3,
}

/// A parsed header and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Offset of the first content byte.
    pub offset: u64,
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    /// What the payload is.
    pub kind: Kind,
    /// Where it came from.
    pub stream: Stream,
    /// Content bytes, or a gap's description.
    pub payload: Bytes,
}

/// What stands where a record should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The payload's length is over [`MAX_PAYLOAD`], or a gap too short to hold its count.
    #[error("a record of {0} bytes is outside the allowed length")]
    Length(u32),
    /// The checksum does not match.
    #[error("the record at offset {offset} fails its checksum")]
    Checksum {
        /// The offset the header claims.
        offset: u64,
    },
    /// An unknown kind or stream.
    #[error("unknown record kind {kind} or stream {stream}")]
    Unknown {
        /// The kind byte.
        kind: u8,
        /// The stream byte.
        stream: u8,
    },
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Gap),
            _ => None,
        }
    }
}

impl Stream {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Output),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::System),
            _ => None,
        }
    }
}

impl Record {
    /// A data record. The caller keeps `payload` within [`MAX_PAYLOAD`].
    pub fn data(offset: u64, time: u64, stream: Stream, payload: Bytes) -> Self {
        Self {
            offset,
            time,
            kind: Kind::Data,
            stream,
            payload,
        }
    }

    /// A hole of `missing` bytes at `offset`, and why.
    pub fn gap(offset: u64, time: u64, missing: u64, cause: &str) -> Self {
        let mut payload = BytesMut::with_capacity(8 + cause.len());
        payload.put_u64_le(missing);
        payload.put_slice(cause.as_bytes());
        Self {
            offset,
            time,
            kind: Kind::Gap,
            stream: Stream::System,
            payload: payload.freeze(),
        }
    }

    /// How many content bytes this record accounts for.
    pub fn content_len(&self) -> u64 {
        match self.kind {
            Kind::Data => self.payload.len() as u64,
            Kind::Gap => self.missing().map_or(0, |(missing, _)| missing),
        }
    }

    /// The offset of the record that follows.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.content_len())
    }

    /// For a gap: its size in bytes and its cause.
    pub fn missing(&self) -> Option<(u64, String)> {
        match self.kind {
            Kind::Data => None,
            Kind::Gap => {
                let (count, cause) = self.payload.split_at_checked(8)?;
                let count = u64::from_le_bytes(count.try_into().ok()?);
                Some((count, String::from_utf8_lossy(cause).into_owned()))
            }
        }
    }

    /// Appends the framed record to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        encode_parts(out, self.offset, self.time, self.kind, self.stream, &self.payload);
    }
}

/// Appends one framed record to `out` without owning the payload: the writer's path.
pub fn encode_parts(out: &mut BytesMut, offset: u64, time: u64, kind: Kind, stream: Stream, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD, "writers cut at MAX_PAYLOAD");
    out.reserve(HEADER_LEN + payload.len());
    out.put_slice(&header(offset, time, kind, stream, payload));
    out.put_slice(payload);
}

/// The header for `payload`, for a writer that hands both to one `writev`.
pub fn header(offset: u64, time: u64, kind: Kind, stream: Stream, payload: &[u8]) -> [u8; HEADER_LEN] {
    let mut head = [0u8; HEADER_LEN];
    let len = u32::try_from(payload.len()).expect("writers cut at MAX_PAYLOAD");
    head[0..4].copy_from_slice(&len.to_le_bytes());
    head[8..16].copy_from_slice(&offset.to_le_bytes());
    head[16..24].copy_from_slice(&time.to_le_bytes());
    head[24] = kind as u8;
    head[25] = stream as u8;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[8..]), payload);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Takes the next whole record from the front of `input`.
///
/// `Ok(None)` means that more bytes are needed: the end of what is there, or a torn tail. After an error
/// nothing behind it can be trusted.
pub fn decode(input: &mut Bytes) -> Result<Option<Record>, RecordError> {
    let Some(head) = input.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let (len, crc, offset, time) = (word(0), word(4), long(8), long(16));
    let (kind, stream) = (head[24], head[25]);
    let payload_len = len as usize;
    if payload_len > MAX_PAYLOAD {
        return Err(RecordError::Length(len));
    }
    if input.len() < HEADER_LEN + payload_len {
        return Ok(None);
    }
    if crc32c::crc32c(&input[8..HEADER_LEN + payload_len]) != crc {
        return Err(RecordError::Checksum { offset });
    }
    let (Some(kind), Some(stream)) = (Kind::from_byte(kind), Stream::from_byte(stream)) else {
        return Err(RecordError::Unknown { kind, stream });
    };
    if kind == Kind::Gap && payload_len < 8 {
        return Err(RecordError::Length(len));
    }
    let mut frame = input.split_to(HEADER_LEN + payload_len);
    Ok(Some(Record {
        offset,
        time,
        kind,
        stream,
        payload: frame.split_off(HEADER_LEN),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(records: &[Record]) -> Bytes {
        let mut out = BytesMut::new();
        for record in records {
            record.encode(&mut out);
        }
        out.freeze()
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let records = [
            Record::data(0, 7, Stream::Output, Bytes::from_static(b"hello\n")),
            Record::gap(6, 8, 100, "disk full"),
            Record::data(106, 9, Stream::System, Bytes::new()),
        ];
        let mut input = framed(&records);
        for record in &records {
            assert_eq!(decode(&mut input).unwrap().as_ref(), Some(record));
        }
        assert_eq!(decode(&mut input), Ok(None));
        assert_eq!(records[1].end(), 106);
        assert_eq!(records[1].missing(), Some((100, "disk full".to_owned())));
    }

    #[test]
    fn a_torn_tail_asks_for_more_and_a_flipped_bit_is_refused() {
        let whole = framed(&[Record::data(0, 1, Stream::Output, Bytes::from_static(b"abc"))]);
        for cut in 0..whole.len() {
            assert_eq!(decode(&mut whole.slice(..cut)), Ok(None), "cut at {cut}");
        }
        for bit in 32..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&mut Bytes::from(bytes)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
        let mut head = [0u8; HEADER_LEN];
        head[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            decode(&mut Bytes::copy_from_slice(&head)),
            Err(RecordError::Length(u32::MAX))
        );
    }
}
