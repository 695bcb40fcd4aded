//! What PUT and PATCH make of an object, and the same for its scale.

use std::sync::Arc;

use async_trait::async_trait;
use breakbulk_structured_merge::Force;
use serde_json::Value;

use super::negotiate::PatchFormat;
use crate::managed;
use crate::patch::{self, PatchError};
use crate::registry::objects::{Edit, Origin, Part, Submitted};
use crate::registry::{Resource, ScalePaths, object};
use crate::status::{ApiError, ApiResult};

/// PUT: the object is to be this.
pub(super) struct Replace(pub(super) Submitted);

#[async_trait]
impl Edit for Replace {
    async fn apply(&self, _: Value) -> ApiResult<Submitted> {
        Ok(self.0.clone())
    }
}

/// PATCH in one of the formats that change what is there.
pub(super) struct Patch {
    /// How it is written.
    pub(super) format: PatchFormat,
    /// The patch.
    pub(super) document: Arc<Value>,
    /// Paths of members that stand twice in it.
    pub(super) duplicates: Vec<String>,
    /// How objects of the kind merge: strategic patches depend on it.
    pub(super) rules: Option<patch::strategic::Rules<'static>>,
}

#[async_trait]
impl Edit for Patch {
    async fn apply(&self, old: Value) -> ApiResult<Submitted> {
        let mut new = old;
        let patch = &*self.document;
        match (self.format, self.rules) {
            (PatchFormat::Json, _) => patch::json::apply(&mut new, patch),
            (PatchFormat::Strategic, Some(rules)) => patch::strategic::apply(&mut new, patch, rules),
            // A scale has no owners of its own: to apply one is to set its number.
            (PatchFormat::Merge | PatchFormat::Strategic | PatchFormat::Apply, _) => {
                patch::merge::apply(&mut new, patch);
                Ok(())
            }
        }
        .map_err(refused)?;
        let origin = match self.format {
            PatchFormat::Json => Origin::JsonPatch,
            PatchFormat::Merge | PatchFormat::Apply => Origin::MergePatch,
            PatchFormat::Strategic => Origin::StrategicPatch(self.document.clone()),
        };
        Ok(Submitted {
            object: new,
            duplicates: self.duplicates.clone(),
            origin,
        })
    }
}

/// Server-side apply: what a manager wants, merged into what is there.
pub(super) struct Apply<'a> {
    /// The kind.
    pub(super) resource: &'a Resource,
    /// Which part of it.
    pub(super) part: &'a Part,
    /// What is wanted.
    pub(super) config: &'a Value,
    /// By whom.
    pub(super) manager: &'a str,
    /// Whether fields of others are taken.
    pub(super) force: Force,
}

impl Apply<'_> {
    /// The object that follows.
    pub(super) async fn to(&self, live: Option<&Value>) -> ApiResult<Submitted> {
        let object = managed::apply(self.resource, self.part, live, self.config, self.manager, self.force);
        object.await.map(Submitted::plain)
    }
}

#[async_trait]
impl Edit for Apply<'_> {
    async fn apply(&self, old: Value) -> ApiResult<Submitted> {
        let version = object::meta(self.config, "resourceVersion");
        if !version.is_empty() && version != object::meta(&old, "resourceVersion") {
            let name = object::meta(&old, "name");
            return Err(ApiError::modified(self.resource.target(name)));
        }
        self.to(Some(&old)).await
    }
}

fn refused(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(why) => ApiError::bad_request(why),
        PatchError::Failed(why) => ApiError::unprocessable(why),
        PatchError::TooManyOperations { limit, got } => ApiError::too_many_operations(got, limit),
    }
}

/// An edit of an object's Scale, carried over to the object.
pub(super) struct ScaleEdit<E> {
    /// Where the object has its replicas.
    pub(super) paths: ScalePaths,
    /// The edit.
    pub(super) inner: E,
}

#[async_trait]
impl<E: Edit> Edit for ScaleEdit<E> {
    async fn apply(&self, old: Value) -> ApiResult<Submitted> {
        let wanted = self.inner.apply(self.paths.scale_of(&old)).await?.object;
        for field in ["resourceVersion", "uid"] {
            let (given, is) = (object::meta(&wanted, field), object::meta(&old, field));
            if !given.is_empty() && given != is {
                return Err(ApiError::modified(crate::status::Target::new(
                    "",
                    "",
                    object::meta(&old, "name"),
                )));
            }
        }
        let replicas = match &wanted["spec"]["replicas"] {
            Value::Null => 0,
            given => given
                .as_i64()
                .and_then(|n| i32::try_from(n).ok())
                .ok_or_else(|| ApiError::bad_request("spec.replicas: must be a 32-bit number"))?,
        };
        if replicas < 0 {
            return Err(ApiError::unprocessable(
                "spec.replicas: Invalid value: must be greater than or equal to 0",
            ));
        }
        let mut new = old;
        self.paths.set_replicas(&mut new, replicas);
        Ok(Submitted::plain(new))
    }
}
