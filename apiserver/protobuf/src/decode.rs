//! Messages to JSON, by the table: what a Go client would have sent as JSON, it having sent protobuf.
//!
//! The bytes are a client's and nothing is believed about them: nesting, size and the number of values are bounded,
//! numbers and text are checked, and an error names the message and the field. Fields that the table does not know
//! are skipped and listed. What is written twice counts as protobuf says: the last scalar, all of the elements, and
//! messages merged.
//!
//! Where Go writes `null` into JSON (a time that is not set, a pointer) there is nothing here, and where it writes
//! `null` for a list or a map that its type always has there is an empty one.

mod special;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::table::{Field, Form, Kind, Message, MessageId, Special, Table, table};
use crate::wire::{Item, Reader, WireError};

/// How much a body may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of the whole body.
    pub bytes: usize,
    /// Of JSON: lists and objects within each other, those of raw JSON included.
    pub depth: usize,
    /// Of JSON: members, elements, and what raw JSON holds. One that is a message of its own takes up to a kilobyte
    /// of memory, so that this bounds memory where two bytes on the wire could become hundreds.
    pub values: usize,
}

impl Default for Limits {
    /// 3 MiB, as upstream; 100 levels, as for bodies in JSON; and 200,000 values, several times what such a body holds in earnest.
    fn default() -> Self {
        Limits {
            bytes: 3 << 20,
            depth: 100,
            values: 200_000,
        }
    }
}

/// Why a body cannot be decoded. All but [`DecodeError::UnknownKind`] are the sender's fault.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("empty data")]
    Empty,
    /// The magic number is missing: the body is something else.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NotProtobuf,
    /// More than [`Limits::bytes`].
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// Neither the envelope nor the caller says what kind the object is.
    #[error("Object 'Kind' is missing in the protobuf envelope")]
    MissingKind,
    /// Neither the envelope nor the caller says the apiVersion.
    #[error("Object 'apiVersion' is missing in the protobuf envelope")]
    MissingVersion,
    /// The table has no such kind: of a custom resource, or of a version that we do not serve.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\" in protobuf")]
    UnknownKind {
        /// As sent.
        api_version: String,
        /// As sent.
        kind: String,
    },
    /// Not protobuf, or cut off.
    #[error("{at}: invalid protobuf")]
    Wire {
        /// `message.field`, or the message.
        at: String,
        /// What is wrong.
        source: WireError,
    },
    /// Protobuf, but not of this field's type.
    #[error("{at}: {problem}")]
    Value {
        /// `message.field`.
        at: String,
        /// What was found.
        problem: String,
    },
    /// Raw JSON that is none.
    #[error("{at}: invalid JSON")]
    Json {
        /// `message.field`.
        at: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// More than [`Limits::depth`].
    #[error("{at}: nested too deep")]
    TooDeep {
        /// `message.field`, or the message.
        at: String,
    },
    /// More than [`Limits::values`].
    #[error("{at}: too many values")]
    TooMany {
        /// `message.field`, or the message.
        at: String,
    },
}

/// The most unknown fields reported: enough to see what is new, too few to blow an answer up.
const MAX_UNKNOWN: usize = 32;

/// A field that was not understood.
#[derive(Debug)]
enum Fault {
    Wire(WireError),
    Value(String),
    Json(serde_json::Error),
    TooDeep,
    TooMany,
    /// Of something deeper, which has its place already.
    Placed(DecodeError),
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Fault::Wire(error)
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Fault::Placed(error)
    }
}

impl Fault {
    fn at(self, message: &Message, field: &Field) -> DecodeError {
        let at = match field.name {
            "" => format!("{}[{}]", message.name, field.number),
            name => format!("{}.{name}", message.name),
        };
        match self {
            Fault::Wire(source) => DecodeError::Wire { at, source },
            Fault::Value(problem) => DecodeError::Value { at, problem },
            Fault::Json(source) => DecodeError::Json { at, source },
            Fault::TooDeep => DecodeError::TooDeep { at },
            Fault::TooMany => DecodeError::TooMany { at },
            Fault::Placed(error) => error,
        }
    }
}

/// One body's decoding, and what is left of its limits.
pub(crate) struct Decoder {
    table: &'static Table,
    values: usize,
    /// `message.number`.
    pub(crate) unknown: Vec<String>,
}

impl Decoder {
    pub(crate) fn new(limits: &Limits) -> Self {
        Decoder {
            table: table(),
            values: limits.values,
            unknown: Vec::new(),
        }
    }

