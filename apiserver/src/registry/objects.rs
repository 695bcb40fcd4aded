//! Reading and writing objects: the one path that every kind takes. A write reads the object, lets the caller change it,
//! puts it in order, checks it, and stores it if nobody was faster; else it starts over.

mod begin;
mod create;
mod delete;
mod shape;
#[cfg(test)]
mod tests;
mod update;

use std::sync::Arc;

use breakbulk_store::{KeyValue, Store};
use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions as GivenDeleteOptions;
use serde_json::Value;

use super::resource::Resource;
use super::{Registry, object};
use crate::admission::{Author, Chain, Operation, Remarks, Request, Touched};
use crate::cacher::{Cacher, Entry};
use crate::managed;
use crate::status::{ApiError, ApiResult};

pub use delete::{DeleteOptions, Deleted, Deletion, Propagation};
pub(crate) use shape::declared;
use shape::{Given, check, identified, shape};
pub use update::{Edit, Part, UpdateOptions, Versioned};

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

impl FieldValidation {
    /// As the parameter has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Warn => "Warn",
            Self::Strict => "Strict",
        }
    }

    /// What becomes of a mistake in how a body is written: nothing, a warning, or a refusal that begins with `refusal`.
    ///
    /// # Errors
    /// 400 where it is strict.
    pub fn judge(self, mistake: Option<String>, refusal: &str) -> ApiResult<Option<String>> {
        match (self, mistake) {
            (Self::Strict, Some(mistake)) => Err(ApiError::bad_request(format!("{refusal}: {mistake}"))),
            (Self::Warn, mistake) => Ok(mistake),
            (Self::Ignore, _) | (_, None) => Ok(None),
        }
    }
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
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Whether it is kept.
    pub persist: Persist,
    /// What about unknown fields.
    pub field_validation: FieldValidation,
    /// Who writes.
    pub author: Author,
    /// The name under which the written fields are managed.
    pub manager: String,
    /// Who says which fields that manager owns.
    pub ownership: Ownership,
    /// What the client said of all this.
    pub said: Said,
}

/// The options of a request in the client's own words. Reviews repeat these, and not what was made of them.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// `fieldManager`; none when the name was taken from its program's.
    pub manager: Option<String>,
    /// `fieldValidation`.
    pub field_validation: Option<FieldValidation>,
    /// How something is to be deleted.
    pub deletion: Option<Arc<GivenDeleteOptions>>,
}

/// Who says which fields a writer owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The server finds out what has changed.
    #[default]
    Followed,
    /// The object says it: it comes from server-side apply.
    Declared,
}

impl WriteOptions {
    /// What the server writes by itself.
    pub fn server() -> Self {
        Self {
            persist: Persist::Store,
            field_validation: FieldValidation::Ignore,
            author: Author::Server,
            manager: "bulk-apiserver".to_owned(),
            ownership: Ownership::Followed,
            said: Said::default(),
        }
    }
}

/// An object from a client.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The object.
    pub object: Value,
    /// Paths of members that stood twice in what was sent.
    pub duplicates: Vec<String>,
    /// What was sent.
    pub origin: Origin,
}

/// Where an object comes from. What is wrong with one is told otherwise when it is what a patch has made.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    /// A body, or nobody.
    #[default]
    Body,
    /// A list of operations.
    JsonPatch,
    /// A merge patch.
    MergePatch,
    /// A strategic merge patch: this one.
    StrategicPatch(Arc<Value>),
}

impl Submitted {
    /// The object, and how it was given.
    fn parted(self) -> (Value, Given) {
        let given = Given {
            duplicates: self.duplicates,
            origin: self.origin,
        };
        (self.object, given)
    }

    /// An object that nobody sent.
    pub fn plain(object: Value) -> Self {
        Self {
            object,
            duplicates: Vec::new(),
            origin: Origin::Body,
        }
    }
}

/// What a write answers.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object, encoded in the resource's version.
    pub encoded: Bytes,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
    /// What admission has to say to the audit log.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// The object as it was last, when this write was the one that let it go: the last finalizer of an object that is
    /// being deleted.
    pub gone: Option<Box<Value>>,
}

impl Written {
    fn kept(encoded: Bytes, remarks: Remarks) -> Self {
        Self {
            encoded,
            warnings: remarks.warnings,
            annotations: remarks.annotations,
            gone: None,
        }
    }
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
    /// The steps of admission.
    pub admission: Arc<Chain>,
}

