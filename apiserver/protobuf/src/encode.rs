//! JSON to messages, by the table, byte for byte what upstream's library writes for the same object: fields in order,
//! maps sorted by key, and zeros where its types cannot leave a value out.
//!
//! The objects are the server's own, but their JSON came from clients: a member of the wrong type is an error that
//! names it, and nesting is bounded. Members that the table does not have are left out; `null` is as good as absent.

mod special;

use std::borrow::Borrow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::table::{Field, Form, Kind, Message, MessageId, Special, Table, table};
use crate::wire::Writer;

/// Messages within messages. A level of JSON takes two at most, and of those the server takes a hundred.
const MAX_DEPTH: usize = 256;

/// Why an object cannot be written as protobuf. An object that was checked by its kind's schema only meets
/// [`EncodeError::UnknownKind`]: answer it in JSON.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// An object without `kind`.
    #[error("Object 'Kind' is missing")]
    MissingKind,
    /// An object without `apiVersion`.
    #[error("Object 'apiVersion' is missing")]
    MissingVersion,
    /// The table has no such kind; upstream has no protobuf for custom resources and tables either.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\" in protobuf")]
    UnknownKind {
        /// As given.
        api_version: String,
        /// As given.
        kind: String,
    },
    /// Not a JSON object.
    #[error("not an object")]
    NoObject,
    /// A kind without items was to be written as a list.
    #[error("{name} is no list")]
    NoList {
        /// The message.
        name: String,
    },
    /// A member of another type than its kind's.
    #[error("{at}: {problem}")]
    Value {
        /// `message.field`.
        at: String,
        /// What was found.
        problem: String,
    },
    /// Schemas within schemas, without end.
    #[error("{at}: nested too deep")]
    TooDeep {
        /// The message.
        at: String,
    },
}

/// A member that cannot be written.
#[derive(Debug)]
enum Fault {
    Value(String),
    /// Of something deeper, which has its place already.
    Placed(EncodeError),
}

impl From<EncodeError> for Fault {
    fn from(error: EncodeError) -> Self {
        Fault::Placed(error)
    }
}

impl Fault {
    fn at(self, message: &Message, field: &Field) -> EncodeError {
        match self {
            Fault::Value(problem) => EncodeError::Value {
                at: format!("{}.{}", message.name, field.name),
                problem,
            },
            Fault::Placed(error) => error,
        }
    }
}

fn wrong(value: &Value, wanted: &str) -> Fault {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Fault::Value(format!("{found} instead of {wanted}"))
}

/// Writes one object's fields.
pub(crate) struct Encoder<'w> {
    table: &'static Table,
    writer: &'w mut Writer,
    depth: usize,
}

impl<'w> Encoder<'w> {
    pub(crate) fn new(writer: &'w mut Writer) -> Self {
        Encoder {
            table: table(),
            writer,
            depth: MAX_DEPTH,
        }
    }

    /// Writes what the message has of the object, without a tag or a length.
    pub(crate) fn message(&mut self, id: MessageId, object: &Map<String, Value>) -> Result<(), EncodeError> {
        let message = self.table.message(id);
        if self.depth == 0 {
            return Err(EncodeError::TooDeep {
                at: message.name.clone(),
            });
        }
        for field in &message.fields {
            self.field(field, object).map_err(|fault| fault.at(message, field))?;
        }
        Ok(())
    }

    /// Writes a list kind's message. One that has no items is no list.
    pub(crate) fn list(
        &mut self,
        id: MessageId,
        metadata: &Value,
        items: impl IntoIterator<Item = impl Borrow<Value>>,
    ) -> Result<(), EncodeError> {
        let message = self.table.message(id);
        let of = |name, form| {
            message
                .fields
                .iter()
                .find(|field| field.name == name && field.form == form)
        };
        let (Some(head), Some(body)) = (of("metadata", Form::Plain), of("items", Form::List)) else {
            return Err(EncodeError::NoList {
                name: message.name.clone(),
            });
        };
        self.single(head.number, head.kind, metadata)
            .map_err(|fault| fault.at(message, head))?;
        let mut items = items.into_iter();
        items.try_for_each(|item| {
            self.single(body.number, body.kind, item.borrow())
                .map_err(|fault| fault.at(message, body))
        })
    }

