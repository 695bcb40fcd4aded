//! What a write begins from. Where the store is far, that is the cache: it is nearly always the newest, and when it is not
//! the store refuses the transaction and tells what is. What is answered without a transaction (an error, or that there
//! is nothing to change) holds only of the newest object, and so the store is asked after all before it is said.

use breakbulk_store::{KeyValue, ReadsFrom, Revision};

use super::{Objects, Resource};
use crate::cacher::Entry;
use crate::status::{ApiError, ApiResult};

/// An object that a write begins from.
pub(super) struct Found {
    /// The object.
    pub(super) kv: KeyValue,
    age: Age,
}

/// How old what was found may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// The store has told it since the request came.
    Newest,
    /// The cache may be behind.
    Unknown,
}

impl Found {
    /// What the store has told.
    pub(super) fn newest(kv: KeyValue) -> Self {
        Self { kv, age: Age::Newest }
    }
}

impl Objects {
    /// Finds an object to begin a write from.
    pub(super) async fn begin(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> ApiResult<Found> {
        if self.store.reads_from() == ReadsFrom::Network
            && let Some(entry) = self.cached(resource, namespace, name)
        {
            let kv = self.listed(resource, &entry);
            return Ok(Found { kv, age: Age::Unknown });
        }
        self.read(resource, namespace, name).await.map(Found::newest)
    }

    /// The newest object, when it is another than what was found.
    ///
    /// # Errors
    /// 404 when it is gone, and what keeps the store from being asked.
    pub(super) async fn overtaken(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        found: &Found,
    ) -> ApiResult<Option<Found>> {
        if found.age == Age::Newest {
            return Ok(None);
        }
        let newest = self.read(resource, namespace, name).await?;
        Ok((newest.mod_revision != found.kv.mod_revision).then(|| Found::newest(newest)))
    }

    /// What the cache has, as the store tells it.
    pub(super) fn listed(&self, resource: &Resource, entry: &Entry) -> KeyValue {
        let namespace = Some(entry.namespace()).filter(|namespace| !namespace.is_empty());
        KeyValue {
            key: self.key(resource, namespace, entry.name()),
            value: entry.stored().clone(),
            // No write asks for it.
            create_revision: Revision::ZERO,
            mod_revision: Revision(entry.revision),
        }
    }

    async fn read(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> ApiResult<KeyValue> {
        let (found, _) = self.store.get(&self.key(resource, namespace, name)).await?;
        found.ok_or_else(|| ApiError::not_found(resource.target(name)))
    }
}
