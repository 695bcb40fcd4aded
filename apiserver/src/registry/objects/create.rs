//! Creating an object.

use breakbulk_store::{Txn, TxnOutcome};
use jiff::Timestamp;
use serde_json::Value;

use super::{Objects, Persist, Subject, Submitted, WriteOptions, Written, check, identified, object, shape};
use crate::admission::{Operation, Remarks};
use crate::registry::metadata;
use crate::registry::objects::Part;
use crate::registry::resource::{Body, Generation, Resource};
use crate::status::{ApiError, ApiResult};

/// Names tried when a generated one is taken.
const NAMES_TRIED: usize = 8;

impl Objects {
    /// Creates an object in a namespace (or in none, where the resource has none).
    ///
    /// # Errors
    /// What is wrong with it, or in its way.
    pub async fn create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        submitted: Submitted,
        options: &WriteOptions,
    ) -> ApiResult<Written> {
        let (object, given) = submitted.parted();
        let mut value = identified(resource, object)?;
        let mut remarks = Remarks {
            warnings: shape(resource, &mut value, &given, options.field_validation)?,
            ..Remarks::default()
        };
        place(resource, &mut value, namespace)?;
        without_status(resource, &mut value);
        let generate = object::meta(&value, "name").is_empty();
        let base = object::meta(&value, "generateName").to_owned();
        if generate && base.is_empty() {
            return Err(nameless(resource));
        }
        (resource.rules.prepare)(&mut value, None);
        let given = object::meta(&value, "name").to_owned();
        let subject = Subject {
            operation: Operation::Create,
            resource,
            subresource: "",
            namespace,
            name: &given,
            old: None,
        };
        self.follow_owners(&Part::Main, subject, &mut value, options).await;
        self.mutated(options, subject, &mut value, &mut remarks).await?;
        // Webhooks may say what the client may, and no more.
        place(resource, &mut value, namespace)?;
        without_status(resource, &mut value);
        let tries = if generate { NAMES_TRIED } else { 1 };
        for _ in 0..tries {
            if generate {
                value["metadata"]["name"] = Value::from(metadata::generate_name(&base));
                (resource.rules.prepare)(&mut value, None);
            }
            // A name that was given is tried once.
            let object = if generate { value.clone() } else { value.take() };
            let tried = self.try_create(subject, object, options, &mut remarks).await?;
            if let Some(encoded) = tried {
                return Ok(Written::kept(encoded, remarks));
            }
        }
        Err(ApiError::name_clash(resource.target(object::meta(&value, "name"))))
    }

    /// One try; none when a generated name is taken.
    async fn try_create(
        &self,
        subject: Subject<'_>,
        mut value: Value,
        options: &WriteOptions,
        remarks: &mut Remarks,
    ) -> ApiResult<Option<bytes::Bytes>> {
        let Subject {
            resource, namespace, ..
        } = subject;
        let generated = subject.name.is_empty();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata::begin(metadata, Timestamp::now());
            if resource.generation == Generation::Counted {
                metadata.insert("generation".to_owned(), Value::from(1));
            }
        }
        check(resource, &value, None, remarks).await?;
        let name = object::meta(&value, "name").to_owned();
        let subject = Subject { name: &name, ..subject };
        self.admitted(options, subject, Some(&value), remarks).await?;
        let key = self.key(resource, namespace, &name);
        let found = match options.persist {
            Persist::DryRun => self.store.get(&key).await?.0,
            Persist::Store => {
                let prepared = self.prepared(resource, &value).await?;
                match self.store.txn(Txn::create(key, prepared.stored.clone())).await? {
                    TxnOutcome::Committed { revision } => return Ok(Some(prepared.seen(resource, revision.0))),
                    TxnOutcome::Conflict { current, .. } => current.into_iter().next().flatten(),
                }
            }
        };
        match found {
            Some(_) if generated => Ok(None),
            Some(found) => {
                let deleting = super::parse(&found).is_ok_and(|o| object::is_deleting(&o));
                Err(ApiError::already_exists(resource.target(&name), deleting))
            }
            None => Ok(Some(value.to_string().into())),
        }
    }
}

/// Sets or checks the namespace of a new object, and refuses a resourceVersion. What has no namespace loses the one it was
/// sent with.
fn place(resource: &Resource, value: &mut Value, namespace: Option<&str>) -> ApiResult<()> {
    let given = object::meta(value, "namespace");
    let expected = namespace.filter(|_| resource.namespaced).unwrap_or("");
    if !given.is_empty() && !expected.is_empty() && given != expected {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !object::meta(value, "resourceVersion").is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if !expected.is_empty() {
        value["metadata"]["namespace"] = Value::from(expected);
    } else if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    Ok(())
}

/// The status of a new object is not the client's to say.
fn without_status(resource: &Resource, value: &mut Value) {
    if resource.has_status() && matches!(resource.body, Body::Schema(_)) {
        value.as_object_mut().and_then(|object| object.remove("status"));
    }
}

fn nameless(resource: &Resource) -> ApiError {
    use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
    let path = Path::root("metadata").child("name");
    let error = FieldError::new(path, ErrorKind::Required, "name or generateName is required");
    ApiError::invalid(resource.kind_target(""), &[error])
}
