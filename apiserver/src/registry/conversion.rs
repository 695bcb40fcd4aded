//! How objects of one version become objects of another. A storage holds every object in one version; a resource of
//! another version reads and writes through its [`Conversion`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::resource::{Resource, Storage};
use crate::cacher::{Converted, Entry, Selected};
use crate::schema::Schema;
use crate::status::{ApiError, ApiResult};

/// How stored objects become objects of a resource's version, and back.
#[derive(Clone)]
pub enum Conversion {
    /// By functions of ours: two API groups over one storage.
    Native(Native),
    /// By writing the other version's name into it: strategy `None`.
    Rename,
    /// By somebody else's program.
    Foreign(Arc<dyn Convert>),
}

/// The functions of a conversion that is our own.
#[derive(Clone, Copy)]
pub struct Native {
    /// From this resource's version to the stored one.
    pub to_storage: fn(Value) -> Value,
    /// And back.
    pub from_storage: fn(Value) -> Value,
}

/// Converts objects of one definition between its versions.
#[async_trait]
pub trait Convert: fmt::Debug + Send + Sync {
    /// The same objects, in the same order, in the version named (`group/version`).
    async fn convert(&self, objects: Vec<Value>, api_version: &str) -> ApiResult<Vec<Value>>;
}

impl Resource {
    /// An object of this version as it is stored.
    pub(crate) async fn to_storage(&self, object: Value) -> ApiResult<Value> {
        match &self.conversion {
            Some(Conversion::Native(native)) => Ok((native.to_storage)(object)),
            _ => self.to_version(object, &self.storage.api_version).await,
        }
    }

    /// A stored object in this version.
    pub(crate) async fn out_of_storage(&self, object: Value) -> ApiResult<Value> {
        match &self.conversion {
            Some(Conversion::Native(native)) => Ok((native.from_storage)(object)),
            _ => self.to_version(object, &self.api_version()).await,
        }
    }

    /// An object of this version in that of another row of the same storage.
    pub(crate) async fn to_version_of(&self, other: &Self, object: Value) -> ApiResult<Value> {
        let native = |row: &Self| matches!(row.conversion, Some(Conversion::Native(_)));
        if native(self) || native(other) {
            return other.out_of_storage(self.to_storage(object).await?).await;
        }
        self.to_version(object, &other.api_version()).await
    }

    /// An object of any version of a definition in one of them.
    async fn to_version(&self, object: Value, api_version: &str) -> ApiResult<Value> {
        if self.conversion.is_none() || object["apiVersion"] == api_version {
            return Ok(object);
        }
        let mut converted = self.all_to_version(vec![object], api_version).await?;
        let one = converted.pop();
        one.ok_or_else(|| ApiError::internal("a conversion returned no object"))
    }

    /// Objects of any version of a definition, all in one of them. What that version does not know falls out, whoever
    /// has converted them (`customresource_handler.go`, `schemaCoercingConverter`).
    pub(crate) async fn all_to_version(&self, objects: Vec<Value>, api_version: &str) -> ApiResult<Vec<Value>> {
        let mut converted = match &self.conversion {
            Some(Conversion::Foreign(convert)) => convert.convert(objects, api_version).await?,
            _ => objects.into_iter().map(|object| renamed(object, api_version)).collect(),
        };
        for object in &mut converted {
            self.storage.prune(object);
        }
        Ok(converted)
    }

    /// An entry of the cache in this version, encoded.
    pub(crate) async fn encoded(&self, entry: &Entry) -> ApiResult<Bytes> {
        if self.has_as_stored(entry) {
            return Ok(entry.encoded(&self.storage));
        }
        self.converted(entry).await.map(|converted| converted.encoded.clone())
    }

    async fn converted(&self, entry: &Entry) -> ApiResult<Arc<Converted>> {
        let place = entry.in_version(&self.api_version());
        let convert = || async { ApiResult::Ok(self.kept(&self.out_of_storage(entry.parsed()).await?)) };
        place.get_or_try_init(convert).await.cloned()
    }

