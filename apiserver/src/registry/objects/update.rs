//! Changing an object: replace and patch are one loop. The caller's change is applied to the newest object; if somebody
//! was faster, again to the newer one, unless the client named the revision it meant.

use async_trait::async_trait;
use breakbulk_schemas::field::{FieldError, Path};
use breakbulk_store::{KeyValue, Txn, TxnOutcome};
use serde_json::Value;

use super::begin::Found;
use super::delete::is_held_by_spec;
use super::{Objects, Persist, Subject, Submitted, TRIES, WriteOptions, Written, check, identified, object, shape};
use crate::admission::{Operation, Remarks, Touched};
use crate::registry::metadata;
use crate::registry::resource::{Body, Generation, Resource, ScalePaths};
use crate::status::{ApiError, ApiResult};

/// Which part of the object is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status, where that is a subresource.
    Main,
    /// The status.
    Status,
    /// A namespace's `spec.finalizers`.
    Finalize,
    /// The number of replicas.
    Scale(ScalePaths),
}

/// How an update is done.
#[derive(Clone, Debug)]
pub struct UpdateOptions {
    /// Which part.
    pub part: Part,
    /// Whether it must name the revision it replaces.
    pub versioned: Versioned,
    /// The rest.
    pub write: WriteOptions,
}

/// Whether a body must name the revision that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioned {
    /// It must: it is the whole object.
    Required,
    /// It may.
    Optional,
}

/// A change that a client wants. It is applied again when somebody else was faster.
#[async_trait]
pub trait Edit: Send + Sync {
    /// What the object is to be. `old` is in the resource's version and has its resourceVersion.
    async fn apply(&self, old: Value) -> ApiResult<Submitted>;
}

/// What is to be done for an update.
enum Plan {
    /// Nothing, and this is the answer.
    Nothing(Value, Remarks),
    /// This object is to be stored.
    Store(Value, Remarks),
}

impl Plan {
    fn written(self) -> Written {
        let (Self::Nothing(object, remarks) | Self::Store(object, remarks)) = self;
        Written::kept(object.to_string().into(), remarks)
    }
}

/// A change that needs nobody else's help.
#[async_trait]
impl<F> Edit for F
where
    F: Fn(Value) -> ApiResult<Submitted> + Send + Sync,
{
    async fn apply(&self, old: Value) -> ApiResult<Submitted> {
        self(old)
    }
}

impl Objects {
    /// Changes an object.
    ///
    /// # Errors
    /// What is wrong with the change, or in its way.
    pub async fn update(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        options: &UpdateOptions,
        edit: &dyn Edit,
    ) -> ApiResult<Written> {
        let mut found = self.begin(resource, namespace, name).await?;
        for _ in 0..TRIES {
            let subject = Subject {
                operation: Operation::Update,
                resource,
                subresource: options.part.subresource(),
                namespace,
                name,
                old: None,
            };
            let (new, remarks) = match self.plan(subject, &found.kv, options, edit).await {
                Ok(Plan::Store(new, remarks)) => (new, remarks),
                answer => match self.overtaken(resource, namespace, name, &found).await? {
                    Some(newer) => {
                        found = newer;
                        continue;
                    }
                    None => return answer.map(Plan::written),
                },
            };
            let (key, revision) = (found.kv.key.clone(), found.kv.mod_revision);
            let ends = is_finished(&new);
            let prepared = self.prepared(resource, &new).await?;
            let txn = if ends {
                Txn::delete(key, revision)
            } else {
                Txn::update(key, revision, prepared.stored.clone())
            };
            match self.store.txn(txn).await? {
                TxnOutcome::Committed { revision } => {
                    let written = Written::kept(prepared.seen(resource, revision.0), remarks);
                    let gone = ends.then(|| Box::new(new));
                    return Ok(Written { gone, ..written });
                }
                TxnOutcome::Conflict { current, .. } => found = Found::newest(newer(resource, name, current)?),
            }
        }
        Err(ApiError::modified(resource.target(name)))
    }

