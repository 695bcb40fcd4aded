//! What is found out about one request on its way, until it is written down. It hangs on the request (in its extensions);
//! authorization, impersonation and admission add what they know, and the filters end it.
//!
//! Secret values never get in: requests about Secrets, and those that carry or hand out tokens, are written at level
//! Metadata at most whatever the policy says, and without the message of a refusal, which may quote what was refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Extensions, HeaderMap};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde::Deserialize;

use super::AuditLog;
use super::event::{Captured, Encoding, Event, MAX_BODY, ObjectRef, ResponseStatus, User};
use super::policy::{Level, Stage, Verdict};
use crate::authentication::Identity;
use crate::request::{Effect, RequestInfo};
use crate::status::ApiError;

/// Bounds on what clients put into an event.
const MAX_TEXT: usize = 1024;
const MAX_ANNOTATIONS: usize = 64;
const MAX_ADDRESSES: usize = 8;

/// The client's end of a connection. The server hangs it on every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What is known of a request that is written down.
pub struct Trail {
    log: Arc<AuditLog>,
    verdict: Verdict,
    secrecy: Secrecy,
    head: Event,
    encoding: Encoding,
    found: Mutex<Found>,
}

/// Whether bodies and messages may hold what must not be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrecy {
    Open,
    Secret,
}

#[derive(Default)]
struct Found {
    annotations: BTreeMap<String, String>,
    impersonated: Option<User>,
    request: Vec<Bytes>,
    request_bytes: usize,
}

/// How a request was answered.
#[derive(Clone, Copy)]
pub enum Answered<'a> {
    /// With what it asked for.
    Well {
        /// The HTTP code.
        code: u16,
        /// The body, where it is whole and JSON.
        body: Option<&'a Bytes>,
    },
    /// With a Status.
    Refused(&'a ApiError),
}

/// The name that an object got.
#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

impl Trail {
    /// Begins, if the policy wants the request written down.
    pub fn begin(
        log: &Arc<AuditLog>,
        info: &RequestInfo,
        identity: &Identity,
        parts: &http::request::Parts,
        audit_id: &str,
    ) -> Option<Arc<Self>> {
        let mut verdict = log.policy.judge(info, identity);
        if verdict.level == Level::None {
            return None;
        }
        let secrecy = secrecy(info);
        if secrecy == Secrecy::Secret {
            verdict.level = verdict.level.min(Level::Metadata);
        }
        let now = Timestamp::now();
        let head = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: verdict.level,
            audit_id: audit_id.to_owned(),
            stage: Stage::RequestReceived,
            request_uri: info.uri.clone(),
            verb: info.verb,
            user: user(identity),
            impersonated_user: None,
            source_ips: source_addresses(parts),
            user_agent: clipped(
                parts
                    .headers
                    .get(USER_AGENT)
                    .and_then(|v| v.to_str().ok())
                    .unwrap_or(""),
            ),
            object_ref: info.object().map(object_ref),
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: micros(now),
            stage_timestamp: micros(now),
            annotations: BTreeMap::new(),
        };
        let trail = Arc::new(Self {
            log: log.clone(),
            encoding: encoding(&parts.headers),
            verdict,
            secrecy,
            head,
            found: Mutex::default(),
        });
        if trail.verdict.has(Stage::RequestReceived) {
            trail.log.writer.write(trail.head.clone());
        }
        Some(trail)
    }

    /// The trail of a request, if it has one.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get::<Arc<Self>>()
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something under a key such as `authorization.k8s.io/decision`. The first to note under a key counts.
    pub fn annotate(&self, key: &str, value: &str) {
        let mut found = self.found();
        if found.annotations.len() < MAX_ANNOTATIONS && !found.annotations.contains_key(key) {
            found.annotations.insert(key.to_owned(), clipped(value));
        }
    }

    /// Notes as whom the request is handled, where that is not who sent it.
    pub fn impersonated(&self, identity: &Identity) {
        self.found().impersonated = Some(user(identity));
    }

    /// Keeps what passes of a request's body, where the policy wants it.
    pub fn keep_body(self: &Arc<Self>, info: &RequestInfo, body: Body) -> Body {
        if self.verdict.level < Level::Request || info.effect() == Effect::ReadOnly {
            return body;
        }
        let trail = self.clone();
        Body::new(body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                let mut found = trail.found();
                found.request_bytes += data.len();
                if found.request_bytes <= MAX_BODY {
                    found.request.push(data.clone());
                }
            }
            frame
        }))
    }

    /// Whether the body of an answer is wanted, or only the name in it.
    pub fn wants_answer(&self) -> bool {
        self.verdict.level == Level::RequestResponse || self.head.verb == "create"
    }

    /// Writes the event of a stage.
    pub fn end(&self, stage: Stage, answered: Answered<'_>) {
        if !self.verdict.has(stage) {
            return;
        }
        let mut event = self.head.clone();
        event.stage = stage;
        event.stage_timestamp = micros(Timestamp::now());
        event.response_status = Some(self.status(answered));
        self.add_found(&mut event);
        if let Answered::Well { body: Some(body), .. } = answered {
            if self.head.verb == "create"
                && let Some(object) = event.object_ref.as_mut().filter(|o| o.name.is_none())
                && let Ok(named) = serde_json::from_slice::<Named>(body)
            {
                object.name = Some(named.metadata.name);
            }
            if self.verdict.level == Level::RequestResponse {
                if body.len() <= MAX_BODY {
                    event.response_object = Some(self.captured(body.clone(), Encoding::Json));
                } else {
                    too_long(&mut event, "response");
                }
            }
        }
        self.log.writer.write(event);
    }

    fn add_found(&self, event: &mut Event) {
        let found = self.found();
        event.annotations.clone_from(&found.annotations);
        event.impersonated_user.clone_from(&found.impersonated);
        let whole = match found.request.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => {
                let mut all = BytesMut::with_capacity(found.request_bytes.min(MAX_BODY));
                many.iter().for_each(|part| all.extend_from_slice(part));
                Some(all.freeze())
            }
        };
        if found.request_bytes > MAX_BODY {
            too_long(event, "request");
        } else if let Some(bytes) = whole {
            event.request_object = Some(self.captured(bytes, self.encoding));
        }
    }

    fn captured(&self, bytes: Bytes, encoding: Encoding) -> Captured {
        Captured {
            bytes,
            encoding,
            managed_fields: self.verdict.managed_fields,
        }
    }

    fn status(&self, answered: Answered<'_>) -> ResponseStatus {
        match answered {
            Answered::Well { code, .. } => ResponseStatus {
                code,
                ..ResponseStatus::default()
            },
            Answered::Refused(error) => ResponseStatus {
                status: Some("Failure".to_owned()),
                message: (self.secrecy == Secrecy::Open).then(|| clipped(error.message())),
                reason: Some(error.reason().to_owned()),
                code: error.code(),
                ..ResponseStatus::default()
            },
        }
    }
}

