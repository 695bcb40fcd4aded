//! OpenAPI documents as protobuf: gnostic's `openapi.v2.Document` and `openapi.v3.Document`, from the JSON document.
//!
//! kubectl up to 1.28 and Argo CD read version 2 only so. The encoding is proto3's: what is zero is not written. What
//! the version has no field for is left out; for version 2 that is `nullable`, `oneOf`, `anyOf` and `not`. Extensions
//! and values of any type become YAML text.
//!
//! The messages are data here too, but of another kind than those of objects: see [`table`].

mod table;
mod yaml;

use serde_json::{Map, Value};

use crate::wire::Writer;
use table::{Entry, Key, Row, Table, Type};

/// Of an OpenAPI v2 document in protobuf. Clients ask for `…spec.v2@v1.0+protobuf`, and the answer says it with a dot.
pub const OPENAPI_V2_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// Of an OpenAPI v3 document in protobuf.
pub const OPENAPI_V3_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";

/// Schemas within schemas; what is deeper is left out.
const MAX_DEPTH: usize = 256;

/// Encodes an OpenAPI v2 (swagger) document. What is of the wrong type in it is left out.
pub fn openapi_v2(document: &Value) -> Vec<u8> {
    encode(table::v2(), document)
}

/// Encodes an OpenAPI v3 document. What is of the wrong type in it is left out.
pub fn openapi_v3(document: &Value) -> Vec<u8> {
    encode(table::v3(), document)
}

fn encode(table: &'static Table, document: &Value) -> Vec<u8> {
    let mut writer = Writer::default();
    let mut encoder = Encoder {
        table,
        writer: &mut writer,
        depth: MAX_DEPTH,
    };
    encoder.message(table.document(), document);
    writer.into_bytes()
}

struct Encoder<'w> {
    table: &'static Table,
    writer: &'w mut Writer,
    depth: usize,
}

impl Encoder<'_> {
    /// Writes a message's fields.
    fn message(&mut self, entry: &'static Entry, value: &Value) {
        match (entry, value) {
            (Entry::Message(rows), Value::Object(object)) => rows.iter().for_each(|row| self.row(rows, row, object)),
            (Entry::Choice(choices), _) => {
                let choice = choices.iter().find(|choice| choice.when.holds(value));
                choice
                    .into_iter()
                    .for_each(|choice| self.value(choice.number, &choice.of, value));
            }
            (Entry::Message(_), _) => {}
        }
    }

    fn row(&mut self, rows: &'static [Row], row: &'static Row, object: &Map<String, Value>) {
        match &row.key {
            Key::Name(name) => match (object.get(*name), &row.of) {
                (None | Some(Value::Null), _) => {}
                (Some(Value::Array(elements)), Type::List(of)) => {
                    elements.iter().for_each(|element| self.value(row.number, of, element));
                }
                (Some(value), of) if !is_zero(of, value) => self.value(row.number, of, value),
                _ => {}
            },
            Key::Extensions => {
                let extensions = object.iter().filter(|(name, _)| name.starts_with("x-"));
                extensions.for_each(|(name, value)| self.named(row.number, name, &row.of, value));
            }
            Key::Others => {
                let is_other = |name: &str| !name.starts_with("x-") && !rows.iter().any(|row| row.key.is(name));
                let others = object.iter().filter(|(name, _)| is_other(name));
                others.for_each(|(name, value)| self.named(row.number, name, &row.of, value));
            }
        }
    }

    /// An entry of a map: a message of its name (1) and its value (2).
    fn named(&mut self, number: u32, name: &str, of: &'static Type, value: &Value) {
        self.nested(number, |encoder| {
            encoder.writer.bytes_field(1, name.as_bytes());
            encoder.value(2, of, value);
        });
    }

    /// Writes one value, zero or not.
    fn value(&mut self, number: u32, of: &'static Type, value: &Value) {
        match of {
            Type::String => value
                .as_str()
                .into_iter()
                .for_each(|text| self.writer.bytes_field(number, text.as_bytes())),
            Type::Bool => value
                .as_bool()
                .into_iter()
                .for_each(|set| self.writer.varint_field(number, u64::from(set))),
            Type::Int => value
                .as_i64()
                .into_iter()
                .for_each(|int| self.writer.int_field(number, int)),
            Type::Double => value
                .as_f64()
                .into_iter()
                .for_each(|float| self.writer.double_field(number, float)),
            Type::Any => {
                let text = yaml::flow(value);
                self.nested(number, |encoder| encoder.writer.bytes_field(2, text.as_bytes()));
            }
            Type::List(_) => {}
            Type::Map(of) => {
                let entries = value.as_object().into_iter().flatten();
                self.nested(number, |encoder| {
                    entries.for_each(|(name, value)| encoder.named(1, name, of, value));
                });
            }
            Type::OneOrMore(of) => self.nested(number, |encoder| match value {
                Value::Array(elements) => elements.iter().for_each(|element| encoder.value(1, of, element)),
                one => encoder.value(1, of, one),
            }),
            Type::Message(id) => {
                let entry = self.table.entry(*id);
                self.nested(number, |encoder| encoder.message(entry, value));
            }
        }
    }

    fn nested(&mut self, number: u32, body: impl FnOnce(&mut Encoder<'_>)) {
        let Some(depth) = self.depth.checked_sub(1) else { return };
        let table = self.table;
        self.writer
            .message_field(number, |writer| body(&mut Encoder { table, writer, depth }));
    }
}

/// Whether proto3 leaves the value out.
fn is_zero(of: &Type, value: &Value) -> bool {
    match of {
        Type::String => value.as_str() == Some(""),
        Type::Bool => value.as_bool() == Some(false),
        Type::Int | Type::Double => value.as_f64() == Some(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
