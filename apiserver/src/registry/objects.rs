//! Reading and writing objects: the one path that every kind takes. A write reads the object, lets the caller change it,
//! puts it in order, checks it, and stores it if nobody was faster; else it starts over.

mod create;
mod delete;
mod update;

use std::sync::Arc;

use breakbulk_schemas::field::FieldError;
use breakbulk_store::{KeyValue, Store};
use bytes::Bytes;
use serde_json::Value;

use super::resource::{Body, Resource};
use super::{Registry, metadata, mistakes, object};
use crate::cacher::{Cacher, Entry};
use crate::status::{ApiError, ApiResult};

pub use delete::{DeleteOptions, Deleted, Propagation};
pub use update::{Part, UpdateOptions};

/// How often a write that names no revision starts over when others are faster. Upstream tries five patches; a CAS that
/// fails this often means something spins.
const TRIES: usize = 16;

/// What is done about fields that the kind does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped in silence.
    Ignore,
    /// Dropped, with a warning.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// Whether a write is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persist {
    /// It is.
    #[default]
    Store,
    /// `dryRun=All`: everything but the storing.
    DryRun,
}

/// How a write is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Whether it is kept.
    pub persist: Persist,
    /// What about unknown fields.
    pub field_validation: FieldValidation,
}

/// A body from a client.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The object.
    pub object: Value,
    /// Paths of members that stood twice.
    pub duplicates: Vec<String>,
}

/// What a write answers.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object, encoded in the resource's version.
    pub encoded: Bytes,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
    /// The object as it was last, when this write was the one that let it go: the last finalizer of an object that is
    /// being deleted.
    pub gone: Option<Box<Value>>,
}

/// Access to all objects.
#[derive(Clone)]
pub struct Objects {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The caches.
    pub cacher: Arc<Cacher>,
    /// The table.
    pub registry: Arc<Registry>,
}

impl Objects {
    /// The key in the store.
    pub(crate) fn key(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Bytes {
        let prefix = &self.registry.storage(resource.storage).prefix;
        format!("{prefix}{}", resource.key(namespace, name)).into()
    }

    /// One object as it is now, encoded.
    pub async fn get(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> ApiResult<Bytes> {
        let found = self.read(resource, namespace, name).await?;
        Ok(self.encoded(resource, &found.value, found.mod_revision.0))
    }

    async fn read(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> ApiResult<KeyValue> {
        let (found, _) = self.store.get(&self.key(resource, namespace, name)).await?;
        found.ok_or_else(|| ApiError::not_found(resource.target(name)))
    }

    /// One object from the cache, as old as that may be.
    pub fn cached(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Option<Arc<Entry>> {
        self.cacher
            .storage(resource.storage)
            .get(&resource.key(namespace, name))
    }

    /// Stored bytes as a client of this resource sees them.
    pub(crate) fn encoded(&self, resource: &Resource, stored: &[u8], revision: u64) -> Bytes {
        let encoded = object::with_revision(&self.registry.storage(resource.storage).header, stored, revision);
        match resource.conversion {
            Some(conversion) => convert_bytes(&encoded, conversion.from_storage),
            None => encoded,
        }
    }

    fn encode(&self, resource: &Resource, value: &Value) -> Bytes {
        let empty = serde_json::Map::new();
        object::encode(
            &self.registry.storage(resource.storage).header,
            value.as_object().unwrap_or(&empty),
        )
    }
}

/// Converts encoded bytes to another version.
pub fn convert_bytes(encoded: &Bytes, convert: fn(Value) -> Value) -> Bytes {
    match serde_json::from_slice::<Value>(encoded) {
        Ok(value) => convert(value).to_string().into(),
        Err(_) => encoded.clone(),
    }
}

/// Reads what the store holds.
fn parse(found: &KeyValue) -> ApiResult<Value> {
    let mut value: Value = serde_json::from_slice(&found.value).map_err(|error| {
        tracing::error!(key = ?found.key, %error, "the store holds something that is not JSON");
        ApiError::internal("a stored object cannot be read")
    })?;
    object::set_revision(&mut value, found.mod_revision.0);
    Ok(value)
}

/// Checks apiVersion and kind of a body, or fills them in, and converts it to the stored version.
fn to_storage(resource: &Resource, body: Value) -> ApiResult<Value> {
    let Value::Object(mut body) = body else {
        return Err(ApiError::bad_request("the body of the request must be a JSON object"));
    };
    let api_version = resource.api_version();
    for (field, expected) in [("apiVersion", &api_version), ("kind", &resource.kind)] {
        let given = body.get(field).and_then(Value::as_str).unwrap_or("");
        if given.is_empty() {
            body.insert(field.to_owned(), Value::from(expected.as_str()));
        } else if given != expected {
            return Err(ApiError::bad_request(format!(
                "the {field} in the data ({given}) does not match the expected {field} ({expected})"
            )));
        }
    }
    let body = Value::Object(body);
    Ok(match resource.conversion {
        Some(conversion) => (conversion.to_storage)(body),
        None => body,
    })
}

/// Brings a body into its kind's shape: unknown fields out, defaults in. Returns warnings.
fn shape(
    resource: &Resource,
    value: &mut Value,
    duplicates: &[String],
    mode: FieldValidation,
) -> ApiResult<Vec<String>> {
    let bad = |why: String| {
        let (version, kind) = (&resource.version, &resource.kind);
        ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
        ))
    };
    let mut unknown = match value.as_object_mut() {
        Some(object) => metadata::coerce(object).map_err(bad)?,
        None => return Err(bad("it is not an object".to_owned())),
    };
    match resource.body {
        Body::Schema(_) => {
            if let Some(schema) = resource.schema() {
                unknown.extend(schema.prune(value));
                schema.default(value);
            }
        }
        Body::Typed(through) => {
            let kept = through(value.clone()).map_err(bad)?;
            unknown.extend(metadata::unknown_fields(value, &kept, ""));
            *value = kept;
        }
    }
    let unknown = unknown.iter().map(|path| format!("unknown field {path:?}"));
    let problems: Vec<String> = unknown
        .chain(duplicates.iter().map(|path| format!("duplicate field {path:?}")))
        .collect();
    match mode {
        FieldValidation::Strict if !problems.is_empty() => {
            Err(bad(format!("strict decoding error: {}", problems.join(", "))))
        }
        FieldValidation::Warn => Ok(problems),
        FieldValidation::Ignore | FieldValidation::Strict => Ok(Vec::new()),
    }
}

/// Every mistake in an object that is about to be stored.
fn check(resource: &Resource, value: &Value, old: Option<&Value>) -> ApiResult<()> {
    let mut errors: Vec<FieldError> = metadata::validate(value, old, resource.names);
    errors.extend(mistakes::all(resource, value, old));
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        resource.kind_target(object::meta(value, "name")),
        &errors,
    ))
}

/// A new object that was not stored, as the client sees it.
fn dry(resource: &Resource, value: Value) -> Bytes {
    match resource.conversion {
        Some(conversion) => (conversion.from_storage)(value).to_string().into(),
        None => value.to_string().into(),
    }
}
