//! Reads and writes of one kind: its cache together with its API. Every write's answer goes into the cache; every
//! update says which version it means, so that a view that is too old changes nothing.

use std::fmt;
use std::sync::Arc;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Cache, Key};

/// Why a request had no success.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server refused it, or could not be reached.
    #[error("cannot {verb} {kind} {key}")]
    Request {
        /// What was asked for.
        verb: &'static str,
        /// The kind.
        kind: String,
        /// The object.
        key: Key,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of ours does not encode: our fault.
    #[error("cannot encode {kind} {key}")]
    Encode {
        /// The kind.
        kind: String,
        /// The object.
        key: Key,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl ApiError {
    fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Request { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Encode { .. } => None,
        }
    }

    /// Somebody else changed the object first.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(kube::core::Status::is_conflict)
    }

    /// There is no such object.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(kube::core::Status::is_not_found)
    }

    /// There is an object of that name already.
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(kube::core::Status::is_already_exists)
    }

    /// The server looked at what was sent and refused it for good: trying again changes nothing. Its words, if so.
    pub fn refused(&self) -> Option<&str> {
        let status = self.status()?;
        let final_ = status.is_invalid() || status.is_forbidden() || status.code == 400 || status.code == 413;
        final_.then_some(status.message.as_str())
    }
}

/// One kind's cache and API.
pub struct Store<K> {
    client: Client,
    cache: Arc<Cache<K>>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            cache: Arc::clone(&self.cache),
        }
    }
}

impl<K> fmt::Debug for Store<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Where a kind's objects live. Implemented for both scopes, so that one [`Store`] serves them.
pub trait Scoped: Sized {
    /// The API of `namespace`; ignored by kinds of the cluster.
    fn api(client: Client, namespace: &str) -> Api<Self>;
}

/// Implements [`Scoped`] for a kind of the cluster.
macro_rules! cluster_scoped {
    ($($kind:ty),+) => {$(
        impl Scoped for $kind {
            fn api(client: Client, _namespace: &str) -> Api<Self> {
                Api::all(client)
            }
        }
    )+};
}

/// Implements [`Scoped`] for namespaced kinds.
macro_rules! namespaced {
    ($($kind:ty),+) => {$(
        impl Scoped for $kind {
            fn api(client: Client, namespace: &str) -> Api<Self> {
                namespaced_api(client, namespace)
            }
        }
    )+};
}

fn namespaced_api<K>(client: Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(client, namespace)
}

cluster_scoped!(k8s_openapi::api::core::v1::Node, k8s_openapi::api::core::v1::Namespace);
namespaced!(
    breakbulk_schemas::Pipeline,
    breakbulk_schemas::PipelineRun,
    breakbulk_schemas::Job,
    breakbulk_schemas::GitRepository,
    breakbulk_schemas::GitEvent,
    breakbulk_schemas::ConcurrencyGroup,
    k8s_openapi::api::core::v1::Secret,
    k8s_openapi::api::core::v1::ServiceAccount,
    k8s_openapi::api::core::v1::ConfigMap,
    k8s_openapi::api::coordination::v1::Lease
);