    /// Reads a message into `map`, over what a part of it that came earlier has left there.
    pub(crate) fn message(
        &mut self,
        id: MessageId,
        bytes: &[u8],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(DecodeError::TooDeep {
                at: self.table.message(id).name.clone(),
            });
        };
        self.fields(id, bytes, map, depth)
    }

    /// The same without an object of its own: for messages that are inline.
    fn fields(
        &mut self,
        id: MessageId,
        bytes: &[u8],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let message = self.table.message(id);
        let mut inlined = Vec::new();
        let mut reader = Reader::new(bytes);
        loop {
            let next = reader.field();
            let Some((number, item)) = next.map_err(|source| DecodeError::Wire {
                at: message.name.clone(),
                source,
            })?
            else {
                break;
            };
            let Ok(place) = message.fields.binary_search_by_key(&number, |field| field.number) else {
                self.note_unknown(message, number);
                continue;
            };
            let field = &message.fields[place];
            if field.form == Form::Inline {
                inlined.push(number);
            }
            self.field(field, item, map, depth)
                .map_err(|fault| fault.at(message, field))?;
        }
        self.complete(message, &inlined, map, depth)
    }

    fn note_unknown(&mut self, message: &Message, number: u32) {
        if self.unknown.len() < MAX_UNKNOWN {
            let name = format!("{}.{number}", message.name);
            if !self.unknown.contains(&name) {
                self.unknown.push(name);
            }
        }
    }

    fn field(
        &mut self,
        field: &Field,
        item: Item<'_>,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Fault> {
        match (field.form, field.kind) {
            (Form::Inline, Kind::Message(id)) => Ok(self.fields(id, bytes(item)?, map, depth)?),
            (Form::List, kind) => self.elements(kind, item, list(map, field.name), deeper(depth)?),
            (Form::Map, kind) => self.entry(kind, bytes(item)?, object(map, field.name), deeper(depth)?),
            (_, Kind::Message(id)) => {
                self.spend(1)?;
                Ok(self.message(id, bytes(item)?, object(map, field.name), depth)?)
            }
            (form, kind) => {
                self.spend(1)?;
                let value = self.single(kind, item, depth)?;
                let skip = form == Form::Plain && field.omit_empty && can_be_empty(field) && is_zero(&value);
                if skip || value.is_null() {
                    map.remove(field.name);
                } else {
                    map.insert(field.name.to_owned(), value);
                }
                Ok(())
            }
        }
    }

    /// An element of a list, or several numbers packed into one string.
    fn elements(&mut self, kind: Kind, item: Item<'_>, list: &mut Vec<Value>, depth: usize) -> Result<(), Fault> {
        if let (Kind::Int32 | Kind::Int64 | Kind::Bool, Item::Bytes(packed)) = (kind, item) {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                self.spend(1)?;
                list.push(self.single(kind, Item::Varint(reader.varint()?), depth)?);
            }
            return Ok(());
        }
        self.spend(1)?;
        list.push(self.single(kind, item, depth)?);
        Ok(())
    }

    /// An entry of a map: a message of its key (1) and its value (2).
    fn entry(
        &mut self,
        kind: Kind,
        bytes_of_entry: &[u8],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Fault> {
        self.spend(1)?;
        let mut key = String::new();
        let mut value = None;
        let mut reader = Reader::new(bytes_of_entry);
        while let Some((number, item)) = reader.field()? {
            match number {
                1 => key = text(item)?,
                2 => value = Some(self.single(kind, item, depth)?),
                _ => {}
            }
        }
        let value = match value {
            Some(value) => value,
            None => self.zero(kind, depth)?,
        };
        map.insert(key, value);
        Ok(())
    }

    fn single(&mut self, kind: Kind, item: Item<'_>, depth: usize) -> Result<Value, Fault> {
        Ok(match kind {
            Kind::String => Value::String(text(item)?),
            Kind::Int64 => Value::from(varint(item)?.cast_signed()),
            Kind::Int32 => Value::from(low_32_bits(varint(item)?)),
            Kind::Bool => Value::Bool(varint(item)? != 0),
            Kind::Double => Value::Number(double(item)?),
            Kind::Bytes => Value::String(STANDARD.encode(bytes(item)?)),
            Kind::Message(id) => {
                let mut map = Map::new();
                self.message(id, bytes(item)?, &mut map, depth)?;
                Value::Object(map)
            }
            Kind::Special(special) => self.special(special, bytes(item)?, depth)?,
        })
    }

    /// What stands in JSON for a value that is not on the wire; null for none.
    fn zero(&mut self, kind: Kind, depth: usize) -> Result<Value, Fault> {
        Ok(match kind {
            Kind::String => Value::String(String::new()),
            Kind::Int32 | Kind::Int64 => Value::from(0),
            Kind::Bool => Value::Bool(false),
            Kind::Double => Value::from(0.0),
            Kind::Bytes => Value::Null,
            Kind::Message(_) | Kind::Special(_) => self.single(kind, Item::Bytes(&[]), depth)?,
        })
    }

    /// Adds what JSON always has and the wire did not.
    fn complete(
        &mut self,
        message: &Message,
        inlined: &[u32],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        for field in &message.fields {
            let value = match (field.form, field.kind) {
                (Form::Inline, Kind::Message(id)) if !inlined.contains(&field.number) => {
                    self.fields(id, &[], map, depth)?;
                    continue;
                }
                _ if map.contains_key(field.name) => continue,
                (Form::Inline | Form::Pointer, _) => continue,
                _ if field.omit_empty && can_be_empty(field) => continue,
                (Form::List, _) => Value::Array(Vec::new()),
                (Form::Map, _) => Value::Object(Map::new()),
                (Form::Plain, kind) => self.zero(kind, depth).map_err(|fault| fault.at(message, field))?,
            };
            if !value.is_null() {
                self.spend(1).map_err(|fault| fault.at(message, field))?;
                map.insert(field.name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn spend(&mut self, values: usize) -> Result<(), Fault> {
        self.values = self.values.checked_sub(values).ok_or(Fault::TooMany)?;
        Ok(())
    }

    fn special(&mut self, special: Special, bytes: &[u8], depth: usize) -> Result<Value, Fault> {
        match special {
            Special::Time => special::time(bytes),
            Special::MicroTime => special::micro_time(bytes),
            Special::Quantity => special::quantity(bytes),
            Special::IntOrString => special::int_or_string(bytes),
            Special::Raw | Special::Json => self.raw(bytes, depth),
            Special::Strings => self.strings(bytes, depth),
            Special::SchemaOrArray(id) => self.schema_or_array(id, bytes, depth),
            Special::SchemaOrBool(id) => self.schema_or_bool(id, bytes, depth),
            Special::SchemaOrStrings(id) => self.schema_or_strings(id, bytes, depth),
        }
    }
}

/// What is left within a list or an object of this depth.
fn deeper(depth: usize) -> Result<usize, Fault> {
    depth.checked_sub(1).ok_or(Fault::TooDeep)
}

/// The list at `name`, made if there is none. A field has one form, so nothing else can stand there.
fn list<'m>(map: &'m mut Map<String, Value>, name: &str) -> &'m mut Vec<Value> {
    let place = map.entry(name).or_insert(Value::Null);
    if !place.is_array() {
        *place = Value::Array(Vec::new());
    }
    place.as_array_mut().expect("just made one")
}

/// The object at `name`, made if there is none.
fn object<'m>(map: &'m mut Map<String, Value>, name: &str) -> &'m mut Map<String, Value> {
    let place = map.entry(name).or_insert(Value::Null);
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    place.as_object_mut().expect("just made one")
}