    fn kept(&self, object: &Value) -> Arc<Converted> {
        let selected = match self.conversion {
            Some(Conversion::Foreign(_)) => Selected::of(&self.storage, object),
            _ => Selected::default(),
        };
        let encoded = object.to_string().into();
        Arc::new(Converted { encoded, selected })
    }

    /// Whether selectors have to look at objects as this version shows them, and not as they are stored: a program may
    /// change labels, and have fields elsewhere.
    pub(crate) fn selects_converted(&self) -> bool {
        matches!(self.conversion, Some(Conversion::Foreign(_)))
    }

    /// An entry as this version shows it; none where it shows it as it is stored.
    pub(crate) async fn shown(&self, entry: &Entry) -> ApiResult<Option<Arc<Converted>>> {
        if self.has_as_stored(entry) {
            return Ok(None);
        }
        self.converted(entry).await.map(Some)
    }

    /// The same in another encoding, which `encode` makes of JSON. It is made once, and kept as long as the entry is.
    pub(crate) async fn encoded_as(
        &self,
        encoding: &str,
        entry: &Entry,
        encode: impl FnOnce(&[u8]) -> ApiResult<Bytes>,
    ) -> ApiResult<Bytes> {
        let place = entry.in_version(&format!("{};{encoding}", self.api_version()));
        let make = || async {
            let encoded = encode(&self.encoded(entry).await?)?;
            let selected = Selected::default();
            ApiResult::Ok(Arc::new(Converted { encoded, selected }))
        };
        let made = place.get_or_try_init(make).await?;
        Ok(made.encoded.clone())
    }

    /// Whether an entry is in this version as it is.
    fn has_as_stored(&self, entry: &Entry) -> bool {
        match &self.conversion {
            None => true,
            Some(Conversion::Native(_)) => false,
            Some(_) => entry.is_stored_as(&super::object::header(&self.api_version(), &self.kind)),
        }
    }

    /// Entries of the cache in this version, encoded. Those that a program has to convert are sent to it together.
    pub(crate) async fn encoded_all(&self, entries: &[Arc<Entry>]) -> ApiResult<Vec<Bytes>> {
        self.convert_together(entries).await?;
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            all.push(self.encoded(entry).await?);
        }
        Ok(all)
    }

    /// Has a program convert what is not converted yet, so that it is not asked for each.
    pub(crate) async fn convert_together(&self, entries: &[Arc<Entry>]) -> ApiResult<()> {
        if !matches!(self.conversion, Some(Conversion::Foreign(_))) {
            return Ok(());
        }
        let version = self.api_version();
        let header = super::object::header(&version, &self.kind);
        let missing: Vec<_> = entries
            .iter()
            .filter(|entry| !entry.is_stored_as(&header))
            .map(|entry| (entry, entry.in_version(&version)))
            .filter(|(_, place)| !place.initialized())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let objects = missing.iter().map(|(entry, _)| entry.parsed()).collect();
        let converted = self.all_to_version(objects, &version).await?;
        for ((_, place), object) in missing.iter().zip(converted) {
            // Somebody else may have been faster; it is the same then.
            let _ = place.set(self.kept(&object));
        }
        Ok(())
    }
}

fn renamed(mut object: Value, api_version: &str) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.insert("apiVersion".to_owned(), Value::from(api_version));
    }
    object
}

impl Storage {
    /// Brings a stored object into the shape that its version has by now: what was written before the definition was as it
    /// is may have fields that are gone, and lack defaults that have come.
    pub(crate) fn complete(&self, object: &mut Value) {
        if let Some(schema) = self.schema_of(object) {
            schema.prune(object);
            schema.default(object);
        }
    }

    /// Takes away what an object's version does not know.
    fn prune(&self, object: &mut Value) {
        if let Some(schema) = self.schema_of(object) {
            schema.prune(object);
        }
    }

    fn schema_of(&self, object: &Value) -> Option<&Schema> {
        let version = object["apiVersion"].as_str()?;
        let found = self.schemas.iter().find(|(known, _)| known == version);
        found.map(|(_, schema)| &**schema)
    }
}
