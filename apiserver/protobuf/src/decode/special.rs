//! Messages that are not objects in JSON: times, quantities, raw JSON, and the unions of JSON schemas.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Decoder, Fault, bytes, deeper, low_32_bits, text, varint};
use crate::envelope;
use crate::table::MessageId;
use crate::wire::Reader;

/// 0001-01-01T00:00:00Z: how Go says that a time is not set.
const ZERO_TIME: i64 = -62_135_596_800;
/// 9999-12-30T22:00:00Z, the last that a timestamp holds here; Go's JSON ends two days later.
const LAST_TIME: i64 = 253_402_207_200;

/// Whole seconds: what a sender says of nanoseconds is dropped, as upstream does.
pub(super) fn time(message: &[u8]) -> Result<Value, Fault> {
    Ok(match timestamp(message)? {
        Some((seconds, _)) => Value::String(instant(seconds, 0)?.to_string()),
        None => Value::Null,
    })
}

pub(super) fn micro_time(message: &[u8]) -> Result<Value, Fault> {
    Ok(match timestamp(message)? {
        Some((seconds, nanos)) => Value::String(format!("{:.6}", instant(seconds, nanos / 1000 * 1000)?)),
        None => Value::Null,
    })
}

/// Seconds and nanoseconds; none for a time that is not set.
fn timestamp(message: &[u8]) -> Result<Option<(i64, i32)>, Fault> {
    if message.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(message);
    while let Some((number, item)) = reader.field()? {
        match number {
            1 => seconds = varint(item)?.cast_signed(),
            2 => nanos = low_32_bits(varint(item)?),
            _ => {}
        }
    }
    Ok((seconds != ZERO_TIME || nanos != 0).then_some((seconds, nanos)))
}

fn instant(seconds: i64, nanos: i32) -> Result<Timestamp, Fault> {
    let known = (ZERO_TIME..=LAST_TIME).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
    let instant = known.then(|| Timestamp::new(seconds, nanos).ok()).flatten();
    instant.ok_or_else(|| Fault::Value(format!("no time: {seconds} s, {nanos} ns")))
}

/// As it was sent: a client's library has written it in its short form.
pub(super) fn quantity(message: &[u8]) -> Result<Value, Fault> {
    let mut quantity = "0".to_owned();
    let mut reader = Reader::new(message);
    while let Some((number, item)) = reader.field()? {
        if number == 1 {
            quantity = text(item)?;
        }
    }
    Ok(Value::String(quantity))
}

pub(super) fn int_or_string(message: &[u8]) -> Result<Value, Fault> {
    let (mut kind, mut int, mut string) = (0, 0, String::new());
    let mut reader = Reader::new(message);
    while let Some((number, item)) = reader.field()? {
        match number {
            1 => kind = varint(item)?,
            2 => int = low_32_bits(varint(item)?),
            3 => string = text(item)?,
            _ => {}
        }
    }
    match kind {
        0 => Ok(Value::from(int)),
        1 => Ok(Value::String(string)),
        other => Err(Fault::Value(format!("an IntOrString of type {other}"))),
    }
}

impl Decoder {
    /// JSON, or an object in an envelope; null if there is nothing.
    pub(super) fn raw(&mut self, message: &[u8], depth: usize) -> Result<Value, Fault> {
        let mut raw: &[u8] = &[];
        let mut reader = Reader::new(message);
        while let Some((number, item)) = reader.field()? {
            if number == 1 {
                raw = bytes(item)?;
            }
        }
        if raw.is_empty() {
            return Ok(Value::Null);
        }
        if raw.starts_with(envelope::PREFIX) {
            return Ok(self.enveloped(raw, None, depth)?.object);
        }
        let extent = Extent::of(raw);
        self.spend(extent.values)?;
        if extent.depth > depth {
            return Err(Fault::TooDeep);
        }
        serde_json::from_slice(raw).map_err(Fault::Json)
    }

    pub(super) fn strings(&mut self, message: &[u8], depth: usize) -> Result<Value, Fault> {
        deeper(depth)?;
        let mut items = Vec::new();
        let mut reader = Reader::new(message);
        while let Some((number, item)) = reader.field()? {
            if number == 1 {
                self.spend(1)?;
                items.push(Value::String(text(item)?));
            }
        }
        Ok(Value::Array(items))
    }

    pub(super) fn schema_or_array(&mut self, id: MessageId, message: &[u8], depth: usize) -> Result<Value, Fault> {
        let mut schema = None;
        let mut schemas = Vec::new();
        let mut reader = Reader::new(message);
        while let Some((number, item)) = reader.field()? {
            match number {
                1 => self.schema(id, bytes(item)?, &mut schema, depth)?,
                2 => {
                    let mut one = None;
                    self.schema(id, bytes(item)?, &mut one, deeper(depth)?)?;
                    schemas.extend(one.map(Value::Object));
                }
                _ => {}
            }
        }
        Ok(if schemas.is_empty() {
            schema.map_or(Value::Null, Value::Object)
        } else {
            Value::Array(schemas)
        })
    }

    pub(super) fn schema_or_bool(&mut self, id: MessageId, message: &[u8], depth: usize) -> Result<Value, Fault> {
        let (mut allows, mut schema) = (false, None);
        let mut reader = Reader::new(message);
        while let Some((number, item)) = reader.field()? {
            match number {
                1 => allows = varint(item)? != 0,
                2 => self.schema(id, bytes(item)?, &mut schema, depth)?,
                _ => {}
            }
        }
        Ok(schema.map_or(Value::Bool(allows), Value::Object))
    }

    pub(super) fn schema_or_strings(&mut self, id: MessageId, message: &[u8], depth: usize) -> Result<Value, Fault> {
        let (mut schema, mut property) = (None, Vec::new());
        let mut reader = Reader::new(message);
        while let Some((number, item)) = reader.field()? {
            match number {
                1 => self.schema(id, bytes(item)?, &mut schema, depth)?,
                2 => {
                    self.spend(1)?;
                    deeper(depth)?;
                    property.push(Value::String(text(item)?));
                }
                _ => {}
            }
        }
        Ok(if property.is_empty() {
            schema.map_or(Value::Null, Value::Object)
        } else {
            Value::Array(property)
        })
    }

    fn schema(
        &mut self,
        id: MessageId,
        message: &[u8],
        into: &mut Option<Map<String, Value>>,
        depth: usize,
    ) -> Result<(), Fault> {
        self.spend(1)?;
        Ok(self.message(id, message, into.get_or_insert_default(), depth)?)
    }
}

/// How large JSON is, found without building it. Of what is no JSON it says something, too, and the parser the rest.
#[derive(Debug, PartialEq)]
struct Extent {
    /// At least as many as there are.
    values: usize,
    /// Lists and objects within each other.
    depth: usize,
}

impl Extent {
    fn of(json: &[u8]) -> Self {
        let mut extent = Extent { values: 1, depth: 0 };
        let (mut open, mut quoted, mut escaped) = (0usize, false, false);
        for byte in json {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b',' => extent.values += 1,
                b'[' | b'{' => {
                    extent.values += 1;
                    open += 1;
                    extent.depth = extent.depth.max(open);
                }
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::Extent;

    #[test]
    fn the_extent_of_json_is_found_outside_of_its_strings() {
        assert_eq!(
            Extent::of(br#"{"a":[1,2],"b":"[,{\",","c":{}}"#),
            Extent { values: 7, depth: 2 }
        );
        assert_eq!(Extent::of(b"1"), Extent { values: 1, depth: 0 });
        assert_eq!(Extent::of(b"]]][[}[").depth, 2);
    }
}