/// Whether Go can leave the field out of JSON: it always prints structs, even empty ones.
fn can_be_empty(field: &Field) -> bool {
    let is_struct = matches!(
        field.kind,
        Kind::Message(_) | Kind::Special(Special::Quantity | Special::IntOrString)
    );
    field.form != Form::Plain || !is_struct
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(set) => !set,
        Value::Array(elements) => elements.is_empty(),
        Value::Null | Value::Object(_) => false,
    }
}

fn wrong(item: Item<'_>, wanted: &str) -> Fault {
    Fault::Value(format!("{} instead of {wanted}", item.kind()))
}

fn bytes(item: Item<'_>) -> Result<&[u8], Fault> {
    match item {
        Item::Bytes(bytes) => Ok(bytes),
        other => Err(wrong(other, "bytes")),
    }
}

fn text(item: Item<'_>) -> Result<String, Fault> {
    let text = str::from_utf8(bytes(item)?).map_err(|_| Fault::Value("text that is not UTF-8".to_owned()))?;
    Ok(text.to_owned())
}

fn varint(item: Item<'_>) -> Result<u64, Fault> {
    match item {
        Item::Varint(value) => Ok(value),
        other => Err(wrong(other, "a varint")),
    }
}

fn double(item: Item<'_>) -> Result<Number, Fault> {
    let Item::Fixed64(bits) = item else {
        return Err(wrong(item, "a double"));
    };
    let value = f64::from_bits(bits);
    // Whole numbers are written without a point, as Go writes them.
    if value.fract() == 0.0 && value.abs() < 1e15 {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of less than 54 bits")]
        return Ok(Number::from(value as i64));
    }
    Number::from_f64(value).ok_or_else(|| Fault::Value("a number that JSON does not have".to_owned()))
}

/// Of an `int32`, whatever the sender put above them: that is how protobuf reads one.
fn low_32_bits(value: u64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}