impl Objects {
    /// The key in the store.
    pub(crate) fn key(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Bytes {
        format!("{}{}", resource.storage.prefix, resource.key(namespace, name)).into()
    }

    /// One object as it is now, encoded. It is read from memory, after that has caught up with the store.
    ///
    /// # Errors
    /// 404, and what keeps the store from being asked.
    pub async fn get(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> ApiResult<Bytes> {
        self.cacher.catch_up().await?;
        let entry = self.cached(resource, namespace, name);
        resource
            .encoded(&*entry.ok_or_else(|| ApiError::not_found(resource.target(name)))?)
            .await
    }

    /// The same, parsed.
    ///
    /// # Errors
    /// As [`Objects::get`].
    pub async fn get_value(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> ApiResult<Value> {
        let encoded = self.get(resource, namespace, name).await?;
        serde_json::from_slice(&encoded).map_err(|_| ApiError::internal("a stored object cannot be read"))
    }

    /// One object from the cache, as old as that may be.
    pub fn cached(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Option<Arc<Entry>> {
        resource.storage.cache.get(&resource.key(namespace, name))
    }

    /// An object of the resource's version as the store is to hold it, and as it will be seen then.
    async fn prepared(&self, resource: &Resource, object: &Value) -> ApiResult<Prepared> {
        let empty = serde_json::Map::new();
        let encode = |object: &Value| object::encode(&resource.storage.header, object.as_object().unwrap_or(&empty));
        if resource.conversion.is_none() {
            let stored = encode(object);
            return Ok(Prepared { stored, shown: None });
        }
        let converted = resource.to_storage(object.clone()).await?;
        let stored = encode(&converted);
        // What a conversion loses is not there: a client is told what it will read. If that cannot be had, nothing has
        // been written yet.
        let shown = Some(resource.out_of_storage(converted).await?);
        Ok(Prepared { stored, shown })
    }

    /// What the store holds, in the resource's version.
    async fn outside(&self, resource: &Resource, found: &KeyValue) -> ApiResult<Value> {
        let mut object = parse(found)?;
        resource.storage.complete(&mut object);
        resource.out_of_storage(object).await
    }

    /// Notes who owns what. What the server makes by itself is nobody's, unless somebody keeps track of it already.
    async fn follow_owners(&self, part: &Part, subject: Subject<'_>, new: &mut Value, options: &WriteOptions) {
        let tracked = subject
            .old
            .is_some_and(|old| !old["metadata"]["managedFields"].is_null());
        let by_server = matches!(options.author, Author::Server);
        if options.ownership == Ownership::Followed && (tracked || !by_server) {
            managed::track(subject.resource, part, subject.old, new, &options.manager).await;
        }
    }

    /// Lets admission change the object, and brings it into shape again if it did.
    async fn mutated(
        &self,
        options: &WriteOptions,
        request: Subject<'_>,
        new: &mut Value,
        remarks: &mut Remarks,
    ) -> ApiResult<Touched> {
        let Author::Client(identity) = &options.author else {
            return Ok(Touched::No);
        };
        let asked = request.asked(identity, options, None);
        let touched = self.admission.mutate(self, &asked, new, remarks).await?;
        if touched == Touched::Yes {
            shape(request.resource, new, &Given::default(), FieldValidation::Ignore)?;
        }
        if let Some(old) = request.old {
            managed::settle(old, new);
        }
        Ok(touched)
    }

    /// Asks admission about the complete object; none when it goes.
    async fn admitted(
        &self,
        options: &WriteOptions,
        request: Subject<'_>,
        new: Option<&Value>,
        remarks: &mut Remarks,
    ) -> ApiResult<()> {
        let Author::Client(identity) = &options.author else {
            return Ok(());
        };
        let asked = request.asked(identity, options, new);
        self.admission.validate(self, &asked, remarks).await
    }
}

/// What a write is about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    operation: Operation,
    resource: &'a Resource,
    subresource: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
    old: Option<&'a Value>,
}

impl<'a> Subject<'a> {
    fn asked<'b>(
        self,
        identity: &'b crate::authentication::Identity,
        options: &'b WriteOptions,
        new: Option<&'b Value>,
    ) -> Request<'b>
    where
        'a: 'b,
    {
        Request {
            identity,
            operation: self.operation,
            resource: self.resource,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            old: self.old,
            new,
            persist: options.persist,
            said: &options.said,
        }
    }
}

/// What is about to be written.
struct Prepared {
    /// As the store is to hold it.
    stored: Bytes,
    /// As it will be read through the resource; none: just so.
    shown: Option<Value>,
}

impl Prepared {
    /// The object at a revision, encoded as a client of the resource sees it.
    fn seen(self, resource: &Resource, revision: u64) -> Bytes {
        let Some(mut shown) = self.shown else {
            return object::with_revision(&resource.storage.header, &self.stored, revision);
        };
        object::set_revision(&mut shown, revision);
        shown.to_string().into()
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
