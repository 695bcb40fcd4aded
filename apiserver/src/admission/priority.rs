//! PriorityClasses: at most one is the default of all (the part of upstream's Priority that concerns the classes
//! themselves), and those of the system stay. [`ensure`] makes the latter when a server starts.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Operation, Remarks, Request, Step};
use crate::registry::object;
use crate::registry::objects::{Objects, Submitted, WriteOptions};
use crate::registry::rules::SYSTEM_PRIORITIES;
use crate::status::{ApiError, ApiResult};

/// The step.
pub struct PriorityClasses;

/// Makes the classes of the system that are missing.
///
/// # Errors
/// A store that does not answer.
pub(crate) async fn ensure(objects: &Objects) -> ApiResult<()> {
    let Some(classes) = objects.registry.find("scheduling.k8s.io", "v1", "priorityclasses") else {
        return Ok(());
    };
    for (name, value) in SYSTEM_PRIORITIES {
        if objects.cached(&classes, None, name).is_some() {
            continue;
        }
        let submitted = Submitted::plain(json!({
            "metadata": {"name": name},
            "value": value,
            "description": description(name),
        }));
        match objects.create(&classes, None, submitted, &WriteOptions::server()).await {
            Err(error) if error.reason() != "AlreadyExists" => return Err(error),
            // Another server of the fleet was faster, with the same.
            _ => {}
        }
    }
    Ok(())
}

fn description(name: &str) -> &'static str {
    match name {
        "system-node-critical" => "For what the system needs on a node, and what must stay there.",
        _ => "For what the system needs, wherever it runs.",
    }
}

#[async_trait]
impl Step for PriorityClasses {
    async fn validate(&self, objects: &Objects, request: &Request<'_>, _: &mut Remarks) -> ApiResult<()> {
        let resource = request.resource;
        let about = resource.group == "scheduling.k8s.io" && resource.plural == "priorityclasses";
        let of_system = || SYSTEM_PRIORITIES.iter().any(|(name, _)| *name == request.name);
        if about && request.operation == Operation::Delete && of_system() {
            let why = "this is a system priority class and cannot be deleted";
            return Err(ApiError::forbidden(resource.target(request.name), why));
        }
        let Some(new) = request.new.filter(|_| about && request.operation != Operation::Delete) else {
            return Ok(());
        };
        if new["globalDefault"] != true {
            return Ok(());
        }
        objects.cacher.catch_up().await?;
        let classes = resource.storage.cache.list("", None, 0).entries;
        let other = classes.iter().map(|entry| entry.parsed()).find(|class: &Value| {
            class["globalDefault"] == true && object::meta(class, "name") != object::meta(new, "name")
        });
        let Some(other) = other else { return Ok(()) };
        let why = format!(
            "PriorityClass {} is already marked as default. Only one default can exist",
            object::meta(&other, "name")
        );
        Err(ApiError::forbidden(resource.target(request.name), why))
    }
}
