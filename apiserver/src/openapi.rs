//! OpenAPI: what `kubectl explain` shows, by what clients check and merge, and what tells them that this server
//! validates fields itself. One v3 document for each group and version, and one v2 document of everything for clients
//! that know no v3.
//!
//! ```text
//! registry ─▶ rows ─▶ operations ─┬▶ v3 ─▶ Snapshot ─▶ endpoints
//! kubernetes.json ─▶ builtin ─────┴▶ v2
//! ```
//!
//! Documents are made when somebody first asks and kept as bytes. When the table of kinds has changed, only what
//! changed is made anew. How they are sent (hashes, media types) is the endpoints' business.

pub mod builtin;
mod custom;
mod merge;
mod operations;
mod parameters;
mod rows;
mod v2;
mod v3;
mod whole;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

pub use builtin::{builtin_name, builtin_schema, definitions, definitions_of};
pub use merge::{merge_rules, takes_strategic};
pub(crate) use whole::whole;

use crate::registry::{Resource, Table};
use crate::reviews;
use rows::Row;

/// A document, ready to be sent.
#[derive(Clone, Debug)]
pub struct Document {
    /// JSON, or protobuf.
    pub bytes: Bytes,
    /// Of its content: the `hash` of its URL, and its ETag. Two encodings of the same content have the same.
    pub hash: String,
    /// When it was made.
    pub made: Timestamp,
}

impl Document {
    fn json(value: &Value) -> Self {
        let bytes = Bytes::from(value.to_string());
        let hash = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        Self {
            bytes,
            hash,
            made: Timestamp::now(),
        }
    }

    /// The same document in protobuf.
    fn protobuf(&self, bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            ..self.clone()
        }
    }
}

/// The documents, kept up to date with a table of kinds that may change.
#[derive(Debug, Default)]
pub struct OpenApi {
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held while documents are made, so that they are made once. Never taken on the runtime's own threads.
    making: Mutex<()>,
}

/// The documents of one state of the table.
#[derive(Debug, Default)]
pub struct Snapshot {
    resources: Known,
    groups: BTreeMap<String, Group>,
    index: Option<Document>,
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
}

/// The resources of one group and version, and their document.
#[derive(Clone, Debug)]
struct Group {
    resources: Known,
    document: Document,
    protobuf: Arc<OnceLock<Document>>,
}

impl Group {
    fn new(at: &str, resources: &[Arc<Resource>]) -> Self {
        let asked = asked().filter(|(place, _)| place == at).map(|(_, row)| row);
        let rows: Vec<Row> = rows_of(resources).into_iter().chain(asked).collect();
        Self {
            resources: Known::new(resources),
            document: Document::json(&v3::document(&rows)),
            protobuf: Arc::default(),
        }
    }

    /// The document in protobuf, made from the JSON when somebody first asks: hardly anybody does.
    fn protobuf(&self) -> Document {
        let make = || {
            let value = serde_json::from_slice(&self.document.bytes).unwrap_or_default();
            self.document.protobuf(breakbulk_protobuf::openapi_v3(&value))
        };
        self.protobuf.get_or_init(make).clone()
    }
}

/// Rows of the table that are only told apart. They hold objects, and nothing here may keep those when a kind has gone.
#[derive(Clone, Debug, Default)]
struct Known(Vec<Weak<Resource>>);

impl Known {
    fn new(resources: &[Arc<Resource>]) -> Self {
        Self(resources.iter().map(Arc::downgrade).collect())
    }

    /// A resource that has not changed is the same row of the table.
    fn is(&self, resources: &[Arc<Resource>]) -> bool {
        let same = |(weak, now): (&Weak<Resource>, &Arc<Resource>)| std::ptr::eq(weak.as_ptr(), Arc::as_ptr(now));
        self.0.len() == resources.len() && self.0.iter().zip(resources).all(same)
    }
}

impl OpenApi {
    /// The documents of the table. If what is kept is of another, it is made anew, on a thread that may block.
    /// Cancelled, it is made nevertheless, and there for whoever asks next.
    pub async fn current(self: &Arc<Self>, table: &Arc<Table>) -> Arc<Snapshot> {
        let known = self.known();
        if known.is_of(table) {
            return known;
        }
        let (this, table) = (self.clone(), table.clone());
        match tokio::task::spawn_blocking(move || this.renew(&table)).await {
            Ok(snapshot) => snapshot,
            // Only if making them panicked or the runtime goes down: then what there was is better than nothing.
            Err(error) => {
                tracing::error!(%error, "the OpenAPI documents could not be made");
                known
            }
        }
    }