impl<K> Store<K>
where
    K: Resource<DynamicType = ()> + Scoped + Clone + DeserializeOwned + Serialize + fmt::Debug + Send + Sync + 'static,
{
    /// A store over `cache`.
    pub fn new(client: Client, cache: Arc<Cache<K>>) -> Self {
        Self { client, cache }
    }

    /// The cache.
    pub fn cache(&self) -> &Cache<K> {
        &self.cache
    }

    /// What is known of an object.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.cache.get(key)
    }

    /// Asks the server, past the cache.
    ///
    /// # Errors
    /// Anything but the object's absence.
    pub async fn fetch(&self, key: &Key) -> Result<Option<K>, ApiError> {
        self.api(key)
            .get_opt(&key.name)
            .await
            .map_err(|source| request::<K>("get", key, source))
    }

    /// Asks the server for all objects of a namespace, past the cache.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn list(&self, namespace: &str) -> Result<Vec<K>, ApiError> {
        let key = Key::new(namespace, "");
        let listed = self.api(&key).list(&ListParams::default()).await;
        listed
            .map(|list| list.items)
            .map_err(|source| request::<K>("list", &key, source))
    }

    /// Creates an object.
    ///
    /// # Errors
    /// The server's refusal; [`ApiError::is_already_exists`] is often no failure to the caller.
    pub async fn create(&self, object: &K) -> Result<Arc<K>, ApiError> {
        let key = Key::of(object);
        let created = self.api(&key).create(&PostParams::default(), object).await;
        created
            .map(|object| self.cache.written(object))
            .map_err(|source| request::<K>("create", &key, source))
    }

    /// Changes an object by a merge patch, if it still is what `seen` shows.
    ///
    /// # Errors
    /// The server's refusal, a conflict above all.
    pub async fn patch(&self, seen: &K, mut patch: Value) -> Result<Arc<K>, ApiError> {
        let key = Key::of(seen);
        pin(seen, &mut patch);
        let patched = self
            .api(&key)
            .patch(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched
            .map(|object| self.cache.written(object))
            .map_err(|source| request::<K>("patch", &key, source))
    }

    /// Writes what differs between two statuses of an object, if it still is what `seen` shows. Nothing is sent when
    /// nothing differs.
    ///
    /// # Errors
    /// The server's refusal, a conflict above all.
    pub async fn patch_status<S: Serialize>(&self, seen: &K, old: &S, new: &S) -> Result<(), ApiError> {
        let key = Key::of(seen);
        let encode = |status: &S| {
            serde_json::to_value(status).map_err(|source| ApiError::Encode {
                kind: kind::<K>(),
                key: key.clone(),
                source,
            })
        };
        let Some(difference) = difference(encode(old)?, encode(new)?) else {
            return Ok(());
        };
        let mut patch = json!({ "status": difference });
        pin(seen, &mut patch);
        let patched = self
            .api(&key)
            .patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        self.cache
            .written(patched.map_err(|source| request::<K>("patch the status of", &key, source))?);
        Ok(())
    }

    /// Deletes an object, if it still is the one that `seen` shows. One that is gone already is as good.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn delete(&self, seen: &K) -> Result<(), ApiError> {
        let key = Key::of(seen);
        let preconditions = kube::api::Preconditions {
            uid: seen.uid(),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::background()
        };
        match self.api(&key).delete(&key.name, &params).await {
            Ok(_) => Ok(()),
            Err(source) => Some(request::<K>("delete", &key, source))
                .filter(|error| !error.is_not_found())
                .map_or(Ok(()), Err),
        }
    }

    fn api(&self, key: &Key) -> Api<K> {
        K::api(self.client.clone(), &key.namespace)
    }
}

fn kind<K: Resource<DynamicType = ()>>() -> String {
    K::kind(&()).into_owned()
}

fn request<K: Resource<DynamicType = ()>>(verb: &'static str, key: &Key, source: kube::Error) -> ApiError {
    ApiError::Request {
        verb,
        kind: kind::<K>(),
        key: key.clone(),
        source: Box::new(source),
    }
}

/// Makes a patch hold only for the version that was seen.
fn pin<K: ResourceExt>(seen: &K, patch: &mut Value) {
    if let (Some(version), Some(patch)) = (seen.resource_version(), patch.as_object_mut()) {
        let metadata = patch.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("resourceVersion".to_owned(), Value::String(version));
        }
    }
}

/// The merge patch from `old` to `new`, by their top-level fields; `None` when they are equal. Lists are replaced as a
/// whole, as merge patches do; maps within a field are cleared of what is gone.
fn difference(old: Value, new: Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(mut old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (field, value) in new {
                match old.remove(&field) {
                    Some(before) if before == value => {}
                    Some(before) => {
                        let inner = difference(before, value).unwrap_or(Value::Null);
                        patch.insert(field, inner);
                    }
                    None => {
                        patch.insert(field, value);
                    }
                }
            }
            patch.extend(old.into_iter().map(|(field, _)| (field, Value::Null)));
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (old, new) => (old != new).then_some(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_sent() {
        let old = json!({ "a": 1, "b": { "x": 1, "y": 2 }, "c": [1, 2], "d": "gone" });
        let new = json!({ "a": 1, "b": { "x": 1, "z": 3 }, "c": [2], "e": true });
        let want = json!({ "b": { "y": null, "z": 3 }, "c": [2], "d": null, "e": true });
        assert_eq!(difference(old.clone(), new), Some(want));
        assert_eq!(difference(old.clone(), old), None);
    }
}
