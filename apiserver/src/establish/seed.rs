//! The definitions of our own kinds, put into the store at the start, so that they are listed, explained and watched like
//! anybody's. What they say is this program's to say: a newer one brings its own, and [`Guard`] keeps others from changing them.

use std::sync::LazyLock;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::admission::{Operation, Remarks, Request, Step};
use crate::registry::Resource;
use crate::registry::objects::{Edit, Objects, Part, Submitted, UpdateOptions, Versioned, WriteOptions};
use crate::status::{ApiError, ApiResult};

/// The names of the definitions of our own kinds, in the order of the table of kinds.
pub(super) fn own_names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let rows = breakbulk_schemas::kinds::ALL.iter();
        rows.filter_map(|row| row.crd().metadata.name).collect()
    });
    &NAMES
}

/// Writes the definitions of our own kinds where they differ. False when that has to be tried again.
pub(super) async fn own_kinds(objects: &Objects, definitions: &Resource) -> bool {
    let mut done = true;
    for row in breakbulk_schemas::kinds::ALL {
        let crd = row.crd();
        let name = crd.metadata.name.clone().unwrap_or_default();
        let written = match serde_json::to_value(&crd) {
            Ok(object) => write(objects, definitions, &name, object).await,
            Err(_) => Err(ApiError::internal("a definition of our own cannot be written")),
        };
        if let Err(error) = written {
            tracing::warn!(%error, name, "cannot store the definition of a kind of this server; trying again");
            done = false;
        }
    }
    done
}

async fn write(objects: &Objects, definitions: &Resource, name: &str, object: Value) -> ApiResult<()> {
    let options = WriteOptions::server();
    if objects.cached(definitions, None, name).is_none() {
        let created = objects
            .create(definitions, None, Submitted::plain(object.clone()), &options)
            .await;
        match created {
            Err(error) if error.reason() == "AlreadyExists" => {}
            other => return other.map(drop),
        }
    }
    let options = UpdateOptions {
        part: Part::Main,
        versioned: Versioned::Optional,
        write: options,
    };
    let edit = SetSpec(object["spec"].clone());
    objects.update(definitions, None, name, &options, &edit).await.map(drop)
}

struct SetSpec(Value);

#[async_trait]
impl Edit for SetSpec {
    async fn apply(&self, mut old: Value) -> ApiResult<Submitted> {
        old["spec"] = self.0.clone();
        Ok(Submitted::plain(old))
    }
}

/// Keeps the definitions of our own kinds as they are.
pub(crate) struct Guard;

#[async_trait]
impl Step for Guard {
    async fn validate(&self, _: &Objects, request: &Request<'_>, _: &mut Remarks) -> ApiResult<()> {
        let is_definition = request.resource.plural == "customresourcedefinitions";
        if !is_definition || !own_names().iter().any(|name| name == request.name) {
            return Ok(());
        }
        let spec = |object: Option<&Value>| object.map_or_else(|| json!(null), |object| object["spec"].clone());
        let same = request.operation == Operation::Update && spec(request.old) == spec(request.new);
        if same && request.subresource != "status" {
            return Ok(());
        }
        let why = "the definition of a kind of the server itself is the server's to write";
        Err(ApiError::forbidden(request.resource.target(request.name), why))
    }
}
