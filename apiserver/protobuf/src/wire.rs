//! The wire format of protocol buffers, as much of it as Kubernetes uses: varints, 64-bit and 32-bit numbers, and
//! byte strings with a length. Groups, which nothing has sent for many years, are refused.
//!
//! Reading borrows and never allocates. What a field means is not known here.

/// Why bytes are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end within a number or a string.
    #[error("unexpected end")]
    Truncated,
    /// A varint of more than ten bytes, or of more than 64 bits.
    #[error("a varint overflows 64 bits")]
    Overflow,
    /// Field numbers start at one and end at 2²⁹ − 1.
    #[error("illegal field number {0}")]
    FieldNumber(u64),
    /// A wire type that no field of ours can have.
    #[error("unsupported wire type {0}")]
    WireType(u8),
}

/// What stands on the wire for one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl Item<'_> {
    /// For messages about an item of the wrong kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Item::Varint(_) => "a varint",
            Item::Fixed64(_) => "a 64-bit number",
            Item::Fixed32(_) => "a 32-bit number",
            Item::Bytes(_) => "bytes",
        }
    }
}

/// Reads fields one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and what it holds; none at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Item<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = match u32::try_from(tag >> 3) {
            Ok(number) if (1..1 << 29).contains(&number) => number,
            _ => return Err(WireError::FieldNumber(tag >> 3)),
        };
        let item = match tag & 7 {
            0 => Item::Varint(self.varint()?),
            1 => Item::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Item::Bytes(self.bytes()?),
            5 => Item::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(WireError::WireType(other.to_le_bytes()[0])),
        };
        Ok(Some((number, item)))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Overflow);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Overflow)
    }

    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Writes fields one after the other. Scalars are written even when they are zero, as Kubernetes does.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// What follows is written behind `prefix`.
    pub(crate) fn after(prefix: &[u8]) -> Self {
        Writer { out: prefix.to_vec() }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn varint_field(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.varint(value);
    }

    /// Signed numbers are sign-extended to 64 bits, whatever their width (`int32` and `int64`; no zigzag).
    pub(crate) fn int_field(&mut self, number: u32, value: i64) {
        self.varint_field(number, value.cast_unsigned());
    }

    pub(crate) fn double_field(&mut self, number: u32, value: f64) {
        self.tag(number, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes_field(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Writes a message: `body` writes its fields. The length is put before them when it is known, which moves them
    /// by a byte or a few; it saves a pass that only counts. What the body returns is returned.
    pub(crate) fn message_field<T>(&mut self, number: u32, body: impl FnOnce(&mut Self) -> T) -> T {
        self.tag(number, 2);
        let start = self.out.len();
        let result = body(self);
        let end = self.out.len();
        self.varint((end - start) as u64);
        let length = self.out.len() - end;
        self.out[start..].rotate_right(length);
        result
    }

    fn tag(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = (value & 0x7f).to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.out.push(low);
                return;
            }
            self.out.push(low | 0x80);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.int_field(1, -1);
        writer.bytes_field(536_870_911, b"x");
        writer.double_field(3, 0.5);
        writer.message_field(4, |writer| writer.bytes_field(1, &[7; 300]));
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.field(), Ok(Some((1, Item::Varint(u64::MAX)))));
        assert_eq!(reader.field(), Ok(Some((536_870_911, Item::Bytes(b"x")))));
        assert_eq!(reader.field(), Ok(Some((3, Item::Fixed64(0.5f64.to_bits())))));
        let Ok(Some((4, Item::Bytes(inner)))) = reader.field() else {
            panic!("the message is lost")
        };
        assert_eq!(Reader::new(inner).field(), Ok(Some((1, Item::Bytes(&[7; 300])))));
        assert_eq!(reader.field(), Ok(None));
    }

    #[test]
    fn broken_bytes_say_what_is_wrong() {
        fn read(bytes: &[u8]) -> Result<Option<(u32, Item<'_>)>, WireError> {
            Reader::new(bytes).field()
        }
        assert_eq!(read(&[0x0a, 5, b'a']), Err(WireError::Truncated));
        assert_eq!(read(&[0x08, 0x80]), Err(WireError::Truncated));
        assert_eq!(
            read(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Err(WireError::Truncated)
        );
        assert_eq!(
            read(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            Err(WireError::Overflow)
        );
        assert_eq!(read(&[0x02, 0]), Err(WireError::FieldNumber(0)));
        assert_eq!(read(&[0x0b]), Err(WireError::WireType(3)));
    }

    proptest! {
        #[test]
        fn any_number_survives(value: u64) {
            let mut writer = Writer::default();
            writer.varint(value);
            let bytes = writer.into_bytes();
            prop_assert_eq!(Reader::new(&bytes).varint(), Ok(value));
        }
    }
}
