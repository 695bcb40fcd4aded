//! Create, replace, patch, delete: from a request to the registry's call and back.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::negotiate::{Format, PatchFormat, Shape};
use super::query::Query;
use super::respond::{self, Answer};
use super::shapes::{self, ListHead, RowObject, bytes_of};
use super::{App, ObjectPath, body, list, negotiate, query, watch};
use crate::admission;
use crate::authentication::Identity;
use crate::openapi;
use crate::patch::{self, PatchError};
use crate::registry::objects::{DeleteOptions, Deleted, Part, Persist, Submitted, UpdateOptions, Written};
use crate::registry::{Resource, object};
use crate::status::{ApiError, ApiResult};

/// A request to one resource, past authorization.
pub(super) struct Target<'a> {
    /// The server.
    pub(super) app: &'a Arc<App>,
    /// The resource.
    pub(super) resource: &'a Resource,
    /// The path.
    pub(super) path: &'a ObjectPath,
    /// The query.
    pub(super) query: &'a Query,
    /// The headers.
    pub(super) headers: &'a HeaderMap,
    /// Who asks.
    pub(super) identity: &'a Identity,
}

impl Target<'_> {
    fn namespace(&self) -> Option<&str> {
        self.path.namespace.as_deref()
    }

    fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or("")
    }

    fn part(&self) -> ApiResult<Part> {
        match self.path.subresource.as_deref() {
            None => Ok(Part::Main),
            Some("status") if self.resource.subresources.status => Ok(Part::Status),
            Some("finalize") if self.resource.subresources.finalize => Ok(Part::Finalize),
            Some(_) => Err(ApiError::no_such_path()),
        }
    }

    fn shape(&self) -> ApiResult<(Shape, RowObject)> {
        Ok((
            negotiate::shape(self.headers)?,
            RowObject::parse(self.query.get("includeObject"))?,
        ))
    }

    async fn answer(&self, code: StatusCode, written: Written) -> ApiResult<Answer> {
        if let Some(object) = &written.gone {
            self.app.forget(self.resource, object, Persist::Store).await;
        }
        let (shape, rows) = self.shape()?;
        let mut answer = respond::encoded(code, shapes::object(self.resource, written.encoded, shape, rows)?);
        respond::warn(&mut answer, &written.warnings);
        Ok(answer)
    }

    /// POST.
    pub(super) async fn create(&self, request: Body) -> ApiResult<Answer> {
        if self.resource.namespaced && self.namespace().is_none() {
            return Err(ApiError::method_not_allowed());
        }
        let options = self.query.write_options()?;
        self.shape()?;
        let format = negotiate::body_format(self.headers)?;
        let submitted = body::parse(&body::read(request).await?, format)?;
        if let Some(node) = self.identity.node()
            && matches!(self.resource.plural.as_str(), "nodes" | "leases")
            && object::meta(&submitted.object, "name") != node
        {
            let why = format!("node {node:?} may only create what bears its own name");
            return Err(ApiError::forbidden(
                self.resource.target(object::meta(&submitted.object, "name")),
                why,
            ));
        }
        let objects = &self.app.objects;
        admission::admit_create(objects, self.resource, self.namespace()).await?;
        let written = objects
            .create(self.resource, self.namespace(), submitted, options)
            .await?;
        self.answer(StatusCode::CREATED, written).await
    }

    /// PUT.
    pub(super) async fn replace(&self, request: Body) -> ApiResult<Answer> {
        let part = self.part()?;
        let write = self.query.write_options()?;
        self.shape()?;
        let format = negotiate::body_format(self.headers)?;
        let submitted = body::parse(&body::read(request).await?, format)?;
        let options = UpdateOptions {
            part,
            versioned: true,
            write,
        };
        let change = move |_| Ok(submitted.clone());
        let written = self
            .app
            .objects
            .update(self.resource, self.namespace(), self.name(), options, &change)
            .await?;
        self.answer(StatusCode::OK, written).await
    }

    /// PATCH.
    pub(super) async fn patch(&self, request: Body) -> ApiResult<Answer> {
        let part = self.part()?;
        let write = self.query.write_options()?;
        self.shape()?;
        let rules = openapi::merge_rules(&self.resource.group, &self.resource.version, &self.resource.kind);
        let format = negotiate::patch_format(self.headers, rules.is_some())?;
        let document = body::parse_json(&body::read(request).await?)?;
        if format != PatchFormat::Json && !document.object.is_object() {
            return Err(ApiError::bad_request("a merge patch must be a JSON object"));
        }
        let (resource, name) = (self.resource, self.name());
        let change = move |old: Value| {
            let mut new = old;
            match (format, rules) {
                (PatchFormat::Json, _) => patch::json::apply(&mut new, &document.object),
                (PatchFormat::Strategic, Some(rules)) => patch::strategic::apply(&mut new, &document.object, rules),
                (PatchFormat::Merge | PatchFormat::Strategic, _) => {
                    patch::merge::apply(&mut new, &document.object);
                    Ok(())
                }
            }
            .map_err(patch_error)?;
            Ok(Submitted {
                object: new,
                duplicates: document.duplicates.clone(),
            })
        };
        let options = UpdateOptions {
            part,
            versioned: false,
            write,
        };
        let written = self
            .app
            .objects
            .update(resource, self.namespace(), name, options, &change)
            .await?;
        self.answer(StatusCode::OK, written).await
    }

    /// DELETE of one object.
    pub(super) async fn delete(&self, request: Body) -> ApiResult<Answer> {
        if self.path.subresource.is_some() {
            return Err(ApiError::method_not_allowed());
        }
        let options = self.delete_options(request).await?;
        let (shape, rows) = self.shape()?;
        let deleted = self
            .app
            .objects
            .delete(self.resource, self.namespace(), self.name(), &options)
            .await?;
        match deleted {
            Deleted::Marked(encoded) => Ok(respond::encoded(
                StatusCode::OK,
                shapes::object(self.resource, encoded, shape, rows)?,
            )),
            Deleted::Gone { object, .. } => {
                self.app.forget(self.resource, &object, options.persist).await;
                Ok(respond::json(StatusCode::OK, &success(self.resource, &object)))
            }
        }
    }

    /// DELETE of a collection.
    pub(super) async fn delete_collection(&self, request: Body) -> ApiResult<Answer> {
        let options = self.delete_options(request).await?;
        let selection = self.query.list_options(self.resource)?;
        let page = list::list(self.app, self.resource, self.namespace(), &selection).await?;
        let mut gone: Vec<Bytes> = Vec::new();
        for item in &page.items {
            let object: Value = serde_json::from_slice(item).unwrap_or(Value::Null);
            let namespace = Some(object::meta(&object, "namespace")).filter(|n| !n.is_empty());
            match self
                .app
                .objects
                .delete(self.resource, namespace, object::meta(&object, "name"), &options)
                .await
            {
                Ok(Deleted::Gone { object, encoded }) => {
                    self.app.forget(self.resource, &object, options.persist).await;
                    gone.push(encoded);
                }
                Ok(Deleted::Marked(encoded)) => gone.push(encoded),
                // Somebody else was faster, or it has changed: what is wanted is that it goes, and it does or will.
                Err(error) if matches!(error.code(), 404 | 409) => {}
                Err(error) => return Err(error),
            }
        }
        let (shape, rows) = self.shape()?;
        let head = ListHead {
            revision: page.head.revision,
            ..ListHead::default()
        };
        Ok(respond::encoded(
            StatusCode::OK,
            shapes::list(self.resource, &gone, &head, shape, rows)?,
        ))
    }

    async fn delete_options(&self, request: Body) -> ApiResult<DeleteOptions> {
        let mut options = self.query.delete_options()?;
        let bytes = body::read(request).await?;
        if bytes.is_empty() {
            return Ok(options);
        }
        let format = negotiate::body_format(self.headers).unwrap_or(Format::Json);
        let given = body::parse(&bytes, format)?.object;
        let stages = given["dryRun"].as_array();
        if let Some(stages) = stages {
            options.persist = query::persist(stages.iter().filter_map(Value::as_str))?;
        }
        let policy = query::propagation(given["propagationPolicy"].as_str(), given["orphanDependents"].as_bool())?;
        options.propagation = policy.or(options.propagation);
        options.uid = given["preconditions"]["uid"].as_str().map(str::to_owned);
        options.resource_version = given["preconditions"]["resourceVersion"].as_str().map(str::to_owned);
        Ok(options)
    }

    /// GET of one object.
    pub(super) async fn get(&self) -> ApiResult<Answer> {
        self.part()?;
        let (shape, rows) = self.shape()?;
        let encoded = match self.query.number("resourceVersion")? {
            Some(revision) => {
                let cacher = &self.app.objects.cacher;
                cacher.wait_for(revision).await?;
                let entry = self.app.objects.cached(self.resource, self.namespace(), self.name());
                let entry = entry.ok_or_else(|| ApiError::not_found(self.resource.target(self.name())))?;
                bytes_of(self.resource, &entry).clone()
            }
            None => {
                self.app
                    .objects
                    .get(self.resource, self.namespace(), self.name())
                    .await?
            }
        };
        Ok(respond::encoded(
            StatusCode::OK,
            shapes::object(self.resource, encoded, shape, rows)?,
        ))
    }

    /// GET with `watch=true`.
    pub(super) async fn watch(&self, resource: Arc<Resource>) -> ApiResult<Answer> {
        let mut options = self.query.list_options(self.resource)?;
        if let Some(name) = &self.path.name {
            options.filter = options.filter.named(name);
        }
        let (shape, rows) = self.shape()?;
        let body = watch::watch(self.app.clone(), resource, self.namespace(), options, shape, rows).await?;
        let mut answer = respond::encoded(StatusCode::OK, Bytes::new());
        *answer.body_mut() = body;
        Ok(answer)
    }

    /// GET of a collection.
    pub(super) async fn list(&self) -> ApiResult<Answer> {
        let options = self.query.list_options(self.resource)?;
        let (shape, rows) = self.shape()?;
        if shape == Shape::Metadata {
            return Err(ApiError::not_acceptable("application/json, application/yaml"));
        }
        let page = list::list(self.app, self.resource, self.namespace(), &options).await?;
        Ok(respond::encoded(
            StatusCode::OK,
            shapes::list(self.resource, &page.items, &page.head, shape, rows)?,
        ))
    }
}

fn patch_error(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(why) => ApiError::bad_request(why),
        PatchError::Failed(why) => ApiError::unprocessable(why),
        PatchError::TooManyOperations { limit, got } => ApiError::too_many_operations(got, limit),
    }
}

fn success(resource: &Resource, object: &Value) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": object::meta(object, "name"),
            "group": resource.group,
            "kind": resource.plural,
            "uid": object::meta(object, "uid"),
        },
    })
}
