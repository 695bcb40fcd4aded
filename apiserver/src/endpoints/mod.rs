//! HTTP: from a request to an answer. A request is parsed, its sender known, allowed or not, and then handed to what
//! answers it; whatever goes wrong becomes a Status.
//!
//! ```text
//! request ─▶ filters ─▶ authorization ─▶ admission ─▶ registry ─▶ cacher ─▶ store
//! ```
//!
//! What happens to every request, whatever it asks for, is in `filters`.

mod apply;
mod body;
mod deletion;
mod documents;
mod edits;
mod eviction;
mod filters;
mod held;
mod lines;
mod list;
mod log;
mod lookup;
mod negotiate;
mod openapi;
mod path;
mod pieces;
mod query;
mod respond;
mod review;
mod select;
mod shapes;
mod status;
mod transform;
mod watch;
mod websocket;
mod write;

use std::sync::Arc;

use axum::body::Body;
use breakbulk_logs::{JobUid, LogStore, Namespace};
use http::{HeaderMap, Method, Request};
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::authentication::{Identity, Tokens, impersonation};
use crate::authorization::{self, Attributes, Authorizer, Decision};
use crate::connection::Connection;
use crate::health::Health;
use crate::ingest::{self, LogService};
use crate::joblog::JobLogs;
use crate::metrics::Metrics;
use crate::openapi::OpenApi;
use crate::overload::Overload;
use crate::registry::Resource;
use crate::registry::objects::{Objects, Persist};
use crate::request::RequestInfo;
use crate::reviews;
use crate::selector::FieldSelector;
use crate::status::Target as About;
use crate::status::{ApiError, ApiResult};
use query::Query;
use respond::Answer;
use websocket::Wish;
use write::Target;

pub use path::ObjectPath;
pub(crate) use path::{HealthPath, Route};

/// What requests are answered from.
pub struct App {
    /// All objects.
    pub objects: Objects,
    /// Whose bearer token is which.
    pub tokens: Tokens,
    /// Who may do what.
    pub authorizer: Arc<Authorizer>,
    /// Where clients reach this server: `https://host:port`.
    pub url: String,
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
    /// How many requests are let in.
    pub overload: Arc<Overload>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How the server is.
    pub health: Arc<Health>,
    /// Where requests are written down, if they are.
    pub audit: Option<Arc<AuditLog>>,
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

/// Answers a request on a connection whose certificate names `connection`.
pub async fn handle(app: Arc<App>, connection: Arc<Identity>, mut request: Request<Body>) -> Answer {
    if ingest::is_ingest(request.uri().path()) {
        let sending = request.extensions().get::<Connection>().cloned();
        let answer = ingest::handle(app.ingest.clone(), &connection, request).await;
        return answer.map(|body| sending.map_or(Body::empty(), |c| c.while_sent(body)));
    }
    let wish = Wish::take(&mut request).zip(request.extensions().get::<Connection>().cloned());
    let who = identify(&app, &connection, request.headers()).await;
    let answer = filters::serve(app, who, request).await;
    match wish {
        Some((wish, connection)) => wish.grant(answer, &connection),
        None => answer,
    }
}

/// Who sends a request.
struct Who {
    /// By certificate or token.
    identity: Arc<Identity>,
    /// Whom that one speaks for, if for somebody else.
    speaks_for: Option<Arc<Identity>>,
}

impl Who {
    /// Somebody who could not say who they are.
    fn nobody() -> Self {
        Self {
            identity: Arc::new(Identity::anonymous()),
            speaks_for: None,
        }
    }
}

/// Who sends a request, and whom that one speaks for.
async fn identify(app: &App, connection: &Arc<Identity>, headers: &HeaderMap) -> ApiResult<Who> {
    let identity = app.tokens.authenticate(headers, connection).await?;
    let decide = |asks: &Attributes<'_>| app.authorizer.decide(&identity, asks);
    let speaks_for = impersonation::impersonate(&identity, headers, decide)?.map(Arc::new);
    Ok(Who { identity, speaks_for })
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
            let decision = match app.authorizer.decide(identity, &asks) {
                Decision::Allow(_) => Ok(()),
                Decision::Deny(_) => Err(ApiError::forbidden_path(&identity.user, verb, text)),
            };
            filters::decided(app, &parts, decision)?;
            if verb != "get" {
                return Err(ApiError::method_not_allowed());
            }
            match route {
                Route::OpenApiV2 | Route::OpenApiV3(_) => openapi::answer(app, &parts, route).await,
                route => documents::answer(app, &parts, route),
            }
        }
    }
}

async fn objects(
    app: &Arc<App>,
    identity: &Arc<Identity>,
    parts: &http::request::Parts,
    path: &ObjectPath,
    body: Body,
) -> ApiResult<Answer> {
    let review = reviews::find(&path.group, &path.version, &path.plural, path.subresource.as_deref());
    if let Some(review) = review {
        return review::review(app, identity, parts, (path, review), body).await;
    }
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
    // A list or watch of one object by its name is about that object, as upstream reads it.
    let named = || {
        matches!(verb, "list" | "watch")
            .then(|| selector.required("metadata.name"))
            .flatten()
    };
    let name = path.name.as_deref().or_else(named);
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
    permit_attributes(app, identity, &asks)
}

/// 403 unless somebody may.
fn permit_attributes(app: &App, identity: &Identity, asks: &Attributes<'_>) -> ApiResult<()> {
    match app.authorizer.decide(identity, asks) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => {
            let about = About::new(asks.group, asks.resource, asks.name.unwrap_or(""));
            Err(ApiError::forbidden(
                about,
                authorization::refusal(identity, asks, &reason),
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
