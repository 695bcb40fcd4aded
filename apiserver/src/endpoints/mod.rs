//! HTTP: from a request to an answer. A request is parsed, its sender known, allowed or not, and then handed to what
//! answers it; whatever goes wrong becomes a Status.
//!
//! ```text
//! request ─▶ filters ─▶ authorization ─▶ admission ─▶ registry ─▶ cacher ─▶ store
//! ```
//!
//! What happens to every request, whatever it asks for, is in [`filters`].

mod body;
mod deletion;
mod edits;
mod eviction;
mod filters;
mod held;
mod list;
mod log;
mod lookup;
mod negotiate;
mod path;
mod query;
mod respond;
mod shapes;
mod status;
mod transform;
mod watch;
mod write;

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use breakbulk_logs::{JobUid, LogStore, Namespace};
use http::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::authentication::Identity;
use crate::authorization::{self, Attributes, Decision};
use crate::connection::Connection;
use crate::discovery;
use crate::health::Health;
use crate::ingest::{self, LogService};
use crate::joblog::JobLogs;
use crate::metrics::Metrics;
use crate::openapi::OpenApi;
use crate::overload::Overload;
use crate::registry::Resource;
use crate::registry::objects::{Objects, Persist};
use crate::request::RequestInfo;
use crate::selector::FieldSelector;
use crate::status::Target as About;
use crate::status::{ApiError, ApiResult};
use query::Query;
use respond::Answer;
use write::Target;

pub use path::ObjectPath;
pub(crate) use path::{HealthPath, Route};

/// What requests are answered from.
pub struct App {
    /// All objects.
    pub objects: Objects,
    /// The OpenAPI documents, made when somebody first asks for them.
    pub openapi: OnceLock<OpenApi>,
    /// The logs of jobs, as clients read them.
    pub logs: JobLogs,
    /// The logs themselves.
    pub log_store: LogStore,
    /// The way in for logs.
    pub ingest: LogService,
    /// The server is going down: streams end.
    pub shutdown: CancellationToken,
    /// How many requests are let in.
    pub overload: Arc<Overload>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How the server is.
    pub health: Arc<Health>,
    /// Where requests are written down, if they are.
    pub audit: Option<Arc<AuditLog>>,
}

/// The media type of `/openapi/v2` in protobuf.
const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

impl App {
    fn openapi(&self) -> &OpenApi {
        self.openapi
            .get_or_init(|| OpenApi::build(&self.objects.registry.table()))
    }

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
        let connection = request.extensions().get::<Connection>().cloned();
        let answer = ingest::handle(app.ingest.clone(), &identity, request).await;
        return answer.map(|body| connection.map_or(Body::empty(), |c| c.while_sent(body)));
    }
    filters::serve(app, identity, request).await
}

async fn route(
    app: &Arc<App>,
    identity: &Arc<Identity>,
    info: &RequestInfo,
    request: Request<Body>,
) -> ApiResult<Answer> {
    let (parts, body) = request.into_parts();
    match &info.route {
        Route::Objects(path) => objects(app, identity, &parts, path, body).await,
        route => {
            let text = info.path();
            let verb = info.verb;
            let selector = FieldSelector::default();
            let asks = Attributes {
                verb,
                group: "",
                resource: "",
                subresource: "",
                namespace: None,
                name: None,
                field_selector: &selector,
                path: text.trim_end_matches('/'),
            };
            let decision = match authorization::decide(identity, &asks, &app.objects) {
                Decision::Allow => Ok(()),
                Decision::Deny(_) => Err(ApiError::forbidden_path(&identity.user, verb, text)),
            };
            filters::decided(app, &parts, decision)?;
            if verb != "get" {
                return Err(ApiError::method_not_allowed());
            }
            document(app, &parts, route)
        }
    }
}

/// What is not about objects.
fn document(app: &App, parts: &http::request::Parts, route: &Route) -> ApiResult<Answer> {
    let table = &*app.objects.registry.table();
    let ok = |value: &serde_json::Value| Ok(respond::json(StatusCode::OK, value));
    let format = match route {
        Route::LegacyVersions | Route::Groups | Route::Group(_) | Route::Resources { .. } => {
            negotiate::discovery(&parts.headers)?
        }
        _ => None,
    };
    match (route, format) {
        (Route::Health(path), _) => status::health(app, path, parts.uri.query().unwrap_or("")),
        (Route::Metrics, _) => Ok(status::metrics(app)),
        (Route::Version, _) => ok(&discovery::version()),
        (Route::LegacyVersions, Some(format)) => aggregated(&discovery::aggregated_core(table, format), format),
        (Route::Groups, Some(format)) => aggregated(&discovery::aggregated_groups(table, format), format),
        (Route::LegacyVersions, None) => ok(&discovery::api_versions(table)),
        (Route::Groups, None) => ok(&discovery::groups(table)),
        (Route::Group(name), _) => ok(&discovery::group(table, name).ok_or_else(ApiError::no_such_path)?),
        (Route::Resources { group, version }, _) => {
            ok(&discovery::resources(table, group, version).ok_or_else(ApiError::no_such_path)?)
        }
        // An empty message is a valid, empty document; kubectl before 1.29 wants to have one.
        (Route::OpenApiV2, _) => Ok(respond::content(StatusCode::OK, OPENAPI_V2, bytes::Bytes::new())),
        (Route::OpenApiV3(None), _) => ok(&app.openapi().index()),
        (Route::OpenApiV3(Some(place)), _) => {
            let document = app.openapi().document(place).ok_or_else(ApiError::no_such_path)?;
            Ok(openapi_document(document, &parts.headers))
        }
        (Route::Objects(_) | Route::Unknown, _) => Err(ApiError::no_such_path()),
    }
}

fn aggregated(body: &serde_json::Value, format: discovery::Format) -> ApiResult<Answer> {
    let media = match format {
        discovery::Format::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        discovery::Format::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    Ok(respond::content(StatusCode::OK, media, body.to_string().into()))
}

fn openapi_document(document: &crate::openapi::Document, headers: &HeaderMap) -> Answer {
    let etag = HeaderValue::from_str(&format!("\"{}\"", document.hash)).unwrap_or(HeaderValue::from_static("\"\""));
    let mut answer = if headers.get(IF_NONE_MATCH) == Some(&etag) {
        respond::content(StatusCode::NOT_MODIFIED, "application/json", bytes::Bytes::new())
    } else {
        respond::encoded(StatusCode::OK, document.bytes.clone())
    };
    answer.headers_mut().insert(ETAG, etag);
    answer
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
    let decision = permit(app, identity, &resource, path, &query, verb, parts.uri.path());
    filters::decided(app, parts, decision)?;
    let verbs = match path.subresource.as_deref() {
        None => resource.verbs,
        Some(name) => resource.subresource(name).ok_or_else(ApiError::no_such_path)?.verbs,
    };
    if !verbs.contains(&verb) {
        return Err(ApiError::method_not_allowed());
    }
    if verb == "watch" {
        negotiate::stream(&parts.headers)?;
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
