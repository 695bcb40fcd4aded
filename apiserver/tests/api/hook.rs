//! A webhook on loopback: a real HTTPS server with a certificate of its own authority, whose answers are the test's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What it answers.
pub(crate) enum Reply {
    /// This.
    Json(Value),
    /// These bytes.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Nothing,
    /// A byte now and then, without end.
    Drip,
    /// That what is wanted is elsewhere.
    Elsewhere(String),
}

type Answer = dyn Fn(&str, &Value) -> Reply + Send + Sync;

/// A running webhook.
pub(crate) struct Hook {
    address: SocketAddr,
    bundle: String,
    asked: Arc<Mutex<Vec<Value>>>,
    serving: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Hook {
    /// Answers each request by its path and body.
    pub(crate) async fn start(answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let (acceptor, authority) = certificate();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn(serve(listener, acceptor, Arc::new(answer), asked.clone()));
        Self {
            address,
            bundle: STANDARD.encode(authority),
            asked,
            serving,
        }
    }

    /// How it is reached.
    pub(crate) fn client_config(&self, path: &str) -> Value {
        json!({"url": format!("https://{}{path}", self.address), "caBundle": self.bundle})
    }

    /// The bodies of all requests so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

fn certificate() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, answer: Arc<Answer>, asked: Arc<Mutex<Vec<Value>>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, answer, asked) = (acceptor.clone(), answer.clone(), asked.clone());
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                let (answer, asked) = (answer.clone(), asked.clone());
                async move { Ok::<_, Infallible>(reply(&*answer, &asked, request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tls), service)
                .await;
        });
    }
}

async fn reply(
    answer: &Answer,
    asked: &Mutex<Vec<Value>>,
    request: http::Request<Incoming>,
) -> http::Response<UnsyncBoxBody<Bytes, Infallible>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    asked.lock().unwrap().push(body.clone());
    let full = |bytes: Vec<u8>| http::Response::new(Full::new(Bytes::from(bytes)).boxed_unsync());
    match answer(&path, &body) {
        Reply::Json(value) => full(value.to_string().into_bytes()),
        Reply::Raw(bytes) => full(bytes),
        Reply::Nothing => std::future::pending().await,
        Reply::Drip => {
            let drops = futures::stream::unfold((), |()| async {
                // An answer that drips is what the test is about.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
            });
            http::Response::new(StreamBody::new(drops).boxed_unsync())
        }
        Reply::Elsewhere(url) => {
            let mut response = full(Vec::new());
            *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert("location", url.parse().unwrap());
            response
        }
    }
}

/// An answer to an admission review.
pub(crate) fn review(asked: &Value, response: &Value) -> Reply {
    let mut response = response.clone();
    response["uid"] = asked["request"]["uid"].clone();
    Reply::Json(json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}))
}

/// Yes.
pub(crate) fn yes(asked: &Value) -> Reply {
    review(asked, &json!({"allowed": true}))
}

/// No, because.
pub(crate) fn no(asked: &Value, why: &str) -> Reply {
    review(asked, &json!({"allowed": false, "status": {"reason": why}}))
}

/// Yes, with a patch.
pub(crate) fn patched(asked: &Value, patch: &Value) -> Reply {
    let patch = STANDARD.encode(patch.to_string());
    review(
        asked,
        &json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}),
    )
}
