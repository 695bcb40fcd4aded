//! Creating an object.

use breakbulk_store::{Txn, TxnOutcome};
use jiff::Timestamp;
use serde_json::Value;

use super::{Objects, Persist, Submitted, WriteOptions, Written, check, object, shape, to_storage};
use crate::registry::metadata;
use crate::registry::resource::{Body, Resource};
use crate::status::{ApiError, ApiResult};

/// Names tried when a generated one is taken.
const NAMES_TRIED: usize = 8;

impl Objects {
    /// Creates an object in a namespace (or in none, where the resource has none).
    pub async fn create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        submitted: Submitted,
        options: WriteOptions,
    ) -> ApiResult<Written> {
        let mut value = to_storage(resource, submitted.object)?;
        let warnings = shape(resource, &mut value, &submitted.duplicates, options.field_validation)?;
        place(resource, &mut value, namespace)?;
        if resource.subresources.status && matches!(resource.body, Body::Schema(_)) {
            value.as_object_mut().and_then(|object| object.remove("status"));
        }
        let generate = object::meta(&value, "name").is_empty();
        let base = object::meta(&value, "generateName").to_owned();
        if generate && base.is_empty() {
            return Err(nameless(resource));
        }
        let tries = if generate { NAMES_TRIED } else { 1 };
        for _ in 0..tries {
            if generate {
                value["metadata"]["name"] = Value::from(metadata::generate_name(&base));
            }
            match self
                .try_create(resource, namespace, value.clone(), options, generate)
                .await?
            {
                Some(mut written) => {
                    written.warnings.extend(warnings);
                    return Ok(written);
                }
                None => continue,
            }
        }
        Err(ApiError::name_clash(resource.target(object::meta(&value, "name"))))
    }

    /// One try; none when a generated name is taken.
    async fn try_create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        mut value: Value,
        options: WriteOptions,
        generated: bool,
    ) -> ApiResult<Option<Written>> {
        (resource.rules.prepare)(&mut value, None);
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata::begin(metadata, Timestamp::now());
            if resource.has_generation() {
                metadata.insert("generation".to_owned(), Value::from(1));
            }
        }
        check(resource, &value, None)?;
        let name = object::meta(&value, "name").to_owned();
        let key = self.key(resource, namespace, &name);
        let stored = self.encode(resource, &value);
        let found = match options.persist {
            Persist::DryRun => self.store.get(&key).await?.0,
            Persist::Store => match self.store.txn(Txn::create(key, stored.clone())).await? {
                TxnOutcome::Committed { revision } => {
                    let encoded = self.encoded(resource, &stored, revision.0);
                    return Ok(Some(Written {
                        encoded,
                        warnings: Vec::new(),
                        gone: None,
                    }));
                }
                TxnOutcome::Conflict { current, .. } => current.into_iter().next().flatten(),
            },
        };
        match found {
            Some(_) if generated => Ok(None),
            Some(found) => {
                let deleting = super::parse(&found).is_ok_and(|o| object::is_deleting(&o));
                Err(ApiError::already_exists(resource.target(&name), deleting))
            }
            None => Ok(Some(Written {
                encoded: super::dry(resource, value),
                warnings: Vec::new(),
                gone: None,
            })),
        }
    }
}

/// Sets or checks the namespace of a new object, and refuses a resourceVersion.
fn place(resource: &Resource, value: &mut Value, namespace: Option<&str>) -> ApiResult<()> {
    let given = object::meta(value, "namespace");
    let expected = namespace.filter(|_| resource.namespaced).unwrap_or("");
    if !given.is_empty() && given != expected {
        return Err(ApiError::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request: {given:?} is not {expected:?}"
        )));
    }
    if !object::meta(value, "resourceVersion").is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if !expected.is_empty() {
        value["metadata"]["namespace"] = Value::from(expected);
    }
    Ok(())
}

fn nameless(resource: &Resource) -> ApiError {
    use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
    let path = Path::root("metadata").child("name");
    let error = FieldError::new(path, ErrorKind::Required, "name or generateName is required");
    ApiError::invalid(resource.kind_target(""), &[error])
}