    /// What an update makes of an object; nothing is stored yet.
    async fn plan(
        &self,
        subject: Subject<'_>,
        found: &KeyValue,
        options: &UpdateOptions,
        edit: &dyn Edit,
    ) -> ApiResult<Plan> {
        let old = self.outside(subject.resource, found).await?;
        let subject = Subject {
            old: Some(&old),
            ..subject
        };
        let change = edit.apply(old.clone()).await?;
        let mut remarks = Remarks::default();
        let mut new = self.admit(subject, &old, change, options, &mut remarks).await?;
        object::set_revision(&mut new, found.mod_revision.0);
        // Storing it once more is how an object comes into the version that its kind is stored in by now.
        let unchanged = new == old && found.value.starts_with(&subject.resource.storage.header);
        if unchanged || options.write.persist == Persist::DryRun {
            return Ok(Plan::Nothing(new, remarks));
        }
        Ok(Plan::Store(new, remarks))
    }

    /// From what the client wants to what may be stored.
    async fn admit(
        &self,
        subject: Subject<'_>,
        old: &Value,
        given: Submitted,
        options: &UpdateOptions,
        remarks: &mut Remarks,
    ) -> ApiResult<Value> {
        let resource = subject.resource;
        let (object, given) = given.parted();
        let mut new = identified(resource, object)?;
        remarks.warnings = shape(resource, &mut new, &given, options.write.field_validation)?;
        preconditions(resource, &new, old, subject.name, options)?;
        put_in_order(resource, &mut new, old, &options.part);
        self.follow_owners(&options.part, subject, &mut new, &options.write)
            .await;
        if self.mutated(&options.write, subject, &mut new, remarks).await? == Touched::Yes {
            // Webhooks may change what the client may, and no more.
            put_in_order(resource, &mut new, old, &options.part);
        }
        let counted = resource.generation == Generation::Counted && options.part != Part::Status;
        if counted && spec_differs(resource, &new, old) {
            metadata::next_generation(&mut new);
        }
        if !is_unchanged(&new, old) {
            check(resource, &new, Some(old), remarks).await?;
            self.admitted(&options.write, subject, Some(&new), remarks).await?;
        }
        Ok(new)
    }
}

impl Part {
    /// As it stands in a path.
    pub fn subresource(&self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Finalize => "finalize",
            Self::Scale(_) => "scale",
        }
    }
}

fn newer(resource: &Resource, name: &str, current: Vec<Option<KeyValue>>) -> ApiResult<KeyValue> {
    current
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| ApiError::not_found(resource.target(name)))
}

/// Whether two objects are the same but for the resourceVersion, which may be left out.
fn is_unchanged(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
        return false;
    };
    let same = |key: &String, value: &Value| match (key.as_str(), value, old.get(key)) {
        ("metadata", Value::Object(new), Some(Value::Object(old))) => {
            let count = |m: &serde_json::Map<String, Value>| m.len() - usize::from(m.contains_key("resourceVersion"));
            count(new) == count(old) && new.iter().all(|(k, v)| k == "resourceVersion" || old.get(k) == Some(v))
        }
        (_, value, old) => old == Some(value),
    };
    new.len() == old.len() && new.iter().all(|(key, value)| same(key, value))
}

