//! Objects as bytes. What the store holds is JSON that always begins `{"apiVersion":…,"kind":…,"metadata":{` and has no
//! resourceVersion; so the revision is put in by copying, without parsing.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Map, Value};

const FIELD: &[u8] = b"\"resourceVersion\":\"";

/// The beginning of every stored object of a kind.
pub fn header(api_version: &str, kind: &str) -> Bytes {
    format!(
        "{{\"apiVersion\":{},\"kind\":{},\"metadata\":{{",
        Value::from(api_version),
        Value::from(kind)
    )
    .into()
}

/// What an item of a list begins with that does not say what it is.
const BARE: &[u8] = b"{\"metadata\":{";

/// The beginning of an object as it says itself what it is.
pub fn header_of(object: &Map<String, Value>) -> Bytes {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("");
    header(text("apiVersion"), text("kind"))
}

/// Encodes an object for the store. The resourceVersion is left out.
pub fn encode(header: &[u8], object: &Map<String, Value>) -> Bytes {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(header);
    let mut first = true;
    let empty = Map::new();
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    for (key, value) in metadata.iter().filter(|(key, _)| *key != "resourceVersion") {
        member(&mut out, &mut first, key, value);
    }
    out.push(b'}');
    first = false;
    for (key, value) in object
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"))
    {
        member(&mut out, &mut first, key, value);
    }
    out.push(b'}');
    // Without what the buffer has left over: these bytes are kept as long as the object is, by the store and the cache.
    out.into_boxed_slice().into()
}

fn member(out: &mut Vec<u8>, first: &mut bool, key: &str, value: &Value) {
    if !*first {
        out.push(b',');
    }
    *first = false;
    // Writing a Value into memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, key);
    out.push(b':');
    let _ = serde_json::to_writer(&mut *out, value);
}

/// How many bytes the resourceVersion takes at most.
pub const REVISION_BYTES: usize = FIELD.len() + 22;

/// The stored bytes with the resourceVersion put in.
pub fn with_revision(header: &[u8], stored: &[u8], revision: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(stored.len() + REVISION_BYTES);
    put_with_revision(&mut out, header, stored, revision);
    out.freeze()
}

/// The same, behind what is there already.
pub fn put_with_revision(out: &mut BytesMut, header: &[u8], stored: &[u8], revision: u64) {
    put_headed(out, header, header, stored, revision);
}

/// The same for an item of a list, without version and kind: the list says them.
pub fn put_bare(out: &mut BytesMut, header: &[u8], stored: &[u8], revision: u64) {
    put_headed(out, header, BARE, stored, revision);
}

/// Writes what is stored with `header`, with another header in its place.
fn put_headed(out: &mut BytesMut, header: &[u8], written: &[u8], stored: &[u8], revision: u64) {
    let Some(rest) = stored.strip_prefix(header) else {
        out.put_slice(&foreign(stored, revision));
        return;
    };
    out.reserve(stored.len() + REVISION_BYTES);
    out.put_slice(written);
    out.put_slice(FIELD);
    put_decimal(out, revision);
    out.put_u8(b'"');
    if !rest.starts_with(b"}") {
        out.put_u8(b',');
    }
    out.put_slice(rest);
}

/// How many bytes that are exactly.
pub fn size_with_revision(header: &[u8], stored: &[u8], revision: u64) -> usize {
    let Some(rest) = stored.strip_prefix(header) else {
        return foreign(stored, revision).len();
    };
    let digits = revision.checked_ilog10().unwrap_or(0) as usize + 1;
    let comma = usize::from(!rest.starts_with(b"}"));
    stored.len() + FIELD.len() + digits + 1 + comma
}

/// How many bytes [`put_bare`] writes.
pub fn bare_size(header: &[u8], stored: &[u8], revision: u64) -> usize {
    let whole = size_with_revision(header, stored, revision);
    if stored.starts_with(header) {
        whole + BARE.len() - header.len()
    } else {
        whole
    }
}

fn put_decimal(out: &mut BytesMut, number: u64) {
    let mut buffer = [0_u8; 20];
    let mut at = buffer.len();
    let mut rest = number;
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).expect("a digit is below ten");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&buffer[at..]);
}

/// What somebody else wrote into the store with another order of members.
fn foreign(stored: &[u8], revision: u64) -> Bytes {
    match serde_json::from_slice::<Value>(stored) {
        Ok(mut value) => {
            set_revision(&mut value, revision);
            value.to_string().into()
        }
        Err(_) => Bytes::copy_from_slice(stored),
    }
}

/// Sets `metadata.resourceVersion`.
pub fn set_revision(object: &mut Value, revision: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), Value::from(revision.to_string()));
    }
}

/// A string of `metadata`, empty when it is not there.
pub fn meta<'a>(object: &'a Value, key: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(key))
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    object
        .get("metadata")
        .and_then(|m| m.get("deletionTimestamp"))
        .is_some_and(|t| !t.is_null())
}

/// Its finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    let list = object
        .get("metadata")
        .and_then(|m| m.get("finalizers"))
        .and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_revision_is_put_in_without_parsing() {
        let object =
            json!({"kind":"K","apiVersion":"g/v1","metadata":{"name":"a","resourceVersion":"3"},"spec":{"x":1}});
        let head = header("g/v1", "K");
        let stored = encode(&head, object.as_object().unwrap());
        assert!(!stored.windows(15).any(|w| w == b"resourceVersion"));
        let read: Value = serde_json::from_slice(&with_revision(&head, &stored, 120)).unwrap();
        assert_eq!(read["metadata"]["resourceVersion"], "120");
        assert_eq!(read["spec"], object["spec"]);
    }

    #[test]
    fn the_size_is_known_before_it_is_written() {
        let head = header("g/v1", "K");
        let empty = format!("{}}}}}", std::str::from_utf8(&head).unwrap());
        let named = format!("{}\"name\":\"a\"}}}}", std::str::from_utf8(&head).unwrap());
        for stored in [
            empty.as_bytes(),
            named.as_bytes(),
            br#"{"metadata":{"name":"a"},"kind":"K"}"#,
        ] {
            for revision in [0, 1, 9, 10, 99, 1_000, u64::MAX] {
                let written = with_revision(&head, stored, revision);
                assert_eq!(size_with_revision(&head, stored, revision), written.len());
                assert!(written.len() <= stored.len() + REVISION_BYTES);
            }
        }
    }

    #[test]
    fn foreign_bytes_still_get_their_revision() {
        let stored = br#"{"metadata":{"name":"a"},"kind":"K","apiVersion":"g/v1"}"#;
        let read: Value = serde_json::from_slice(&with_revision(&header("g/v1", "K"), stored, 7)).unwrap();
        assert_eq!(read["metadata"]["resourceVersion"], "7");
    }
}
