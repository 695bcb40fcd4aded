//! HTTP: from a request to an answer. A request is parsed, its sender known, allowed or not, and then handed to what
//! answers it; whatever goes wrong becomes a Status.
//!
//! ```text
//! request ─▶ path ─▶ authentication ─▶ authorization ─▶ admission ─▶ registry ─▶ cacher ─▶ store
//! ```

mod body;
mod edits;
mod eviction;
mod list;
mod log;
mod lookup;
mod negotiate;
mod openapi;
mod path;
mod query;
mod respond;
mod shapes;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use breakbulk_logs::{JobUid, LogStore, Namespace};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::authentication::Identity;
use crate::authorization::{self, Attributes, Decision};
use crate::discovery;
use crate::ingest::{self, LogService};
use crate::joblog::JobLogs;
use crate::openapi::OpenApi;
use crate::registry::Resource;
use crate::registry::objects::{Objects, Persist};
use crate::selector::FieldSelector;
use crate::status::Target as About;
use crate::status::{ApiError, ApiResult};
use query::Query;
use respond::Answer;
use write::Target;

pub use path::ObjectPath;
use path::Route;

/// The longest a request may take that does not stream, as upstream.
const DEADLINE: Duration = Duration::from_secs(60);
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// The longest Audit-Id of a client that is echoed.
const AUDIT_ID_CHARS: usize = 64;

/// What requests are answered from.
pub struct App {
    /// All objects.
    pub objects: Objects,
    /// The OpenAPI documents, made when somebody first asks for them.
    pub openapi: Arc<OpenApi>,
    /// The logs of jobs, as clients read them.
    pub logs: JobLogs,
    /// The logs themselves.
    pub log_store: LogStore,
    /// The way in for logs.
    pub ingest: LogService,
    /// The server is going down: streams end.
    pub shutdown: CancellationToken,
}

impl App {
    /// After an object has gone: what else goes with it. A Job's logs do; if that fails they are left behind, which is
    /// told and harmless.
    pub(crate) async fn forget(&self, resource: &Resource, object: &serde_json::Value, persist: Persist) {
        if persist == Persist::DryRun || resource.group != breakbulk_schemas::GROUP || resource.plural != "jobs" {
            return;
        }
        let meta = |key| crate::registry::object::meta(object, key);
        let (Ok(namespace), Ok(uid)) = (Namespace::new(meta("namespace")), JobUid::new(meta("uid"))) else {
            return;
        };
        if let Err(error) = self.log_store.delete_job(&namespace, &uid).await {
            tracing::warn!(%error, job = meta("name"), "the logs of a deleted job are left behind");
        }
    }
}

/// The beginning of the cache keys of a list.
fn key_prefix(resource: &Resource, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if resource.namespaced => format!("{namespace}/"),
        _ => String::new(),
    }
}