fn preconditions(resource: &Resource, new: &Value, old: &Value, name: &str, options: &UpdateOptions) -> ApiResult<()> {
    let given = object::meta(new, "name");
    if !given.is_empty() && given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let (namespace, expected) = (object::meta(new, "namespace"), object::meta(old, "namespace"));
    if !namespace.is_empty() && !expected.is_empty() && namespace != expected {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let uid = object::meta(new, "uid");
    if !uid.is_empty() && uid != object::meta(old, "uid") {
        let theirs = object::meta(old, "uid");
        return Err(ApiError::conflict(
            resource.target(name),
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {theirs}"),
        ));
    }
    let version = object::meta(new, "resourceVersion");
    if version.is_empty() || version == "0" {
        if options.versioned == Versioned::Required && matches!(resource.body, Body::Schema(_)) {
            let path = Path::root("metadata").child("resourceVersion");
            let error = FieldError::invalid(path, "", "must be specified for an update");
            return Err(ApiError::invalid(resource.kind_target(name), &[error]));
        }
        return Ok(());
    }
    if version.parse::<u64>().is_err() {
        let path = Path::root("metadata").child("resourceVersion");
        let error = FieldError::invalid(path, version, "must be an unsigned integer");
        return Err(ApiError::invalid(resource.kind_target(name), &[error]));
    }
    if version != object::meta(old, "resourceVersion") {
        return Err(ApiError::modified(resource.target(name)));
    }
    Ok(())
}

/// What this request does not write, and nobody may, stays as it was; what the server sets is set.
fn put_in_order(resource: &Resource, new: &mut Value, old: &Value, part: &Part) {
    keep_other_parts(resource, new, old, part);
    if let Some(metadata) = new["metadata"].as_object_mut() {
        metadata::carry_over(metadata, old);
    }
    if *part == Part::Main {
        (resource.rules.prepare)(new, Some(old));
    }
}

fn keep_other_parts(resource: &Resource, new: &mut Value, old: &Value, part: &Part) {
    match part {
        Part::Main => {
            if resource.has_status() {
                take(new, old, "status");
            }
            if resource.subresource("finalize").is_some() {
                take(new, old, "spec");
            }
        }
        Part::Status if resource.status_takes_metadata() => with_metadata(new, old, "status"),
        Part::Status => only(new, old, "status"),
        Part::Finalize => only(new, old, "spec"),
        // The change was made on the whole object, at this one place.
        Part::Scale(_) => {}
    }
    // Names of the object itself come from the URL; a body may leave them out.
    for field in ["name", "namespace", "generateName"] {
        match old["metadata"].get(field) {
            Some(value) => new["metadata"][field] = value.clone(),
            None => _ = new["metadata"].as_object_mut().and_then(|own| own.remove(field)),
        }
    }
}

/// The old object with one field of the new one, and what the new one says of the fields' owners.
fn only(new: &mut Value, old: &Value, field: &str) {
    let written = new.as_object_mut().and_then(|new| new.remove(field));
    let metadata = new.get_mut("metadata").and_then(Value::as_object_mut);
    let managed = metadata.and_then(|metadata| metadata.remove("managedFields"));
    *new = old.clone();
    set(new, field, written);
    if let (Some(managed), Some(metadata)) = (managed, new["metadata"].as_object_mut()) {
        metadata.insert("managedFields".to_owned(), managed);
    }
}

/// The old object with one field and the metadata of the new one.
fn with_metadata(new: &mut Value, old: &Value, field: &str) {
    let metadata = new.as_object_mut().and_then(|new| new.remove("metadata"));
    only(new, old, field);
    set(new, "metadata", metadata.or_else(|| old.get("metadata").cloned()));
}

fn take(new: &mut Value, old: &Value, field: &str) {
    set(new, field, old.get(field).cloned());
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(object) = object.as_object_mut() else { return };
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => object.remove(field),
    };
}

/// Whether anything differs that a generation counts: everything but metadata, and status where that is apart.
fn spec_differs(resource: &Resource, new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
        return true;
    };
    let counts = |key: &String| key != "metadata" && !(resource.has_status() && key == "status");
    new.iter()
        .filter(|(k, _)| counts(k))
        .any(|(k, v)| old.get(k) != Some(v))
        || old.keys().filter(|k| counts(k)).any(|k| !new.contains_key(k))
}

/// Whether nothing holds an object back any more that is being deleted.
fn is_finished(object: &Value) -> bool {
    object::is_deleting(object) && object::finalizers(object).is_empty() && !is_held_by_spec(object)
}
