//! One object as the cache holds it: the very bytes that the store has, and beside them the few things that selectors ask
//! for. The resourceVersion is put in when the object is sent; watchers, lists and gets share the bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::registry::{Storage, object};

/// An object at a revision.
#[derive(Debug)]
pub struct Entry {
    /// `namespace/name`, or `name` where the resource has no namespace.
    pub key: Arc<str>,
    /// Its resourceVersion.
    pub revision: u64,
    stored: Bytes,
    selected: Selected,
    converted: OnceLock<Box<Conversions>>,
}

/// What selectors ask for of an object.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
}

/// An object as another version shows it.
#[derive(Debug)]
pub struct Converted {
    /// Encoded, resourceVersion included.
    pub encoded: Bytes,
    /// What selectors ask for in that version; nothing, where versions do not differ in that.
    pub selected: Selected,
}

/// The place of an object in another version. Whoever wants it first makes it; the others wait for that.
pub type Place = Arc<OnceCell<Arc<Converted>>>;

/// What the object is in other versions, as far as somebody has asked.
type Conversions = Mutex<Vec<(String, Place)>>;

impl Selected {
    /// Of an object of a storage, in whatever version.
    pub fn of(storage: &Storage, value: &Value) -> Self {
        let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
        let labels = labels
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or("").into()));
        let fields = storage.fields.iter().map(|field| field.of(value).into());
        Self {
            labels: labels.collect(),
            fields: fields.collect(),
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
}

/// What selectors ask for of an object of any kind.
#[derive(Default, Deserialize)]
struct Head {
    #[serde(default)]
    metadata: HeadMetadata,
}

#[derive(Default, Deserialize)]
struct HeadMetadata {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Entry {
    /// From what the store holds. A value that is not JSON (nobody here writes such) becomes an entry without labels.
    pub fn new(storage: &Storage, key: Arc<str>, stored: Bytes, revision: u64) -> Self {
        if storage.fields.is_empty() {
            return Self::labelled(key, stored, revision);
        }
        let value: Value = serde_json::from_slice(&stored).unwrap_or(Value::Null);
        Self::of(storage, key, stored, &value, revision)
    }

    /// Of a kind whose selectors name labels alone: the rest of the object is passed over, not read.
    fn labelled(key: Arc<str>, stored: Bytes, revision: u64) -> Self {
        let head: Head = serde_json::from_slice(&stored).unwrap_or_default();
        let labels = head.metadata.labels.unwrap_or_default();
        Self {
            key,
            revision,
            selected: Selected {
                labels: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
                fields: Box::default(),
            },
            stored,
            converted: OnceLock::new(),
        }
    }

    /// The same for what was stored before the definition of its kind was what it is now: what it lacks is filled in.
    pub fn completed(storage: &Storage, key: Arc<str>, stored: Bytes, revision: u64) -> Self {
        let mut value: Value = serde_json::from_slice(&stored).unwrap_or(Value::Null);
        let before = value.clone();
        storage.complete(&mut value);
        let complete = value == before;
        let stored = match value.as_object() {
            Some(object) if !complete => object::encode(&object::header_of(object), object),
            _ => stored,
        };
        Self::of(storage, key, stored, &value, revision)
    }

    fn of(storage: &Storage, key: Arc<str>, stored: Bytes, value: &Value, revision: u64) -> Self {
        Self {
            key,
            revision,
            stored,
            selected: Selected::of(storage, value),
            converted: OnceLock::new(),
        }
    }

    /// The same object at the revision of its deletion, as DELETED events carry it.
    pub fn at(&self, revision: u64) -> Self {
        Self {
            key: self.key.clone(),
            revision,
            stored: self.stored.clone(),
            selected: self.selected.clone(),
            converted: OnceLock::new(),
        }
    }

    /// JSON in the stored version, resourceVersion included.
    pub fn encoded(&self, storage: &Storage) -> Bytes {
        object::with_revision(&storage.header, &self.stored, self.revision)
    }

    /// The same, behind what is there already.
    pub fn put(&self, out: &mut BytesMut, storage: &Storage) {
        object::put_with_revision(out, &storage.header, &self.stored, self.revision);
    }

    /// The same as an item of a list that says what its items are.
    pub fn put_bare(&self, out: &mut BytesMut, storage: &Storage) {
        object::put_bare(out, &storage.header, &self.stored, self.revision);
    }

    /// How many bytes [`Entry::put_bare`] writes.
    pub fn bare_size(&self, storage: &Storage) -> usize {
        object::bare_size(&storage.header, &self.stored, self.revision)
    }

    /// How many bytes it is, about.
    pub fn size(&self) -> usize {
        self.stored.len() + object::REVISION_BYTES
    }

    /// How many bytes [`Entry::put`] writes.
    pub fn exact_size(&self, storage: &Storage) -> usize {
        object::size_with_revision(&storage.header, &self.stored, self.revision)
    }

    /// The object in the stored version, resourceVersion included.
    pub fn parsed(&self) -> Value {
        let mut value = serde_json::from_slice(&self.stored).unwrap_or(Value::Null);
        object::set_revision(&mut value, self.revision);
        value
    }

    /// What the store holds: no resourceVersion.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// Whether it is stored in the version and kind of a header.
    pub fn is_stored_as(&self, header: &[u8]) -> bool {
        self.stored.starts_with(header)
    }

    /// The value of a label, in the stored version.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.selected.label(key)
    }

    /// The value of a selectable field, in the stored version.
    pub fn field(&self, index: usize) -> &str {
        self.selected.field(index)
    }

    /// What selectors ask for, in the stored version.
    pub fn selected(&self) -> &Selected {
        &self.selected
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.key.rsplit_once('/').map_or(&*self.key, |(_, name)| name)
    }

    /// The object's namespace; empty where it has none.
    pub fn namespace(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Its place in another version, or in another encoding.
    pub fn in_version(&self, api_version: &str) -> Place {
        let kept = self.converted.get_or_init(Box::default);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, place)) = kept.iter().find(|(version, _)| version == api_version) {
            return place.clone();
        }
        let place = Place::default();
        kept.push((api_version.to_owned(), place.clone()));
        place
    }
}
