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
use crate::admission::{Author, Chain, Operation, Remarks, Request, Touched};
use crate::cacher::{Cacher, Entry};
use crate::managed;
use crate::status::{ApiError, ApiResult};

pub use delete::{DeleteOptions, Deleted, Deletion, Propagation};
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
        }
    }
}

/// A body from a client.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The object.
    pub object: Value,
    /// Paths of members that stood twice.
    pub duplicates: Vec<String>,
}

impl Submitted {
    /// An object that nobody sent.
    pub fn plain(object: Value) -> Self {
        Self {
            object,
            duplicates: Vec::new(),
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

    async fn read(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> ApiResult<KeyValue> {
        let (found, _) = self.store.get(&self.key(resource, namespace, name)).await?;
        found.ok_or_else(|| ApiError::not_found(resource.target(name)))
    }

    /// One object from the cache, as old as that may be.
    pub fn cached(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Option<Arc<Entry>> {
        resource.storage.cache.get(&resource.key(namespace, name))
    }

    /// An object of the resource's version as the store is to hold it.
    async fn stored(&self, resource: &Resource, object: &Value) -> ApiResult<Bytes> {
        let empty = serde_json::Map::new();
        if resource.conversion.is_none() {
            return Ok(object::encode(
                &resource.storage.header,
                object.as_object().unwrap_or(&empty),
            ));
        }
        let object = resource.to_storage(object.clone()).await?;
        Ok(object::encode(
            &resource.storage.header,
            object.as_object().unwrap_or(&empty),
        ))
    }

    /// What the store holds, in the resource's version.
    async fn outside(&self, resource: &Resource, found: &KeyValue) -> ApiResult<Value> {
        let mut object = parse(found)?;
        resource.storage.complete(&mut object);
        resource.out_of_storage(object).await
    }

    /// Notes who owns what. What the server makes by itself is nobody's, unless somebody keeps track of it already.
    fn follow_owners(&self, part: &Part, subject: Subject<'_>, new: &mut Value, options: &WriteOptions) {
        let tracked = subject
            .old
            .is_some_and(|old| !old["metadata"]["managedFields"].is_null());
        let by_server = matches!(options.author, Author::Server);
        if options.ownership == Ownership::Followed && (tracked || !by_server) {
            managed::track(subject.resource, part, subject.old, new, &options.manager);
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
            shape(request.resource, new, &[], FieldValidation::Ignore)?;
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
            manager: &options.manager,
        }
    }
}

/// The object at a revision, encoded as a client of the resource sees it.
fn seen(resource: &Resource, stored: &[u8], object: &Value, revision: u64) -> Bytes {
    if resource.conversion.is_none() {
        return object::with_revision(&resource.storage.header, stored, revision);
    }
    let mut object = object.clone();
    object::set_revision(&mut object, revision);
    object.to_string().into()
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

/// Checks apiVersion and kind of a body, or fills them in.
fn identified(resource: &Resource, body: Value) -> ApiResult<Value> {
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
    Ok(Value::Object(body))
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
    match &resource.body {
        Body::Schema(definition) => {
            unknown.extend(definition.schema.prune(value));
            definition.schema.heads(value).map_err(|error| bad(error.to_string()))?;
            definition.schema.default(value);
        }
        Body::Typed(through) => {
            let kept = through(value).map_err(bad)?;
            unknown.extend(metadata::unknown_fields(value, &kept, ""));
            *value = kept;
        }
        Body::Absent => return Err(ApiError::method_not_allowed()),
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

/// Checks what a manager declares by server-side apply: of whose kind it is, and that it names only fields that there are.
/// Nothing is filled in: what was not declared is not owned.
pub(crate) fn declared(resource: &Resource, given: &mut Submitted, mode: FieldValidation) -> ApiResult<Vec<String>> {
    given.object = identified(resource, std::mem::take(&mut given.object))?;
    let bad = |why: String| ApiError::bad_request(why);
    let mut unknown = match given.object.as_object_mut() {
        Some(object) => metadata::coerce(object).map_err(bad)?,
        None => Vec::new(),
    };
    if let Body::Schema(definition) = &resource.body {
        unknown.extend(definition.schema.prune(&mut given.object));
    }
    let unknown = unknown.iter().map(|path| format!("unknown field \".{path}\""));
    let problems: Vec<String> = unknown
        .chain(given.duplicates.iter().map(|path| format!("duplicate field {path:?}")))
        .collect();
    match mode {
        FieldValidation::Strict if !problems.is_empty() => {
            Err(bad(format!("strict decoding error: {}", problems.join(", "))))
        }
        FieldValidation::Warn => Ok(problems),
        FieldValidation::Ignore | FieldValidation::Strict => Ok(Vec::new()),
    }
}

/// Every mistake in an object that is about to be stored; what it is only warned of goes to the remarks.
fn check(resource: &Resource, value: &Value, old: Option<&Value>, remarks: &mut Remarks) -> ApiResult<()> {
    let mut errors: Vec<FieldError> = metadata::validate(value, old, resource);
    let found = mistakes::all(resource, value, old);
    errors.extend(found.errors);
    remarks.warnings.extend(found.warnings);
    remarks.warnings.extend(metadata::warnings(value, old, resource));
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        resource.kind_target(object::meta(value, "name")),
        &errors,
    ))
}
