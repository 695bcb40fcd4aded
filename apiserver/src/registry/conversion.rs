//! How objects of one version become objects of another. A storage holds every object in one version; a resource of
//! another version reads and writes through its [`Conversion`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::resource::{Resource, Storage};
use crate::cacher::Entry;
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
            None => Ok(object),
            Some(Conversion::Native(native)) => Ok((native.to_storage)(object)),
            Some(Conversion::Rename) => Ok(renamed(object, &self.storage.api_version)),
            Some(Conversion::Foreign(convert)) => one(convert.as_ref(), object, &self.storage.api_version).await,
        }
    }

    /// A stored object in this version.
    pub(crate) async fn out_of_storage(&self, object: Value) -> ApiResult<Value> {
        match &self.conversion {
            None => Ok(object),
            Some(Conversion::Native(native)) => Ok((native.from_storage)(object)),
            Some(Conversion::Rename) => Ok(renamed(object, &self.api_version())),
            Some(Conversion::Foreign(convert)) => one(convert.as_ref(), object, &self.api_version()).await,
        }
    }

    /// An entry of the cache in this version, encoded.
    pub(crate) async fn encoded(&self, entry: &Entry) -> ApiResult<Bytes> {
        let Some(conversion) = &self.conversion else {
            return Ok(entry.encoded(&self.storage));
        };
        if !matches!(conversion, Conversion::Native(_))
            && entry.is_stored_as(&super::object::header(&self.api_version(), &self.kind))
        {
            return Ok(entry.encoded(&self.storage));
        }
        let version = self.api_version();
        if let Some(kept) = entry.converted(&version) {
            return Ok(kept);
        }
        let encoded: Bytes = self.out_of_storage(entry.parsed()).await?.to_string().into();
        entry.keep_converted(version, encoded.clone());
        Ok(encoded)
    }

    /// Entries of the cache in this version, encoded. Those that a program has to convert are sent to it together.
    pub(crate) async fn encoded_all(&self, entries: &[Arc<Entry>]) -> ApiResult<Vec<Bytes>> {
        if let Some(Conversion::Foreign(convert)) = &self.conversion {
            self.convert_missing(convert.as_ref(), entries).await?;
        }
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            all.push(self.encoded(entry).await?);
        }
        Ok(all)
    }

    async fn convert_missing(&self, convert: &dyn Convert, entries: &[Arc<Entry>]) -> ApiResult<()> {
        let version = self.api_version();
        let header = super::object::header(&version, &self.kind);
        let missing: Vec<&Arc<Entry>> = entries
            .iter()
            .filter(|entry| !entry.is_stored_as(&header) && entry.converted(&version).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let objects = missing.iter().map(|entry| entry.parsed()).collect();
        for (entry, object) in missing.iter().zip(convert.convert(objects, &version).await?) {
            entry.keep_converted(version.clone(), object.to_string().into());
        }
        Ok(())
    }
}

async fn one(convert: &dyn Convert, object: Value, api_version: &str) -> ApiResult<Value> {
    if object["apiVersion"] == api_version {
        return Ok(object);
    }
    let converted = convert.convert(vec![object], api_version).await?;
    let converted = converted.into_iter().next();
    converted.ok_or_else(|| ApiError::internal("a conversion returned no object"))
}

fn renamed(mut object: Value, api_version: &str) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.insert("apiVersion".to_owned(), Value::from(api_version));
    }
    object
}

impl Storage {
    /// Fills in what a stored object lacks that was written before its definition had this default.
    pub(crate) fn complete(&self, object: &mut Value) {
        if let Some(schema) = &self.schema {
            schema.default(object);
        }
    }
}