    /// The v3 document at `api/v1` or `apis/GROUP/VERSION`; none if nothing is served there.
    pub async fn v3(self: &Arc<Self>, table: &Arc<Table>, place: &str, form: Encoding) -> Option<Document> {
        let group = self.current(table).await.groups.get(place)?.clone();
        match (form, group.protobuf.get()) {
            (Encoding::Json, _) => Some(group.document),
            (Encoding::Protobuf, Some(made)) => Some(made.clone()),
            (Encoding::Protobuf, None) => tokio::task::spawn_blocking(move || group.protobuf()).await.ok(),
        }
    }

    /// The v2 document of the table; none only when the server goes down.
    pub async fn v2(self: &Arc<Self>, table: &Arc<Table>, form: Encoding) -> Option<Document> {
        let snapshot = self.current(table).await;
        let made = match form {
            Encoding::Json => snapshot.v2.get(),
            Encoding::Protobuf => snapshot.v2_protobuf.get(),
        };
        if let Some(document) = made {
            return Some(document.clone());
        }
        let (this, table) = (self.clone(), table.clone());
        let made = tokio::task::spawn_blocking(move || this.make_v2(&snapshot, &table, form)).await;
        made.inspect_err(|error| tracing::error!(%error, "the OpenAPI v2 document could not be made"))
            .ok()
    }

    fn known(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes what is missing. Blocks for as long as that takes: some milliseconds for each group.
    fn renew(&self, table: &Table) -> Arc<Snapshot> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known();
        if known.is_of(table) {
            return known;
        }
        let fresh = Arc::new(Snapshot::after(&known, table));
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        fresh
    }

    fn make_v2(&self, snapshot: &Snapshot, table: &Table, form: Encoding) -> Document {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let value = || {
            let asked = asked().map(|(_, row)| row);
            let rows: Vec<Row> = rows_of(table.resources()).into_iter().chain(asked).collect();
            v2::document(&rows)
        };
        let json = || Document::json(&value());
        let protobuf = || {
            let value = value();
            Document::json(&value).protobuf(breakbulk_protobuf::openapi_v2(&value))
        };
        match form {
            Encoding::Json => snapshot.v2.get_or_init(json).clone(),
            Encoding::Protobuf => snapshot.v2_protobuf.get_or_init(protobuf).clone(),
        }
    }
}

/// How documents are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// gnostic's protobuf.
    Protobuf,
}

impl Snapshot {
    /// The documents of a table; those of groups that have not changed are `known`'s.
    fn after(known: &Self, table: &Table) -> Self {
        let mut by_place: BTreeMap<String, Vec<Arc<Resource>>> =
            asked().map(|(place, _)| (place, Vec::new())).collect();
        for resource in table.resources() {
            let place = place(&resource.group, &resource.version);
            by_place.entry(place).or_default().push(resource.clone());
        }
        let group = |(place, resources): (String, Vec<Arc<Resource>>)| {
            let same = known.groups.get(&place).filter(|group| group.resources.is(&resources));
            let group = same.cloned().unwrap_or_else(|| Group::new(&place, &resources));
            (place, group)
        };
        let groups: BTreeMap<String, Group> = by_place.into_iter().map(group).collect();
        let index = Document::json(&index(&groups));
        Self {
            resources: Known::new(table.resources()),
            groups,
            index: Some(index),
            v2: OnceLock::new(),
            v2_protobuf: OnceLock::new(),
        }
    }

    fn is_of(&self, table: &Table) -> bool {
        self.index.is_some() && self.resources.is(table.resources())
    }

    /// `/openapi/v3`: where the documents are.
    pub fn index(&self) -> Option<&Document> {
        self.index.as_ref()
    }

    /// The document at `api/v1` or `apis/GROUP/VERSION`, in JSON.
    pub fn document(&self, place: &str) -> Option<&Document> {
        self.groups.get(place).map(|group| &group.document)
    }
}

/// Where a document is, its content's hash included.
pub fn url(place: &str, document: &Document) -> String {
    format!("/openapi/v3/{place}?hash={}", document.hash)
}

fn index(groups: &BTreeMap<String, Group>) -> Value {
    let entry = |(place, group): (&String, &Group)| {
        let url = url(place, &group.document);
        (place.clone(), json!({"serverRelativeURL": url}))
    };
    json!({"paths": groups.iter().map(entry).collect::<Map<_, _>>()})
}

fn rows_of(resources: &[Arc<Resource>]) -> Vec<Row> {
    resources.iter().map(|resource| Row::of(resource)).collect()
}

/// What is asked and not kept, with the place of its document. Subresources stand with their resources.
fn asked() -> impl Iterator<Item = (String, Row)> {
    // What is there for an old client alone (v1beta1) is told in discovery, and described with the version after it.
    let described = |review: &&reviews::Review| review.subresource.is_none() && review.version == "v1";
    let reviews = reviews::ALL.iter().filter(described);
    reviews.map(|review| (place(review.group, review.version), Row::of_review(review)))
}

fn place(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}
