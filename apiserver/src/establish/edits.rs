//! What the follower of definitions writes: their status, and the end of their deletion.

use async_trait::async_trait;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionStatus,
};
use serde_json::{Value, json};

use crate::registry::objects::{Edit, Objects, Part, Submitted, UpdateOptions, Versioned, WriteOptions};
use crate::registry::{Resource, object};
use crate::status::{ApiError, ApiResult};

/// The status that follows from the definition as it was at a revision.
struct SetStatus {
    revision: String,
    status: Value,
}

#[async_trait]
impl Edit for SetStatus {
    async fn apply(&self, mut old: Value) -> ApiResult<Submitted> {
        if object::meta(&old, "resourceVersion") != self.revision {
            return Err(ApiError::modified(crate::status::Target::default()));
        }
        old["status"] = self.status.clone();
        Ok(Submitted::plain(old))
    }
}

struct TakeOff<'a>(&'a str);

#[async_trait]
impl Edit for TakeOff<'_> {
    async fn apply(&self, mut old: Value) -> ApiResult<Submitted> {
        let left: Vec<&str> = object::finalizers(&old)
            .into_iter()
            .filter(|name| *name != self.0)
            .collect();
        old["metadata"]["finalizers"] = json!(left);
        Ok(Submitted::plain(old))
    }
}

fn options(part: Part) -> UpdateOptions {
    UpdateOptions {
        part,
        versioned: Versioned::Optional,
        write: WriteOptions::server(),
    }
}

/// Writes a status. That the definition has changed or gone meanwhile is no error: the next round sees it.
pub(super) async fn write_status(
    objects: &Objects,
    definitions: &Resource,
    crd: &CustomResourceDefinition,
    status: &CustomResourceDefinitionStatus,
) -> ApiResult<()> {
    let edit = SetStatus {
        revision: crd.metadata.resource_version.clone().unwrap_or_default(),
        status: serde_json::to_value(status).map_err(|_| ApiError::internal("a status cannot be written"))?,
    };
    let name = crd.metadata.name.as_deref().unwrap_or_default();
    let written = objects
        .update(definitions, None, name, &options(Part::Status), &edit)
        .await;
    passing(written.map(drop))
}

/// Takes a finalizer off; the last one lets the object go.
pub(super) async fn take_off_finalizer(
    objects: &Objects,
    definitions: &Resource,
    name: &str,
    finalizer: &str,
) -> ApiResult<()> {
    let edit = TakeOff(finalizer);
    let written = objects
        .update(definitions, None, name, &options(Part::Main), &edit)
        .await;
    passing(written.map(drop))
}

/// Somebody else was faster, or it is gone: what is to be done then is another round's to say.
fn passing(written: ApiResult<()>) -> ApiResult<()> {
    match written {
        Err(error) if matches!(error.code(), 404 | 409) => Ok(()),
        other => other,
    }
}
