//! Create, replace, patch, delete: from a request to the registry's call and back.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::deletion::{self, Deletion};
use super::edits::{Patch, Replace, ScaleEdit};
use super::lines::Framing;
use super::negotiate::{Format, Known, Media, PatchFormat, Shape, Strategic};
use super::query::Query;
use super::respond::{self, Answer};
use super::shapes::{self, RowObject};
use super::{App, ObjectPath, body, list, negotiate, query, watch};
use crate::authentication::Identity;
use crate::cacher::Entry;
use crate::openapi;
use crate::registry::objects::{
    DeleteOptions, Deleted, Edit, Part, Persist, Submitted, UpdateOptions, Versioned, WriteOptions, Written,
};
use crate::registry::{Accepting, Resource, Sub, object};
use crate::status::{ApiError, ApiResult};

/// Objects of a collection that are deleted at the same time: as many as the store writes together.
const DELETED_AT_ONCE: usize = 64;

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
    pub(super) identity: &'a Arc<Identity>,
}

impl Target<'_> {
    pub(super) fn namespace(&self) -> Option<&str> {
        self.path.namespace.as_deref()
    }

    pub(super) fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or("")
    }

    fn part(&self) -> ApiResult<Part> {
        let Some(name) = self.path.subresource.as_deref() else {
            return Ok(Part::Main);
        };
        let sub = self.resource.subresource(name).ok_or_else(ApiError::no_such_path)?;
        match &sub.what {
            Sub::Status => Ok(Part::Status),
            Sub::Finalize => Ok(Part::Finalize),
            Sub::Scale(paths) => Ok(Part::Scale(paths.clone())),
            Sub::Log | Sub::Other(_) => Err(ApiError::method_not_allowed()),
        }
    }

    fn shape(&self) -> ApiResult<(Shape, RowObject)> {
        Ok((
            negotiate::shape(self.headers)?,
            RowObject::parse(self.query.get("includeObject"))?,
        ))
    }

    fn user_agent(&self) -> &str {
        self.headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    fn write_options(&self) -> ApiResult<WriteOptions> {
        self.query.write_options(self.identity, self.user_agent())
    }

    pub(super) async fn answer(&self, code: StatusCode, written: Written) -> ApiResult<Answer> {
        if let Some(object) = &written.gone {
            self.app.forget(self.resource, object, Persist::Store).await;
        }
        let (shape, rows) = self.shape()?;
        let mut warnings = written.warnings;
        warnings.extend(self.resource.definition().and_then(|d| d.deprecation.clone()));
        let mut answer = respond::encoded(code, shapes::object(self.resource, written.encoded, shape, rows)?);
        respond::warn(&mut answer, &warnings);
        Ok(answer)
    }

    /// POST.
    pub(super) async fn create(&self, request: Body) -> ApiResult<Answer> {
        if self.resource.namespaced && self.namespace().is_none() {
            return Err(ApiError::method_not_allowed());
        }
        if self.resource.accepting == Accepting::NothingNew {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(ApiError::method_not_allowed_because(why));
        }
        let options = self.write_options()?;
        self.shape()?;
        let format = negotiate::body_format(self.headers)?;
        let (submitted, repeated) = self.document(request, format, &options).await?;
        self.only_its_own(&submitted.object)?;
        let objects = &self.app.objects;
        let mut written = objects
            .create(self.resource, self.namespace(), submitted, &options)
            .await?;
        written.warnings.extend(repeated);
        self.answer(StatusCode::CREATED, written).await
    }

    /// A node creates only what bears its name.
    fn only_its_own(&self, object: &Value) -> ApiResult<()> {
        let Some(node) = self.identity.node() else {
            return Ok(());
        };
        let name = object::meta(object, "name");
        if !matches!(self.resource.plural.as_str(), "nodes" | "leases") || name == node {
            return Ok(());
        }
        let why = format!("node {node:?} may only create what bears its own name");
        Err(ApiError::forbidden(self.resource.target(name), why))
    }

    /// Whether the client may also create the object: an apply may come to that.
    pub(super) fn may_create(&self) -> ApiResult<()> {
        let path = format!("{}/{}", self.resource.plural, self.name());
        super::permit(
            self.app,
            self.identity,
            self.resource,
            self.path,
            self.query,
            "create",
            &path,
        )
    }

    /// PUT.
    pub(super) async fn replace(&self, request: Body) -> ApiResult<Answer> {
        let part = self.part()?;
        let write = self.write_options()?;
        self.shape()?;
        let format = negotiate::body_format(self.headers)?;
        let (submitted, repeated) = self.document(request, format, &write).await?;
        let replace = Replace(submitted);
        let mut answer = self.write(part, Versioned::Required, write, replace).await?;
        respond::warn(&mut answer, repeated.as_slice());
        Ok(answer)
    }

    /// A body that is a whole object, and a warning about a key that YAML has twice.
    async fn document(
        &self,
        request: Body,
        format: Format,
        write: &WriteOptions,
    ) -> ApiResult<(Submitted, Option<String>)> {
        let bytes = body::read(request).await?;
        let submitted = body::parse(&bytes, format)?;
        let (kind, version) = (&self.resource.kind, &self.resource.version);
        let refusal = format!("{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error");
        let repeated = body::repeated_key(&bytes, format);
        Ok((submitted, write.field_validation.judge(repeated, &refusal)?))
    }

    /// PATCH.
    pub(super) async fn patch(&self, request: Body) -> ApiResult<Answer> {
        let part = self.part()?;
        let write = self.write_options()?;
        self.shape()?;
        let strategic = if openapi::takes_strategic(self.resource) {
            Strategic::Taken
        } else {
            Strategic::Refused
        };
        let format = negotiate::patch_format(self.headers, strategic)?;
        let bytes = body::read(request).await?;
        if format == PatchFormat::Apply && !matches!(part, Part::Scale(_)) {
            return self.apply(&part, write, &bytes).await;
        }
        if self.query.get("force").is_some() {
            return Err(query::force_without_apply());
        }
        let document = body::parse_json(&bytes)?;
        if format != PatchFormat::Json && !document.object.is_object() {
            return Err(ApiError::bad_request("a merge patch must be a JSON object"));
        }
        let kind = self.resource;
        let rules = (format == PatchFormat::Strategic)
            .then(|| openapi::merge_rules(&kind.group, &kind.version, &kind.kind))
            .flatten();
        let patch = Patch {
            format,
            document: Arc::new(document.object),
            duplicates: document.duplicates,
            rules,
        };
        self.write(part, Versioned::Optional, write, patch).await
    }

    async fn write(&self, part: Part, versioned: Versioned, write: WriteOptions, edit: impl Edit) -> ApiResult<Answer> {
        let objects = &self.app.objects;
        let options = UpdateOptions { part, versioned, write };
        let Part::Scale(paths) = &options.part else {
            let update = objects.update(self.resource, self.namespace(), self.name(), &options, &edit);
            return self.answer(StatusCode::OK, update.await?).await;
        };
        let edit = ScaleEdit {
            paths: paths.clone(),
            inner: edit,
        };
        let written = objects
            .update(self.resource, self.namespace(), self.name(), &options, &edit)
            .await?;
        let scale = paths.scale_of(&serde_json::from_slice(&written.encoded).unwrap_or(Value::Null));
        let mut answer = respond::json(StatusCode::OK, &scale);
        respond::warn(&mut answer, &written.warnings);
        Ok(answer)
    }

    /// DELETE of one object.
    pub(super) async fn delete(&self, request: Body) -> ApiResult<Answer> {
        if self.path.subresource.is_some() {
            return Err(ApiError::method_not_allowed());
        }
        let Deletion { options, pending } = self.deletion(request).await?;
        let (shape, rows) = self.shape()?;
        let objects = &self.app.objects;
        let deletion = objects
            .delete(self.resource, self.namespace(), self.name(), &options)
            .await?;
        let mut answer = match deletion.outcome {
            Deleted::Marked(encoded) => respond::encoded(pending, shapes::object(self.resource, encoded, shape, rows)?),
            Deleted::Gone { object, encoded } => {
                self.app.forget(self.resource, &object, options.write.persist).await;
                if is_told_whole(self.resource) {
                    respond::encoded(StatusCode::OK, shapes::object(self.resource, encoded, shape, rows)?)
                } else {
                    respond::json(StatusCode::OK, &success(self.resource, &object))
                }
            }
        };
        respond::warn(&mut answer, &deletion.remarks.warnings);
        Ok(answer)
    }

    /// DELETE of a collection.
    pub(super) async fn delete_collection(&self, request: Body) -> ApiResult<Answer> {
        let options = self.deletion(request).await?.options;
        let selection = self.query.list_options(self.resource)?;
        let (shape, rows) = self.shape()?;
        let page = list::list(self.app, self.resource, self.namespace(), &selection).await?;
        let mut gone: Vec<Bytes> = Vec::new();
        let mut deleting = FuturesOrdered::new();
        for entry in &page.entries {
            if deleting.len() == DELETED_AT_ONCE
                && let Some(deleted) = deleting.next().await
            {
                gone.extend(deleted?);
            }
            deleting.push_back(self.delete_one(entry, &options));
        }
        while let Some(deleted) = deleting.next().await {
            gone.extend(deleted?);
        }
        Ok(respond::encoded(
            StatusCode::OK,
            shapes::list(self.resource, &gone, &page.head, shape, rows)?,
        ))
    }

    /// One of a collection; none when somebody else was faster, or it has changed: what is wanted is that it goes, and it
    /// does or will.
    async fn delete_one(&self, entry: &Entry, options: &DeleteOptions) -> ApiResult<Option<Bytes>> {
        let deleted = self.app.objects.delete_listed(self.resource, entry, options).await;
        match deleted.map(|deletion| deletion.outcome) {
            Ok(Deleted::Gone { object, encoded }) => {
                self.app.forget(self.resource, &object, options.write.persist).await;
                Ok(Some(encoded))
            }
            Ok(Deleted::Marked(encoded)) => Ok(Some(encoded)),
            Err(error) if matches!(error.code(), 404 | 409) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn deletion(&self, request: Body) -> ApiResult<Deletion> {
        let write = self.write_options()?;
        let bytes = body::read(request).await?;
        let given = if bytes.is_empty() {
            None
        } else {
            Some(body::parse(&bytes, negotiate::body_format(self.headers)?)?.object)
        };
        deletion::parse(write, self.query, given)
    }

    /// GET of one object.
    pub(super) async fn get(&self) -> ApiResult<Answer> {
        let part = self.part()?;
        let (shape, rows) = self.shape()?;
        let objects = &self.app.objects;
        match self.query.number("resourceVersion")? {
            Some(revision) => objects.cacher.wait_for(revision).await?,
            None => objects.cacher.catch_up().await?,
        };
        let entry = objects.cached(self.resource, self.namespace(), self.name());
        let entry = entry.ok_or_else(|| ApiError::not_found(self.resource.target(self.name())))?;
        let encoded = self.resource.encoded(&entry).await?;
        if let Part::Scale(paths) = &part {
            let scale = paths.scale_of(&serde_json::from_slice(&encoded).unwrap_or(Value::Null));
            return Ok(respond::json(StatusCode::OK, &scale));
        }
        Ok(respond::encoded(
            StatusCode::OK,
            shapes::object(self.resource, encoded, shape, rows)?,
        ))
    }

    /// GET with `watch=true`.
    pub(super) async fn watch(&self, resource: Arc<Resource>) -> ApiResult<Answer> {
        let known = match breakbulk_protobuf::knows(&resource.api_version(), &resource.kind) {
            true => Known::Yes,
            false => Known::No,
        };
        let accepted = negotiate::stream(self.headers, known)?;
        let view = watch::View {
            shape: accepted.shape,
            rows: RowObject::parse(self.query.get("includeObject"))?,
            framing: match accepted.media {
                Media::Protobuf(_) => Framing::Protobuf,
                Media::Json | Media::Yaml => Framing::Json,
            },
        };
        let mut options = self.query.list_options(self.resource)?;
        if let Some(name) = &self.path.name {
            options.filter = options.filter.named(name);
        }
        let body = watch::watch(self.app.clone(), resource, self.namespace(), options, view).await?;
        let mut answer = respond::content(StatusCode::OK, view.framing.media_type(), Bytes::new());
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
        let body = if shape == Shape::Plain && self.resource.conversion.is_none() {
            shapes::plain_list(self.resource, page.entries, &page.head)
        } else {
            let items = self.resource.encoded_all(&page.entries).await?;
            Body::from(shapes::list(self.resource, &items, &page.head, shape, rows)?)
        };
        let mut answer = respond::encoded(StatusCode::OK, Bytes::new());
        *answer.body_mut() = body;
        let deprecation = self.resource.definition().and_then(|d| d.deprecation.clone());
        respond::warn(&mut answer, deprecation.as_slice());
        Ok(answer)
    }
}

/// Kinds whose last state upstream answers with when they are gone; for all others it is a Status.
fn is_told_whole(resource: &Resource) -> bool {
    resource.group.is_empty() && matches!(resource.plural.as_str(), "resourcequotas" | "serviceaccounts")
}

fn success(resource: &Resource, object: &Value) -> Value {
    let mut details = json!({
        "name": object::meta(object, "name"),
        "kind": resource.plural,
        "uid": object::meta(object, "uid"),
    });
    if !resource.group.is_empty() {
        details["group"] = Value::from(resource.group.as_str());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
