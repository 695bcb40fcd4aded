//! Properties of the codec, over every message of the table: generated objects survive, and no bytes make it panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::decode::{DecodeError, Decoder, Limits};
use crate::encode::{EncodeError, Encoder};
use crate::table::{Field, Form, Kind, MessageId, Special, table};
use crate::wire::Writer;

fn encode(id: MessageId, object: &Map<String, Value>) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::default();
    Encoder::new(&mut writer).message(id, object)?;
    Ok(writer.into_bytes())
}

fn decode(id: MessageId, bytes: &[u8]) -> Result<(Map<String, Value>, Vec<String>), DecodeError> {
    let limits = Limits::default();
    let mut decoder = Decoder::new(&limits);
    let mut map = Map::new();
    decoder.message(id, bytes, &mut map, limits.depth)?;
    Ok((map, decoder.unknown))
}

/// Makes objects as the decoder shapes them.
struct Generator {
    seed: u64,
    /// Lists, maps and pointers that may still be filled: schemas hold schemas, in many of their fields.
    fuel: u64,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Generator { seed, fuel: 300 }
    }

    /// Below `bound`.
    fn pick(&mut self, bound: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % bound
    }

    fn message(&mut self, id: MessageId, map: &mut Map<String, Value>, depth: u64) {
        for field in &table().message(id).fields {
            let Kind::Message(inline) = field.kind else {
                self.field(field, map, depth);
                continue;
            };
            if field.form == Form::Inline {
                self.message(inline, map, depth);
            } else {
                self.field(field, map, depth);
            }
        }
    }

    fn field(&mut self, field: &Field, map: &mut Map<String, Value>, depth: u64) {
        let count = if depth == 0 || self.fuel == 0 { 0 } else { self.pick(3) };
        self.fuel = self.fuel.saturating_sub(count);
        let value = match field.form {
            Form::Pointer if count == 0 => return,
            Form::List | Form::Map if field.omit_empty && count == 0 => return,
            Form::List => (0..count).map(|_| self.value(field.kind, depth - 1)).collect(),
            Form::Map => (0..count)
                .map(|n| (format!("k{n}"), self.value(field.kind, depth - 1)))
                .collect(),
            _ => self.value(field.kind, depth.saturating_sub(1)),
        };
        let empty = value == json!("") || value == json!(0) || value == json!(false) || value == json!([]);
        let is_union = field.kind == Kind::Special(Special::IntOrString);
        let left_out = empty && field.form == Form::Plain && field.omit_empty && !is_union;
        if !value.is_null() && !left_out {
            map.insert(field.name.to_owned(), value);
        }
    }

    fn value(&mut self, kind: Kind, depth: u64) -> Value {
        let choice = usize::try_from(self.pick(3)).unwrap();
        match kind {
            Kind::String => ["", "a", "größer\u{2028}\"\\"][choice].into(),
            Kind::Int32 => [0, i32::MIN, i32::MAX][choice].into(),
            Kind::Int64 => [0, i64::MIN, i64::MAX][choice].into(),
            Kind::Bool => (choice == 0).into(),
            Kind::Double => [json!(0.5), json!(-3), json!(1e300)][choice].clone(),
            Kind::Bytes => ["", "AA==", "////"][choice].into(),
            Kind::Message(id) => self.object(id, depth),
            Kind::Special(special) => self.special(special, choice, depth),
        }
    }

    fn object(&mut self, id: MessageId, depth: u64) -> Value {
        let mut map = Map::new();
        self.message(id, &mut map, depth);
        Value::Object(map)
    }

    fn special(&mut self, special: Special, choice: usize, depth: u64) -> Value {
        match special {
            Special::Time => ["1969-12-31T23:59:59Z", "0001-01-01T00:00:01Z", "9999-12-30T22:00:00Z"][choice].into(),
            Special::MicroTime => ["1969-12-31T23:59:59.000001Z", "2024-02-29T12:00:00.000000Z"][choice % 2].into(),
            Special::Quantity => ["0", "500m", "1Gi"][choice].into(),
            Special::IntOrString => [json!(0), json!("25%"), json!(-1)][choice].clone(),
            Special::Raw | Special::Json => [json!({"a": [1, null]}), json!("x"), json!(1.5)][choice].clone(),
            Special::Strings => (0..choice).map(|n| n.to_string()).collect(),
            Special::SchemaOrArray(id) if choice == 0 => json!([self.object(id, depth)]),
            Special::SchemaOrBool(_) if choice == 0 => json!(false),
            Special::SchemaOrBool(_) if choice == 1 => json!(true),
            Special::SchemaOrStrings(_) if choice == 0 => json!(["a", ""]),
            Special::SchemaOrArray(id) | Special::SchemaOrBool(id) | Special::SchemaOrStrings(id) => {
                self.object(id, depth)
            }
        }
    }
}

fn message_ids() -> impl Strategy<Value = MessageId> {
    proptest::sample::select(table().ids().collect::<Vec<_>>())
}

#[test]
fn an_object_of_every_message_survives() {
    for id in table().ids() {
        for seed in 0..4 {
            let mut object = Map::new();
            Generator::new(seed).message(id, &mut object, 4);
            let bytes = encode(id, &object).unwrap();
            let (decoded, unknown) = decode(id, &bytes).unwrap();
            assert_eq!(decoded, object, "{}", table().message(id).name);
            assert_eq!(unknown, Vec::<String>::new());
        }
    }
}

proptest! {
    #[test]
    fn a_generated_object_survives(id in message_ids(), seed: u64) {
        let mut object = Map::new();
        Generator::new(seed).message(id, &mut object, 5);
        let bytes = encode(id, &object).unwrap();
        prop_assert_eq!(decode(id, &bytes).unwrap().0, object);
    }

    #[test]
    fn no_bytes_make_it_panic(id in message_ids(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(id, &bytes);
        let mut body = b"k8s\0".to_vec();
        body.extend(&bytes);
        let _ = crate::decode(&body);
    }

    /// What was read from damaged bytes is an object like any other: it can be written, and is then read as the same.
    #[test]
    fn what_damage_leaves_is_sound(
        id in message_ids(),
        seed: u64,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut object = Map::new();
        Generator::new(seed).message(id, &mut object, 4);
        let mut bytes = encode(id, &object).unwrap();
        bytes.push(0);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((left, _)) = decode(id, &bytes) {
            let again = encode(id, &left).unwrap();
            prop_assert_eq!(decode(id, &again).unwrap().0, left);
        }
    }
}
