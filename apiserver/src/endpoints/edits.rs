//! What PUT and PATCH make of an object, and the same for its scale.

use async_trait::async_trait;
use serde_json::Value;

use super::negotiate::PatchFormat;
use crate::patch::{self, PatchError};
use crate::registry::ScalePaths;
use crate::registry::object;
use crate::registry::objects::{Change, Edit, Submitted};
use crate::status::{ApiError, ApiResult};

/// PUT: the object is to be this.
pub(super) struct Replace(pub(super) Submitted);

#[async_trait]
impl Edit for Replace {
    async fn apply(&self, _: Value) -> ApiResult<Change> {
        Ok(Change::To(self.0.clone()))
    }
}

/// PATCH in one of the formats that change what is there.
pub(super) struct Patch {
    /// How it is written.
    pub(super) format: PatchFormat,
    /// The patch.
    pub(super) document: Submitted,
    /// The kind of the object: strategic merges depend on it.
    pub(super) kind: String,
}

#[async_trait]
impl Edit for Patch {
    async fn apply(&self, old: Value) -> ApiResult<Change> {
        let mut new = old;
        let patch = &self.document.object;
        match self.format {
            PatchFormat::Json => patch::json::apply(&mut new, patch),
            PatchFormat::Strategic => patch::strategic::apply(&mut new, patch, &self.kind),
            PatchFormat::Merge => {
                patch::merge::apply(&mut new, patch);
                Ok(())
            }
        }
        .map_err(refused)?;
        Ok(Change::To(Submitted {
            object: new,
            duplicates: self.document.duplicates.clone(),
        }))
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
    async fn apply(&self, old: Value) -> ApiResult<Change> {
        let (Change::To(wanted) | Change::Applied(wanted)) = self.inner.apply(self.paths.scale_of(&old)).await?;
        let wanted = wanted.object;
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
        Ok(Change::To(Submitted {
            object: new,
            duplicates: Vec::new(),
        }))
    }
}
