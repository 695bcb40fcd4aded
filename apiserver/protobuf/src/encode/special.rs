//! Messages that are not objects in JSON: times, quantities, raw JSON, and the unions of JSON schemas.

use jiff::Timestamp;
use serde_json::Value;

use super::{Encoder, Fault, int32, string, wrong};
use crate::table::{Kind, MessageId};
use crate::wire::Writer;

/// Whole seconds, as upstream.
pub(super) fn time(writer: &mut Writer, value: &Value) -> Result<(), Fault> {
    timestamp(writer, value, |_| 0)
}

pub(super) fn micro_time(writer: &mut Writer, value: &Value) -> Result<(), Fault> {
    timestamp(writer, value, |nanos| nanos / 1000 * 1000)
}

/// A time that is not set is an empty message. Go takes the year one for it.
fn timestamp(writer: &mut Writer, value: &Value, precision: impl Fn(i32) -> i32) -> Result<(), Fault> {
    let text = string(value)?;
    if text.is_empty() || text == "0001-01-01T00:00:00Z" {
        return Ok(());
    }
    let time: Timestamp = text
        .parse()
        .map_err(|_| Fault::Value("a string that is no RFC 3339 time".to_owned()))?;
    // Rounded towards the past, so that the nanoseconds are never negative.
    let (seconds, nanos) = match (time.as_second(), time.subsec_nanosecond()) {
        (seconds, nanos) if nanos < 0 => (seconds - 1, nanos + 1_000_000_000),
        whole => whole,
    };
    writer.int_field(1, seconds);
    writer.int_field(2, precision(nanos).into());
    Ok(())
}

/// In JSON a quantity may be a number.
pub(super) fn quantity(writer: &mut Writer, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Null => writer.bytes_field(1, b"0"),
        Value::Number(number) => writer.bytes_field(1, number.to_string().as_bytes()),
        other => writer.bytes_field(1, string(other)?.as_bytes()),
    }
    Ok(())
}

pub(super) fn int_or_string(writer: &mut Writer, value: &Value) -> Result<(), Fault> {
    let (kind, int, text) = match value {
        Value::String(text) => (1, 0, text.as_str()),
        other => (0, int32(other)?, ""),
    };
    writer.int_field(1, kind);
    writer.int_field(2, int);
    writer.bytes_field(3, text.as_bytes());
    Ok(())
}

/// JSON as it is; nothing for null.
pub(super) fn raw(writer: &mut Writer, value: &Value) {
    if !value.is_null() {
        writer.bytes_field(1, value.to_string().as_bytes());
    }
}

impl Encoder<'_> {
    pub(super) fn strings(&mut self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Null => Ok(()),
            Value::Array(items) => items.iter().try_for_each(|item| self.single(1, Kind::String, item)),
            other => Err(wrong(other, "a list of strings")),
        }
    }

    pub(super) fn schema_or_array(&mut self, id: MessageId, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Null => Ok(()),
            Value::Array(schemas) => schemas
                .iter()
                .try_for_each(|schema| self.single(2, Kind::Message(id), schema)),
            schema => self.single(1, Kind::Message(id), schema),
        }
    }

    /// A schema allows what fits it.
    pub(super) fn schema_or_bool(&mut self, id: MessageId, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Bool(allows) => self.writer.varint_field(1, u64::from(*allows)),
            Value::Object(_) => {
                self.writer.varint_field(1, 1);
                self.single(2, Kind::Message(id), value)?;
            }
            Value::Null => self.writer.varint_field(1, 0),
            other => return Err(wrong(other, "a boolean or a schema")),
        }
        Ok(())
    }

    pub(super) fn schema_or_strings(&mut self, id: MessageId, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Null => Ok(()),
            Value::Array(names) => names.iter().try_for_each(|name| self.single(2, Kind::String, name)),
            schema => self.single(1, Kind::Message(id), schema),
        }
    }
}
