//! A request as those see it who are asked about it: its objects in the version that they want, and at `scale` the Scale.

use std::sync::Arc;

use serde_json::{Value, json};

use super::matching::{self, Version};
use super::{Operation, Request};
use crate::authentication::Identity;
use crate::registry::objects::Persist;
use crate::registry::{Resource, ScalePaths, Sub};
use crate::status::{ApiError, ApiResult};

/// A request in a version.
pub(super) struct View<'a> {
    request: &'a Request<'a>,
    other: Option<Arc<Resource>>,
    /// The object as it will be; null when it goes.
    pub(super) object: Value,
    /// The object as it is; null when it comes to be.
    pub(super) old: Value,
}

impl<'a> View<'a> {
    /// Of a request whose object is now to be `new`.
    ///
    /// # Errors
    /// When objects cannot be converted.
    pub(super) async fn new(request: &'a Request<'a>, version: &Version, new: Option<&Value>) -> ApiResult<Self> {
        let other = match version {
            Version::AsAsked => None,
            Version::Other(other) => Some(other.clone()),
        };
        let mut view = Self {
            request,
            other,
            object: Value::Null,
            old: Value::Null,
        };
        view.object = view.outside(new).await?;
        view.old = view.outside(request.old).await?;
        Ok(view)
    }

    async fn outside(&self, object: Option<&Value>) -> ApiResult<Value> {
        let Some(object) = object else {
            return Ok(Value::Null);
        };
        if let Some(paths) = self.scale() {
            return Ok(paths.scale_of(object));
        }
        match &self.other {
            None => Ok(object.clone()),
            Some(other) => self.request.resource.to_version_of(other, object.clone()).await,
        }
    }

    /// What `changed`, an object of this view, makes of the request's object.
    ///
    /// # Errors
    /// When it is not the same kind of object any more, or cannot be converted.
    pub(super) async fn inside(&self, changed: Value, new: &mut Value) -> ApiResult<()> {
        let same = |field: &str| changed.get(field) == self.object.get(field);
        if !changed["metadata"].is_object() || !same("apiVersion") || !same("kind") {
            return Err(ApiError::internal("a webhook made another kind of object of it"));
        }
        if let Some(paths) = self.scale() {
            let replicas = changed["spec"]["replicas"].as_i64();
            let replicas = replicas
                .and_then(|count| i32::try_from(count).ok())
                .filter(|count| *count >= 0);
            let replicas = replicas.ok_or_else(|| ApiError::internal("a webhook made no Scale of a Scale"))?;
            paths.set_replicas(new, replicas);
            return Ok(());
        }
        *new = match &self.other {
            None => changed,
            Some(other) => other.to_version_of(self.request.resource, changed).await?,
        };
        Ok(())
    }

    fn scale(&self) -> Option<&ScalePaths> {
        let resource = self.request.resource;
        match &resource.subresource(self.request.subresource)?.what {
            Sub::Scale(paths) => Some(paths),
            _ => None,
        }
    }

    /// The row in whose version the objects are.
    pub(super) fn row(&self) -> &Resource {
        self.other.as_deref().unwrap_or(self.request.resource)
    }

    /// The request without its objects, as an AdmissionReview carries it and as `request` in expressions.
    pub(super) fn describe(&self, uid: &str) -> Value {
        let request = self.request;
        let identity = request.identity;
        let kind = |row: &Resource| match row.subresource(request.subresource).and_then(|sub| sub.kind) {
            Some(own) => json!({"group": own.group, "version": own.version, "kind": own.kind}),
            None => json!({"group": row.group, "version": row.version, "kind": row.kind}),
        };
        let resource = |row: &Resource| json!({"group": row.group, "version": row.version, "resource": row.plural});
        let mut described = json!({
            "uid": uid,
            "kind": kind(self.row()),
            "resource": resource(self.row()),
            "requestKind": kind(request.resource),
            "requestResource": resource(request.resource),
            "operation": request.operation.name(),
            "userInfo": user(identity),
            "dryRun": request.persist == Persist::DryRun,
            "options": options(request),
        });
        for (field, text) in [
            ("subResource", request.subresource),
            ("requestSubResource", request.subresource),
            ("name", request.name),
            ("namespace", matching::namespace(request)),
        ] {
            if !text.is_empty() {
                described[field] = json!(text);
            }
        }
        described
    }
}

fn user(identity: &Identity) -> Value {
    let mut user = json!({"username": identity.user, "groups": identity.groups});
    if !identity.uid.is_empty() {
        user["uid"] = json!(identity.uid);
    }
    if !identity.extra.is_empty() {
        user["extra"] = json!(identity.extra);
    }
    user
}

/// The options of the operation, whatever the client's verb: a patch is an update here, or a create, and has their options
/// (`endpoints/handlers/patch.go`, `patchToUpdateOptions`).
fn options(request: &Request<'_>) -> Value {
    let said = request.said;
    let mut options = match (&request.operation, &said.deletion) {
        (Operation::Delete, Some(deletion)) => json!(**deletion),
        _ => json!({}),
    };
    let kind = match request.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
    };
    options["kind"] = json!(kind);
    options["apiVersion"] = json!("meta.k8s.io/v1");
    if request.persist == Persist::DryRun {
        options["dryRun"] = json!(["All"]);
    }
    if request.operation == Operation::Delete {
        return options;
    }
    if let Some(manager) = &said.manager {
        options["fieldManager"] = json!(manager);
    }
    if let Some(validation) = said.field_validation {
        options["fieldValidation"] = json!(validation.name());
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::objects::Said;
    use crate::registry::{Accepting, definition_rows};

    #[tokio::test]
    async fn at_scale_the_scale_is_seen_and_only_its_replicas_are_taken() {
        let definition = json!({
            "metadata": {"name": "foos.g.dev"},
            "spec": {
                "group": "g.dev", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    "subresources": {"scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
                }],
            },
        });
        let rows = definition_rows(&serde_json::from_value(definition).unwrap(), Accepting::All, None, None).unwrap();
        let object = json!({"apiVersion": "g.dev/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"n": 3}});
        let identity = Identity::anonymous();
        let request = Request {
            identity: &identity,
            operation: Operation::Update,
            resource: &rows.resources[0],
            subresource: "scale",
            namespace: Some("default"),
            name: "a",
            old: Some(&object),
            new: Some(&object),
            persist: Persist::Store,
            said: &Said::default(),
        };
        let view = View::new(&request, &Version::AsAsked, Some(&object)).await.unwrap();
        assert_eq!(
            (&view.object["kind"], &view.object["spec"]),
            (&json!("Scale"), &json!({"replicas": 3}))
        );
        let described = view.describe("u");
        assert_eq!(
            described["kind"],
            json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
        );
        assert_eq!(
            (&described["subResource"], &described["resource"]["resource"]),
            (&json!("scale"), &json!("foos"))
        );
        let mut changed = view.object.clone();
        changed["spec"] = json!({"replicas": 5, "other": 1});
        let mut new = object.clone();
        view.inside(changed.clone(), &mut new).await.unwrap();
        assert_eq!(new["spec"], json!({"n": 5}));
        changed["spec"]["replicas"] = json!(-1);
        assert!(view.inside(changed, &mut new).await.is_err());
    }
}
