//! One object as the cache holds it: its JSON encoded once, with the resourceVersion in, and beside it the few things
//! that selectors ask for. Watchers, lists and gets share the bytes.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use crate::registry::Storage;
use crate::registry::object;

/// An object at a revision.
#[derive(Debug)]
pub struct Entry {
    /// `namespace/name`, or `name` where the resource has no namespace.
    pub key: Arc<str>,
    /// Its resourceVersion.
    pub revision: u64,
    /// JSON in the stored version, resourceVersion included.
    pub encoded: Bytes,
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
    converted: OnceLock<Bytes>,
}

impl Entry {
    /// From what the store holds. A value that is not JSON (nobody here writes such) becomes an entry without labels.
    pub fn new(storage: &Storage, key: Arc<str>, stored: &[u8], revision: u64) -> Self {
        let encoded = object::with_revision(&storage.header, stored, revision);
        let value: Value = serde_json::from_slice(stored).unwrap_or(Value::Null);
        let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
        let labels = labels
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or("").into()));
        let fields = storage.fields.iter().map(|path| field(&value, path).into());
        Self {
            key,
            revision,
            encoded,
            labels: labels.collect(),
            fields: fields.collect(),
            converted: OnceLock::new(),
        }
    }

    /// The same object at the revision of its deletion, as DELETED events carry it.
    pub fn deleted_at(&self, storage: &Storage, revision: u64) -> Self {
        Self {
            key: self.key.clone(),
            revision,
            encoded: object::replace_revision(&storage.header, &self.encoded, revision),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            converted: OnceLock::new(),
        }
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }

    /// The value of the selectable field at this place of the storage's list; empty when it is not set.
    pub fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", |f| f)
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.key.rsplit_once('/').map_or(&*self.key, |(_, name)| name)
    }

    /// The object's namespace; empty where it has none.
    pub fn namespace(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The bytes in another version, converted at the first call and kept.
    pub fn converted(&self, convert: impl FnOnce(&Bytes) -> Bytes) -> &Bytes {
        self.converted.get_or_init(|| convert(&self.encoded))
    }
}

fn field(value: &Value, path: &[String]) -> String {
    let mut at = value;
    for name in path {
        match at.get(name) {
            Some(next) => at = next,
            None => return String::new(),
        }
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => at.to_string(),
        _ => String::new(),
    }
}
