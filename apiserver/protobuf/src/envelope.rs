//! The envelope of every object: `k8s\0`, then `runtime.Unknown{typeMeta: 1, raw: 2, contentEncoding: 3,
//! contentType: 4}`, where typeMeta is `{apiVersion: 1, kind: 2}` and raw is the object's message, which itself says
//! neither apiVersion nor kind.

use std::borrow::Borrow;

use serde_json::{Map, Value};

use crate::decode::{DecodeError, Decoder, Limits};
use crate::encode::{EncodeError, Encoder};
use crate::table::{MessageId, table};
use crate::wire::{Item, Reader, WireError, Writer};

/// What an encoded object starts with.
pub(crate) const PREFIX: &[u8] = b"k8s\0";

/// An object that came as protobuf.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Of the envelope, or what the caller named.
    pub api_version: String,
    /// Of the envelope, or what the caller named.
    pub kind: String,
    /// With `apiVersion` and `kind`.
    pub object: Value,
    /// Fields that were not understood, as `message.number`; up to 32.
    pub unknown_fields: Vec<String>,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeMeta<'a> {
    /// `group/version`, or `v1`.
    pub api_version: &'a str,
    /// In the singular, as in `ConfigMap`.
    pub kind: &'a str,
}

/// Decodes an object in its envelope, within the limits.
///
/// `expected` stands for what the envelope does not say: upstream takes the kind of the URL then. It changes nothing
/// about what the envelope does say; the caller compares.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode_within(body: &[u8], expected: Option<TypeMeta<'_>>, limits: &Limits) -> Result<Decoded, DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    if body.len() > limits.bytes {
        return Err(DecodeError::TooLarge { limit: limits.bytes });
    }
    let mut decoder = Decoder::new(limits);
    let mut decoded = decoder.enveloped(body, expected, limits.depth)?;
    decoded.unknown_fields = decoder.unknown;
    Ok(decoded)
}

/// What an envelope says, undecoded.
#[derive(Default)]
struct Unknown<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
}

impl<'a> Unknown<'a> {
    fn read(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut unknown = Unknown::default();
        let mut reader = Reader::new(message);
        while let Some((number, item)) = reader.field().map_err(|e| wire("runtime.Unknown", e))? {
            match (number, item) {
                (1, Item::Bytes(type_meta)) => unknown.read_type_meta(type_meta)?,
                (2, Item::Bytes(raw)) => unknown.raw = raw,
                _ => {}
            }
        }
        Ok(unknown)
    }

    fn read_type_meta(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(message);
        while let Some((number, item)) = reader.field().map_err(|e| wire("runtime.TypeMeta", e))? {
            let (Item::Bytes(bytes), 1 | 2) = (item, number) else {
                continue;
            };
            let text = str::from_utf8(bytes).map_err(|_| DecodeError::Value {
                at: "runtime.TypeMeta".to_owned(),
                problem: "text that is not UTF-8".to_owned(),
            })?;
            if number == 1 {
                self.api_version = text;
            } else {
                self.kind = text;
            }
        }
        Ok(())
    }
}

fn wire(at: &str, source: WireError) -> DecodeError {
    DecodeError::Wire {
        at: at.to_owned(),
        source,
    }
}

impl Decoder {
    /// Decodes an object in its envelope.
    pub(crate) fn enveloped(
        &mut self,
        bytes: &[u8],
        expected: Option<TypeMeta<'_>>,
        depth: usize,
    ) -> Result<Decoded, DecodeError> {
        let unknown = Unknown::read(bytes.strip_prefix(PREFIX).ok_or(DecodeError::NotProtobuf)?)?;
        let or_expected = |said: &str, expected: Option<&str>| match said {
            "" => expected.unwrap_or_default().to_owned(),
            said => said.to_owned(),
        };
        let kind = or_expected(unknown.kind, expected.map(|e| e.kind));
        let api_version = or_expected(unknown.api_version, expected.map(|e| e.api_version));
        if kind.is_empty() {
            return Err(DecodeError::MissingKind);
        }
        if api_version.is_empty() {
            return Err(DecodeError::MissingVersion);
        }
        let Some(id) = table().kind(&api_version, &kind) else {
            return Err(DecodeError::UnknownKind { api_version, kind });
        };
        let mut object = Map::new();
        self.message(id, unknown.raw, &mut object, depth)?;
        object.insert("apiVersion".to_owned(), Value::String(api_version.clone()));
        object.insert("kind".to_owned(), Value::String(kind.clone()));
        Ok(Decoded {
            api_version,
            kind,
            object: Value::Object(object),
            unknown_fields: Vec::new(),
        })
    }
}

/// Encodes an object that names its apiVersion and kind, in an envelope.
///
/// The bytes are those that upstream's library would write for the same object: fields in order, maps by key, and
/// zeros where its types have no way to leave them out. Members that the kind does not have are left out.
///
/// # Errors
///
/// See [`EncodeError`].
pub fn encode(object: &Value) -> Result<Vec<u8>, EncodeError> {
    let named = |name| {
        object
            .get(name)
            .and_then(Value::as_str)
            .filter(|value| !value.is_empty())
    };
    let kind = named("kind").ok_or(EncodeError::MissingKind)?;
    let api_version = named("apiVersion").ok_or(EncodeError::MissingVersion)?;
    encode_as(TypeMeta { api_version, kind }, object)
}

/// The same for an object that does not name its kind, or another one. Lists hold such objects.
///
/// # Errors
///
/// See [`EncodeError`].
pub fn encode_as(meta: TypeMeta<'_>, object: &Value) -> Result<Vec<u8>, EncodeError> {
    let object = object.as_object().ok_or(EncodeError::NoObject)?;
    envelope(meta, |encoder, id| encoder.message(id, object))
}

/// Encodes a list, of its kind (`PodList`), from its metadata and its items, which never stand in one value. Items need
/// not name their kind. The bytes are those of [`encode`].
///
/// # Errors
///
/// See [`EncodeError`].
pub fn encode_list(
    meta: TypeMeta<'_>,
    metadata: &Value,
    items: impl IntoIterator<Item = impl Borrow<Value>>,
) -> Result<Vec<u8>, EncodeError> {
    envelope(meta, |encoder, id| encoder.list(id, metadata, items))
}

fn envelope(
    meta: TypeMeta<'_>,
    body: impl FnOnce(&mut Encoder<'_>, MessageId) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let id = table().kind(meta.api_version, meta.kind);
    let id = id.ok_or_else(|| EncodeError::UnknownKind {
        api_version: meta.api_version.to_owned(),
        kind: meta.kind.to_owned(),
    })?;
    let mut writer = Writer::after(PREFIX);
    writer.message_field(1, |writer| {
        writer.bytes_field(1, meta.api_version.as_bytes());
        writer.bytes_field(2, meta.kind.as_bytes());
    });
    writer.message_field(2, |writer| body(&mut Encoder::new(writer), id))?;
    writer.bytes_field(3, b"");
    writer.bytes_field(4, b"");
    Ok(writer.into_bytes())
}
