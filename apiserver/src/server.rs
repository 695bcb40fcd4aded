//! The server: built (store open, caches filled, socket bound, files written), then served. Every connection is a task
//! that is awaited at the end.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use breakbulk_logs::ingest_service;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Chain;
use crate::authentication::{Identity, MASTERS};
use crate::cacher::{Cacher, Feed, FeedError};
use crate::config::Config;
use crate::endpoints::{App, handle};
use crate::joblog::{CachedJobs, JobAuthority, JobLogs, Jobs};
use crate::pki::{self, Authority, PkiError};
use crate::registry::Registry;
use crate::registry::objects::{Objects, Submitted, WriteOptions};
use crate::{housekeeping, ingest, kubeconfig, storage};

/// Namespaces that are always there.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What a client may send before it is told to wait, per stream and per connection: logs come in at hundreds of
/// megabytes a second.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How long open requests get to finish when the server goes down.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the server could not be built or did not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The store could not be opened.
    #[error("cannot open the store")]
    Store(#[source] breakbulk_store::Error),
    /// The caches could not be filled.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the data directory.
    #[error("cannot write {path}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The table of kinds has no Jobs: a build without them makes no sense.
    #[error("the table of kinds has no Jobs")]
    NoJobs,
    /// A namespace that is always there could not be made.
    #[error("cannot create namespace {name}")]
    Namespace {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: crate::status::ApiError,
    },
}

/// A server that is ready to serve: bound, but not yet accepting.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    url: String,
    acceptor: TlsAcceptor,
    authority: Authority,
    kubeconfig: String,
    history: Duration,
    app: Arc<App>,
    feed: Feed,
}

/// Builds the server.
pub async fn build(config: Config) -> Result<Server, ServerError> {
    let store = storage::open(&config.store).await?;
    let registry = Arc::new(Registry::new());
    let cacher = Arc::new(Cacher::new(store.clone()));
    let (feed, _adopt) = Feed::fill(cacher.clone(), registry.clone()).await?;
    let objects = Objects {
        store,
        cacher,
        registry,
        admission: Arc::new(Chain::standard()),
    };

    let listen = |source| ServerError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let authority = Authority::open(&config.pki_dir)?;
    let (names, addresses) = names(&config, address);
    let acceptor = TlsAcceptor::from(Arc::new(authority.server_config(&names, &addresses)?));
    let url = url(&config, address);
    let kubeconfig = admin_kubeconfig(&authority, &url)?;
    write_kubeconfig(&config.data_dir, &kubeconfig)?;
    for name in NAMESPACES {
        ensure_namespace(&objects, name).await?;
    }
    let app = app(&config, objects)?;
    Ok(Server {
        listener,
        address,
        url,
        acceptor,
        authority,
        kubeconfig,
        history: config.history,
        app,
        feed,
    })
}

fn app(config: &Config, objects: Objects) -> Result<Arc<App>, ServerError> {
    let log_store = storage::open_logs(&config.log_dir)?;
    let shutdown = CancellationToken::new();
    let jobs = CachedJobs::new(&objects.registry).ok_or(ServerError::NoJobs)?;
    let jobs: Arc<dyn Jobs> = Arc::new(jobs);
    let authority = Arc::new(JobAuthority::new(jobs.clone()));
    let service = ingest::bounded(ingest_service(log_store.clone(), authority, shutdown.clone()));
    let logs = JobLogs::new(log_store.clone(), jobs);
    Ok(Arc::new(App {
        objects,
        openapi: OnceLock::new(),
        logs,
        log_store,
        ingest: service,
        shutdown,
    }))
}

/// What the server's certificate names.
fn names(config: &Config, address: SocketAddr) -> (Vec<String>, Vec<IpAddr>) {
    let mut names = vec![
        "localhost".to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default.svc".to_owned(),
    ];
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let advertised = config
        .advertise
        .as_deref()
        .map(|a| a.rsplit_once(':').map_or(a, |(host, _)| host));
    for name in [host.trim(), advertised.unwrap_or("")]
        .into_iter()
        .filter(|n| !n.is_empty())
    {
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => addresses.push(ip),
            Err(_) => names.push(name.to_owned()),
        }
    }
    if !address.ip().is_unspecified() && !addresses.contains(&address.ip()) {
        addresses.push(address.ip());
    }
    (names, addresses)
}

fn url(config: &Config, address: SocketAddr) -> String {
    match &config.advertise {
        Some(given) if given.contains(':') => format!("https://{given}"),
        Some(given) => format!("https://{given}:{}", address.port()),
        None if address.ip().is_unspecified() => format!("https://127.0.0.1:{}", address.port()),
        None => format!("https://{address}"),
    }
}

fn admin_kubeconfig(authority: &Authority, url: &str) -> Result<String, PkiError> {
    let credential = authority.client("admin", &[MASTERS.to_owned()])?;
    Ok(kubeconfig::text(url, authority.certificate_pem(), "admin", &credential))
}

fn write_kubeconfig(data_dir: &Path, text: &str) -> Result<(), ServerError> {
    let path = data_dir.join("kubeconfig");
    let written = std::fs::create_dir_all(data_dir).and_then(|()| pki::write_private(&path, text));
    written.map_err(|source| ServerError::File { path, source })
}

async fn ensure_namespace(objects: &Objects, name: &'static str) -> Result<(), ServerError> {
    let Some(namespaces) = objects.registry.find("", "v1", "namespaces") else {
        return Ok(());
    };
    if objects.cached(&namespaces, None, name).is_some() {
        return Ok(());
    }
    let object = json!({ "metadata": { "name": name } });
    let submitted = Submitted {
        object,
        duplicates: Vec::new(),
    };
    match objects
        .create(&namespaces, None, submitted, &WriteOptions::server())
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.reason() == "AlreadyExists" => Ok(()),
        Err(source) => Err(ServerError::Namespace { name, source }),
    }
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What clients are told: `https://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's kubeconfig, YAML. Also in the data directory.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The authority: it mints credentials for nodes and controllers.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A kubeconfig for a user in groups.
    pub fn kubeconfig_for(&self, user: &str, groups: &[String]) -> Result<String, PkiError> {
        let credential = self.authority.client(user, groups)?;
        Ok(kubeconfig::text(
            &self.url,
            self.authority.certificate_pem(),
            user,
            &credential,
        ))
    }

    /// Serves until it is told to stop; then lets open requests finish for a while.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let tasks = TaskTracker::new();
        let stop = self.app.shutdown.clone();
        tasks.spawn(self.feed.run(stop.clone()));
        tasks.spawn(housekeeping::run(self.app.objects.clone(), self.history, stop.clone()));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, self.acceptor.clone(), self.app.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: it passes, and until then trying at once is a loop.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.listener);
        stop.cancel();
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "connections are still open; leaving them");
        }
        tasks.close();
        tasks.wait().await;
        self.app.log_store.close().await;
        Ok(())
    }
}

/// One connection, to its end.
async fn connection(stream: TcpStream, acceptor: TlsAcceptor, app: Arc<App>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let tls = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let identity = Arc::new(certificate.map_or_else(Identity::anonymous, Identity::from_certificate));
    let shutdown = app.shutdown.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (app, identity) = (app.clone(), identity.clone());
        async move { Ok::<_, Infallible>(handle(app, identity, request.map(Body::new)).await) }
    });
    let builder = protocols();
    let serving = builder.serve_connection(TokioIo::new(tls), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended with an error");
    }
}

/// HTTP/2 and HTTP/1.1, with their bounds.
fn protocols() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(1000)
        .max_send_buf_size(1 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30));
    builder
}