    fn field(&mut self, field: &Field, object: &Map<String, Value>) -> Result<(), Fault> {
        let number = field.number;
        if let (Form::Inline, Kind::Message(id)) = (field.form, field.kind) {
            return self.nested(number, |encoder| Ok(encoder.message(id, object)?));
        }
        match (field.form, object.get(field.name)) {
            (Form::Plain, None | Some(Value::Null)) if field.kind == Kind::Bytes => Ok(()),
            (Form::Plain, value) => self.single(number, field.kind, value.unwrap_or(&Value::Null)),
            (_, None | Some(Value::Null)) => Ok(()),
            (Form::List, Some(Value::Array(elements))) => elements
                .iter()
                .try_for_each(|element| self.single(number, field.kind, element)),
            (Form::List, Some(other)) => Err(wrong(other, "a list")),
            (Form::Map, Some(Value::Object(entries))) => self.entries(number, field.kind, entries),
            (Form::Map, Some(other)) => Err(wrong(other, "an object")),
            (Form::Pointer | Form::Inline, Some(value)) => self.single(number, field.kind, value),
        }
    }

    fn entries(&mut self, number: u32, kind: Kind, entries: &Map<String, Value>) -> Result<(), Fault> {
        let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in entries {
            self.nested(number, |encoder| {
                encoder.writer.bytes_field(1, key.as_bytes());
                // A list of bytes that is nil in Go is left out, in a map too.
                if kind == Kind::Bytes && value.is_null() {
                    Ok(())
                } else {
                    encoder.single(2, kind, value)
                }
            })?;
        }
        Ok(())
    }

    /// Writes one value; null is the type's zero.
    fn single(&mut self, number: u32, kind: Kind, value: &Value) -> Result<(), Fault> {
        match kind {
            Kind::String => self.writer.bytes_field(number, string(value)?.as_bytes()),
            Kind::Bytes => {
                let bytes = STANDARD.decode(string(value)?);
                let bytes = bytes.map_err(|_| Fault::Value("a string that is not base64".to_owned()))?;
                self.writer.bytes_field(number, &bytes);
            }
            Kind::Int64 => self.writer.int_field(number, integer(value)?),
            Kind::Int32 => self.writer.int_field(number, int32(value)?),
            Kind::Bool => self.writer.varint_field(number, u64::from(boolean(value)?)),
            Kind::Double => self.writer.double_field(number, double(value)?),
            Kind::Message(id) => {
                let nothing = Map::new();
                let object = match value {
                    Value::Object(object) => object,
                    Value::Null => &nothing,
                    other => return Err(wrong(other, "an object")),
                };
                self.nested(number, |encoder| Ok(encoder.message(id, object)?))?;
            }
            Kind::Special(special) => self.nested(number, |encoder| encoder.special(special, value))?,
        }
        Ok(())
    }

    fn special(&mut self, special: Special, value: &Value) -> Result<(), Fault> {
        match special {
            Special::Time => special::time(self.writer, value),
            Special::MicroTime => special::micro_time(self.writer, value),
            Special::Quantity => special::quantity(self.writer, value),
            Special::IntOrString => special::int_or_string(self.writer, value),
            Special::Raw | Special::Json => {
                special::raw(self.writer, value);
                Ok(())
            }
            Special::Strings => self.strings(value),
            Special::SchemaOrArray(id) => self.schema_or_array(id, value),
            Special::SchemaOrBool(id) => self.schema_or_bool(id, value),
            Special::SchemaOrStrings(id) => self.schema_or_strings(id, value),
        }
    }

    fn nested(&mut self, number: u32, body: impl FnOnce(&mut Encoder<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let (table, depth) = (self.table, self.depth.saturating_sub(1));
        self.writer
            .message_field(number, |writer| body(&mut Encoder { table, writer, depth }))
    }
}

fn string(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(""),
        other => Err(wrong(other, "a string")),
    }
}

fn integer(value: &Value) -> Result<i64, Fault> {
    match value {
        Value::Null => Ok(0),
        other => other.as_i64().ok_or_else(|| wrong(other, "a whole number of 64 bits")),
    }
}

fn int32(value: &Value) -> Result<i64, Fault> {
    let number = integer(value)?;
    match i32::try_from(number) {
        Ok(number) => Ok(number.into()),
        Err(_) => Err(wrong(value, "a whole number of 32 bits")),
    }
}

fn boolean(value: &Value) -> Result<bool, Fault> {
    match value {
        Value::Null => Ok(false),
        other => other.as_bool().ok_or_else(|| wrong(other, "a boolean")),
    }
}

fn double(value: &Value) -> Result<f64, Fault> {
    match value {
        Value::Null => Ok(0.0),
        other => other.as_f64().ok_or_else(|| wrong(other, "a number")),
    }
}