/// Answers a request.
pub async fn handle(app: Arc<App>, identity: Arc<Identity>, request: Request<Body>) -> Answer {
    if ingest::is_ingest(request.uri().path()) {
        return ingest::handle(app.ingest.clone(), &identity, request).await;
    }
    let audit_id = audit_id(request.headers());
    let mut answer = match tokio::time::timeout(DEADLINE, route(&app, &identity, request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => respond::failure(&error),
        Err(_) => respond::failure(&ApiError::timeout("the request did not complete in time")),
    };
    let headers = answer.headers_mut();
    headers.insert(AUDIT_ID, audit_id);
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
    answer
}

fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(AUDIT_ID).filter(|v| v.len() <= AUDIT_ID_CHARS).cloned();
    given.unwrap_or_else(|| {
        HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

async fn route(app: &Arc<App>, identity: &Arc<Identity>, request: Request<Body>) -> ApiResult<Answer> {
    let (parts, body) = request.into_parts();
    match path::parse(parts.uri.path()) {
        Route::Objects(path) => objects(app, identity, &parts, &path, body).await,
        route => {
            let text = parts.uri.path();
            let reads = parts.method == Method::GET || parts.method == Method::HEAD;
            let verb = if reads {
                "get".to_owned()
            } else {
                parts.method.as_str().to_lowercase()
            };
            let selector = FieldSelector::default();
            let asks = Attributes {
                verb: &verb,
                group: "",
                resource: "",
                subresource: "",
                namespace: None,
                name: None,
                field_selector: &selector,
                path: text.trim_end_matches('/'),
            };
            if let Decision::Deny(_) = authorization::decide(identity, &asks, &app.objects) {
                return Err(ApiError::forbidden_path(&identity.user, &verb, text));
            }
            if !reads {
                return Err(ApiError::method_not_allowed());
            }
            match route {
                Route::OpenApiV2 | Route::OpenApiV3(_) => openapi::answer(app, &parts, &route).await,
                route => document(app, &parts, route),
            }
        }
    }
}

/// What is not about objects.
fn document(app: &App, parts: &http::request::Parts, route: Route) -> ApiResult<Answer> {
    let table = &*app.objects.registry.table();
    let ok = |value: &serde_json::Value| Ok(respond::json(StatusCode::OK, value));
    let format = negotiate::discovery(&parts.headers);
    match (route, format) {
        (Route::Health, _) => Ok(respond::content(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            "ok".into(),
        )),
        (Route::Metrics, _) => Ok(respond::content(
            StatusCode::OK,
            "text/plain; version=0.0.4",
            metrics(app).into(),
        )),
        (Route::Version, _) => ok(&discovery::version()),
        (Route::LegacyVersions, Some(format)) => aggregated(&discovery::aggregated_core(table, format), format),
        (Route::Groups, Some(format)) => aggregated(&discovery::aggregated_groups(table, format), format),
        (Route::LegacyVersions, None) => ok(&discovery::api_versions(table)),
        (Route::Groups, None) => ok(&discovery::groups(table)),
        (Route::Group(name), _) => ok(&discovery::group(table, &name).ok_or_else(ApiError::no_such_path)?),
        (Route::Resources { group, version }, _) => {
            ok(&discovery::resources(table, &group, &version).ok_or_else(ApiError::no_such_path)?)
        }
        (Route::OpenApiV2 | Route::OpenApiV3(_) | Route::Objects(_) | Route::Unknown, _) => {
            Err(ApiError::no_such_path())
        }
    }
}

fn aggregated(body: &serde_json::Value, format: discovery::Format) -> ApiResult<Answer> {
    let media = match format {
        discovery::Format::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        discovery::Format::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    Ok(respond::content(StatusCode::OK, media, body.to_string().into()))
}

fn metrics(app: &App) -> String {
    let reached = app.objects.cacher.reached();
    format!(
        "# HELP breakbulk_apiserver_revision The revision up to which the caches are filled.\n\
         # TYPE breakbulk_apiserver_revision gauge\nbreakbulk_apiserver_revision {reached}\n"
    )
}

async fn objects(
    app: &Arc<App>,
    identity: &Arc<Identity>,
    parts: &http::request::Parts,
    path: &ObjectPath,
    body: Body,
) -> ApiResult<Answer> {
    let resource = find(app, path)?;
    let query = Query::parse(parts.uri.query().unwrap_or(""))?;
    let watching = parts.method == Method::GET && path.subresource.is_none() && query.is_watch()?;
    let verb = verb(&parts.method, path, watching)?;
    permit(app, identity, &resource, path, &query, verb, parts.uri.path())?;
    let verbs = match path.subresource.as_deref() {
        None => resource.verbs,
        Some(name) => resource.subresource(name).ok_or_else(ApiError::no_such_path)?.verbs,
    };
    if !verbs.contains(&verb) {
        return Err(ApiError::method_not_allowed());
    }
    let target = Target {
        app,
        resource: &resource,
        path,
        query: &query,
        headers: &parts.headers,
        identity,
    };
    match verb {
        "watch" => target.watch(resource.clone()).await,
        "get" if path.subresource.as_deref() == Some("log") && resource.subresource("log").is_some() => {
            target.log().await
        }
        "get" => target.get().await,
        "list" => target.list().await,
        "create" if path.subresource.as_deref() == Some("eviction") => target.evict(),
        "create" => target.create(body).await,
        "update" => target.replace(body).await,
        "patch" => target.patch(body).await,
        "delete" => target.delete(body).await,
        _ => target.delete_collection(body).await,
    }
}

fn find(app: &App, path: &ObjectPath) -> ApiResult<Arc<Resource>> {
    let resource = app.objects.registry.find(&path.group, &path.version, &path.plural);
    let resource = resource.ok_or_else(ApiError::no_such_path)?;
    let cluster_path_to_object = path.namespace.is_none() && path.name.is_some();
    if (path.namespace.is_some() && !resource.namespaced) || (cluster_path_to_object && resource.namespaced) {
        return Err(ApiError::no_such_path());
    }
    Ok(resource)
}

fn permit(
    app: &App,
    identity: &Identity,
    resource: &Resource,
    path: &ObjectPath,
    query: &Query,
    verb: &str,
    text: &str,
) -> ApiResult<()> {
    let selector = FieldSelector::parse(query.get("fieldSelector").unwrap_or(""))
        .map_err(|e| ApiError::bad_request(e.to_string()))?;
    let name = path.name.as_deref().or_else(|| selector.required("metadata.name"));
    let asks = Attributes {
        verb,
        group: &resource.group,
        resource: &resource.plural,
        subresource: path.subresource.as_deref().unwrap_or(""),
        namespace: path.namespace.as_deref().filter(|_| resource.namespaced),
        name,
        field_selector: &selector,
        path: text,
    };
    match authorization::decide(identity, &asks, &app.objects) {
        Decision::Allow => Ok(()),
        Decision::Deny(reason) => {
            let about = About::new(&resource.group, &resource.plural, name.unwrap_or(""));
            Err(ApiError::forbidden(
                about,
                authorization::refusal(identity, &asks, &reason),
            ))
        }
    }
}

fn verb(method: &Method, path: &ObjectPath, watching: bool) -> ApiResult<&'static str> {
    let named = path.name.is_some();
    Ok(match (method.as_str(), named) {
        ("GET", _) if watching => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", false) => "create",
        ("POST", true) if path.subresource.is_some() => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return Err(ApiError::method_not_allowed()),
    })
}
