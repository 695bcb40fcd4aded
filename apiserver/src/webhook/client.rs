//! The HTTPS client that webhooks are called with: HTTP/1.1, connections kept for the next call, one set of them for each
//! bundle of certificates that webhooks are trusted by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::Endpoint;

/// The largest answer that is read, in bytes: that of a request to this server.
pub const MAX_ANSWER: usize = 3 << 20;
/// Calls under way at the same time: each may hold an answer in memory.
const MAX_CALLS: usize = 128;
/// Connections kept to one place, and for how long.
const KEPT: usize = 8;
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Bundles that connections are kept for. Who has more webhooks than this, each with its own, begins anew now and then.
const BUNDLES: usize = 64;

type Http = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why there is no answer. The words are for whoever waits for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It took too long. The words are those that clients look for.
    #[error("Post \"{0}\": context deadline exceeded")]
    Deadline(Uri),
    /// The certificates of its bundle cannot be read.
    #[error("unable to load root certificates: unable to parse bytes as PEM block")]
    Roots,
    /// The machine's own certificates cannot be read.
    #[error("unable to load root certificates: this machine trusts none")]
    NoSystemRoots,
    /// The connection could not be made, or broke.
    #[error("Post \"{uri}\": {why}")]
    Connection {
        /// To where.
        uri: Uri,
        /// What went wrong.
        why: String,
    },
    /// It answered with something else than success. Redirects are not followed.
    #[error("the server answered with status {0}")]
    Status(StatusCode),
    /// It sent too much.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It sent something that is not JSON.
    #[error("couldn't parse the answer as JSON: {0}")]
    NotJson(String),
}

/// Calls webhooks.
#[derive(Debug)]
pub struct Client {
    by_roots: Mutex<HashMap<Vec<u8>, Http>>,
    system: OnceLock<Arc<RootCertStore>>,
    calls: Semaphore,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// One without connections.
    pub fn new() -> Self {
        Self {
            by_roots: Mutex::default(),
            system: OnceLock::new(),
            calls: Semaphore::new(MAX_CALLS),
        }
    }

    /// Sends JSON and reads what comes back, all within `timeout`. Letting the call go ends it.
    ///
    /// # Errors
    /// When there is no answer, or none that is JSON.
    pub async fn post(&self, to: &Endpoint, body: Bytes, timeout: Duration) -> Result<Value, CallError> {
        let uri = to.uri(timeout.as_secs());
        let call = self.call(to, uri.clone(), body);
        match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Deadline(uri)),
        }
    }

    async fn call(&self, to: &Endpoint, uri: Uri, body: Bytes) -> Result<Value, CallError> {
        // Nobody closes the semaphore: this waits, and the time it takes is the call's.
        let _turn = self.calls.acquire().await;
        let http = self.http(to.roots())?;
        let mut request = Request::post(uri.clone())
            .body(Full::new(body))
            .map_err(|error| broken(&uri, &error))?;
        let json = HeaderValue::from_static("application/json");
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, json.clone());
        headers.insert(ACCEPT, json);
        headers.insert(USER_AGENT, HeaderValue::from_static("bulk-apiserver-admission"));
        let answer = http.request(request).await.map_err(|error| broken(&uri, &error))?;
        if answer.status() != StatusCode::OK {
            return Err(CallError::Status(answer.status()));
        }
        let read = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let bytes = match read {
            Ok(read) => read.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(CallError::TooLong(MAX_ANSWER));
            }
            Err(error) => return Err(broken(&uri, error.as_ref())),
        };
        serde_json::from_slice(&bytes).map_err(|error| CallError::NotJson(error.to_string()))
    }

    fn http(&self, roots: &[u8]) -> Result<Http, CallError> {
        let lock = || self.by_roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = lock().get(roots) {
            return Ok(http.clone());
        }
        let store = if roots.is_empty() {
            self.system_roots()?
        } else {
            Arc::new(read_roots(roots)?)
        };
        let http = connect_with(store);
        let mut kept = lock();
        if kept.len() >= BUNDLES {
            kept.clear();
        }
        kept.insert(roots.to_vec(), http.clone());
        Ok(http)
    }

    /// What the machine trusts, read once.
    fn system_roots(&self) -> Result<Arc<RootCertStore>, CallError> {
        if let Some(store) = self.system.get() {
            return Ok(store.clone());
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            return Err(CallError::NoSystemRoots);
        }
        Ok(self.system.get_or_init(|| Arc::new(store)).clone())
    }
}

fn read_roots(pem: &[u8]) -> Result<RootCertStore, CallError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| CallError::Roots)?;
        store.add(certificate).map_err(|_| CallError::Roots)?;
    }
    if store.is_empty() {
        return Err(CallError::Roots);
    }
    Ok(store)
}

fn connect_with(roots: Arc<RootCertStore>) -> Http {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks the versions that are switched on")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(KEPT)
        .pool_idle_timeout(KEPT_FOR)
        .build(connector)
}

/// What went wrong with a connection: the innermost cause is what people need to know.
fn broken(uri: &Uri, error: &(dyn std::error::Error + 'static)) -> CallError {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    CallError::Connection {
        uri: uri.clone(),
        why: innermost.to_string(),
    }
}
