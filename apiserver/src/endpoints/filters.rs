//! What happens to every request before and after its handler, in this order:
//!
//! ```text
//! info ─▶ audit id ─▶ audit: received ─▶ overload ─▶ deadline and panics ─▶ handler
//!                                                                              │
//! headers ◀─ held body ◀─ metrics ◀─ audit: complete ◀─ HEAD ◀─ YAML, indent, gzip ◀┘
//! ```
//!
//! Nothing here knows a kind. A handler sees a plain request and makes a compact answer; that a request takes too long,
//! panics or comes when there are too many is settled here and always becomes a Status.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use futures::FutureExt as _;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::held::{Large, Stream, StreamGuard};
use super::respond::{self, Answer};
use super::transform::Finish;
use super::{App, Who, route};
use crate::audit::Trail;
use crate::audit::policy::Stage;
use crate::audit::trail::Answered;
use crate::authentication::Identity;
use crate::connection::Connection;
use crate::metrics::Labels;
use crate::overload::Permit;
use crate::request::{Lasting, RequestInfo};
use crate::status::{ApiError, ApiResult};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// The longest Audit-Id of a client that is echoed.
const AUDIT_ID_CHARS: usize = 64;

/// What is known of a request while it is answered.
struct Exchange<'a> {
    app: &'a Arc<App>,
    info: &'a RequestInfo,
    finish: Finish,
    trail: Option<Arc<Trail>>,
    connection: Option<Connection>,
    begun: Instant,
}

/// How the handler came out.
enum Handled {
    /// It answered.
    Done(ApiResult<Answer>),
    /// It panicked.
    Panicked,
    /// It took too long.
    Late,
    /// It was never called.
    Refused(ApiError),
}

/// Answers a request.
pub(super) async fn serve(app: Arc<App>, who: ApiResult<Who>, request: Request<Body>) -> Answer {
    let (mut parts, mut body) = request.into_parts();
    let info = RequestInfo::of(&parts);
    app.metrics
        .authenticated(if who.is_ok() { "success" } else { "failure" });
    let (who, refused) = match who {
        Ok(who) => (who, None),
        Err(error) => (Who::nobody(), Some(error)),
    };
    let identity = who.identity.clone();
    let audit_id = audit_id(&parts.headers);
    let audited = app.audit.as_ref().and_then(|log| {
        let id = audit_id.to_str().unwrap_or("");
        Trail::begin(log, &info, &identity, &parts, id)
    });
    if let Some(trail) = &audited {
        if let Some(other) = &who.speaks_for {
            trail.impersonated(other);
        }
        parts.extensions.insert(trail.clone());
        body = trail.keep_body(&info, body);
    }
    let method = parts.method.clone();
    let exchange = Exchange {
        app: &app,
        info: &info,
        finish: Finish::of(&info, &parts.headers),
        trail: audited,
        connection: parts.extensions.get::<Connection>().cloned(),
        begun: Instant::now(),
    };
    let admitted = refused.map_or_else(|| app.overload.admit(&info, &identity), Err);
    let identity = who.speaks_for.unwrap_or(identity);
    let (handled, permit) = match admitted {
        Ok(permit) => {
            let request = Request::from_parts(parts, body);
            (handle(&app, &identity, &info, request).await, permit)
        }
        Err(error) => (Handled::Refused(error), None),
    };
    let mut answer = exchange.conclude(handled, permit, &method).await;
    let headers = answer.headers_mut();
    headers.insert(AUDIT_ID, audit_id);
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
    answer
}

fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers
        .get(AUDIT_ID)
        .filter(|v| v.len() <= AUDIT_ID_CHARS && v.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

async fn handle(app: &Arc<App>, identity: &Arc<Identity>, info: &RequestInfo, request: Request<Body>) -> Handled {
    let deadline = match info.deadline() {
        Ok(deadline) => deadline,
        Err(error) => return Handled::Refused(error),
    };
    guarded(deadline, route(app, identity, info, request)).await
}

/// Runs a handler: no longer than it may, and its panic is its own.
async fn guarded(deadline: Option<Duration>, handler: impl Future<Output = ApiResult<Answer>>) -> Handled {
    // What a handler shares it shares through locks and atomics that bear a panic; its own state goes with it.
    let handler = AssertUnwindSafe(handler).catch_unwind();
    let ended = match deadline {
        None => Ok(handler.await),
        Some(deadline) => tokio::time::timeout(deadline, handler).await,
    };
    match ended {
        Ok(Ok(answer)) => Handled::Done(answer),
        Ok(Err(_)) => Handled::Panicked,
        Err(_) => Handled::Late,
    }
}

/// Notes whether a request may do what it asks for, for metrics and the audit log. Returns what it is given.
pub(super) fn decided(app: &App, parts: &Parts, decision: ApiResult<()>) -> ApiResult<()> {
    let (result, word) = if decision.is_ok() {
        ("allowed", "allow")
    } else {
        ("denied", "forbid")
    };
    app.metrics.authorized(result);
    if let Some(trail) = Trail::of(&parts.extensions) {
        trail.annotate("authorization.k8s.io/decision", word);
        let reason = decision.as_ref().err().map_or("", ApiError::message);
        trail.annotate("authorization.k8s.io/reason", reason);
    }
    decision
}

impl Exchange<'_> {
    /// Makes the answer from what the handler has come to.
    async fn conclude(self, handled: Handled, permit: Option<Permit>, method: &Method) -> Answer {
        let mut stage = Stage::ResponseComplete;
        let regular = matches!(handled, Handled::Done(_));
        let outcome = match handled {
            Handled::Done(outcome) => outcome,
            Handled::Refused(error) => Err(error),
            Handled::Late => Err(self.info.too_late()),
            Handled::Panicked => {
                stage = Stage::Panic;
                tracing::error!(uri = self.info.uri, "a handler panicked");
                let words = "This request caused apiserver to panic. Look in the logs for details.";
                Err(ApiError::internal(words))
            }
        };
        let labels = Labels::of(self.info, &self.app.objects.registry);
        let streams = self.info.lasting() == Lasting::LongRunning;
        let answer = match outcome {
            Ok(answer) if streams && *method != Method::HEAD => return self.stream(answer, permit, &labels),
            Ok(answer) => self.audit_whole(answer).await,
            Err(error) => {
                self.audit(stage, Answered::Refused(&error));
                let mut answer = respond::failure(&error);
                if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                    let methods = HeaderValue::from_static(self.info.allowed_methods());
                    answer.headers_mut().insert(ALLOW, methods);
                }
                answer
            }
        };
        let answer = self.finish.apply(answer).await.unwrap_or_else(|e| respond::failure(&e));
        let size = answer.body().size_hint().exact();
        let metrics = &self.app.metrics;
        metrics.answered(&labels, answer.status());
        if !streams {
            metrics.took(&labels, self.begun.elapsed(), size);
        }
        if !regular {
            metrics.terminated(&labels, answer.status());
        }
        self.shipped(answer, permit, method, size)
    }

    /// The body as it is sent: none for HEAD, held on to where it is large.
    fn shipped(self, answer: Answer, permit: Option<Permit>, method: &Method, size: Option<u64>) -> Answer {
        if *method == Method::HEAD {
            let (mut parts, _) = answer.into_parts();
            if let Some(size) = size {
                parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
            }
            return Answer::from_parts(parts, Body::empty());
        }
        let Some(size) = size.filter(|size| Large::is(*size)) else {
            return answer;
        };
        let account = self.app.overload.hold(usize::try_from(size).unwrap_or(usize::MAX));
        answer.map(|body| Large::hold(body, account, permit, self.connection))
    }

    fn stream(self, answer: Answer, permit: Option<Permit>, labels: &Labels<'_>) -> Answer {
        let code = answer.status();
        self.app.metrics.answered(labels, code);
        let well = Answered::Well {
            code: code.as_u16(),
            body: None,
        };
        self.audit(Stage::ResponseStarted, well);
        let guard = StreamGuard {
            permit,
            stream: self.app.metrics.long_running(labels),
            trail: self.trail,
            open: self.connection.as_ref().map(Connection::open),
            code: code.as_u16(),
        };
        answer.map(|body| Stream::hold(body, guard))
    }

    fn audit(&self, stage: Stage, answered: Answered<'_>) {
        if let Some(trail) = &self.trail {
            trail.end(stage, answered);
        }
    }

    /// Writes a whole answer down, with its body if that is wanted.
    async fn audit_whole(&self, answer: Answer) -> Answer {
        let Some(trail) = &self.trail else { return answer };
        let code = answer.status().as_u16();
        if !trail.wants_answer() || answer.body().size_hint().exact().is_none() {
            trail.end(Stage::ResponseComplete, Answered::Well { code, body: None });
            return answer;
        }
        let (parts, body) = answer.into_parts();
        match body.collect().await {
            Ok(whole) => {
                let bytes = whole.to_bytes();
                let body = Some(&bytes);
                trail.end(Stage::ResponseComplete, Answered::Well { code, body });
                Answer::from_parts(parts, Body::from(bytes))
            }
            Err(_) => respond::failure(&ApiError::internal("the answer cannot be sent")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_and_an_endless_handler_end_by_themselves() {
        let panicked = guarded(None, async { panic!("a handler's bug") }).await;
        assert!(matches!(panicked, Handled::Panicked));
        let late = guarded(Some(Duration::ZERO), std::future::pending()).await;
        assert!(matches!(late, Handled::Late));
    }

    #[test]
    fn an_audit_id_is_echoed_unless_it_is_long() {
        let mut headers = HeaderMap::new();
        headers.insert(AUDIT_ID, HeaderValue::from_static("mine"));
        assert_eq!(audit_id(&headers), "mine");
        headers.insert(AUDIT_ID, HeaderValue::from_str(&"x".repeat(65)).unwrap());
        assert_eq!(audit_id(&headers).len(), 36);
    }
}