fn too_long(event: &mut Event, which: &str) {
    let key = format!("audit.k8s.io/truncated-{which}");
    event
        .annotations
        .insert(key, format!("the body is larger than {MAX_BODY} bytes"));
}

/// Requests whose bodies, or the refusals that quote them, hold secrets.
fn secrecy(info: &RequestInfo) -> Secrecy {
    let Some(path) = info.object() else {
        return Secrecy::Open;
    };
    let secret = match path.plural.as_str() {
        "secrets" | "tokenreviews" | "tokenrequests" => true,
        _ => path.subresource.as_deref() == Some("token"),
    };
    if secret { Secrecy::Secret } else { Secrecy::Open }
}

fn user(identity: &Identity) -> User {
    User {
        username: identity.user.clone(),
        uid: String::new(),
        groups: identity.groups.clone(),
    }
}

fn object_ref(path: &crate::endpoints::ObjectPath) -> ObjectRef {
    ObjectRef {
        resource: path.plural.clone(),
        namespace: path.namespace.clone(),
        name: path.name.clone(),
        api_group: path.group.clone(),
        api_version: path.version.clone(),
        subresource: path.subresource.clone(),
    }
}

/// Where a request says it comes from, and where it does come from, last (`apimachinery/pkg/util/net/http.go`).
fn source_addresses(parts: &http::request::Parts) -> Vec<String> {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("")
            .to_owned()
    };
    let said = format!("{},{}", header("x-forwarded-for"), header("x-real-ip"));
    let mut addresses: Vec<String> = Vec::new();
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_string());
    let said = said.split(',').filter_map(|text| text.trim().parse::<IpAddr>().ok());
    for address in said.map(|ip| ip.to_string()).take(MAX_ADDRESSES).chain(peer) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn encoding(headers: &HeaderMap) -> Encoding {
    let text = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let media = text.split(';').next().unwrap_or("").trim();
    match media {
        "" => Encoding::Json,
        media if media.ends_with("json") => Encoding::Json,
        media if media.ends_with("yaml") => Encoding::Yaml,
        _ => Encoding::Other,
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// RFC 3339 with six digits of a second, as MicroTime is spelled.
fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_holds_secrets_is_known_by_its_path() {
        for (uri, secrecy_expected) in [
            ("/api/v1/namespaces/a/secrets", Secrecy::Secret),
            ("/api/v1/secrets?watch=1", Secrecy::Secret),
            ("/apis/authentication.k8s.io/v1/tokenreviews", Secrecy::Secret),
            ("/api/v1/namespaces/a/serviceaccounts/s/token", Secrecy::Secret),
            ("/api/v1/namespaces/a/serviceaccounts/s", Secrecy::Open),
            ("/api/v1/namespaces/a/configmaps/secrets", Secrecy::Open),
            ("/version", Secrecy::Open),
        ] {
            let (parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
            assert_eq!(secrecy(&RequestInfo::of(&parts)), secrecy_expected, "{uri}");
        }
    }

    #[test]
    fn times_have_micros_and_addresses_end_with_the_real_one() {
        let time: Timestamp = "2026-01-02T03:04:05.6789Z".parse().unwrap();
        assert_eq!(micros(time), "2026-01-02T03:04:05.678900Z");
        let request = Request::get("/").header("x-forwarded-for", "10.0.0.1, nonsense");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer("127.0.0.1:5".parse().unwrap()));
        assert_eq!(source_addresses(&parts), ["10.0.0.1", "127.0.0.1"]);
    }
}
