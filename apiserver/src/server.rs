//! The server: built (store open, caches filled, socket bound, files written), then served. Every connection is a task
//! that is awaited at the end.
//!
//! It goes down in this order, so that a client never sees more than its own request refused:
//!
//! 1. *leaving*: `/readyz` fails from now on; everything else is served as before;
//! 2. *closed*: no connection is accepted any more;
//! 3. *streams end*: watches and logs are ended properly, HTTP/2 clients are told to go elsewhere (GOAWAY), connections
//!    close as soon as they have nothing open;
//! 4. *drained*: requests that are being worked on finish, for at most `DRAIN`; what is left then is left;
//! 5. *settled*: the feed, the probe and housekeeping end, the audit log and the logs of jobs are written out.
//!
//! Between the first two there is no pause: nobody balances load over several of us, and a client that is refused tries
//! again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use breakbulk_logs::ingest_service;
use breakbulk_store::Store;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{self, Chain, policy_status};
use crate::audit::{AuditError, AuditLog};
use crate::authentication::keys::KeyRing;
use crate::authentication::{MASTERS, Tokens};
use crate::authorization::{self, Authorizer};
use crate::cacher::{Adopt, Cacher, Feed, FeedError};
use crate::config::Config;
use crate::endpoints::App;
use crate::establish::Establish;
use crate::health::Health;
use crate::joblog::{CachedJobs, JobAuthority, JobLogs, Jobs};
use crate::metrics::{Measured, Metrics};
use crate::openapi::OpenApi;
use crate::overload::Overload;
use crate::pki::{self, Authority, PkiError};
use crate::registry::Registry;
use crate::registry::objects::{Objects, Submitted, WriteOptions};
use crate::{connection, housekeeping, ingest, kubeconfig, storage};

/// Namespaces that are always there.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
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
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The table of kinds has no Jobs: a build without them makes no sense.
    #[error("the table of kinds has no Jobs")]
    NoJobs,
    /// The table of kinds has no definitions: no kind could be added.
    #[error("the table of kinds has no definitions")]
    NoDefinitions,
    /// The objects of a kind that a definition brought could not be read.
    #[error("cannot read the objects of the defined kinds")]
    Definitions(#[source] breakbulk_store::Error),
    /// The table of kinds has no roles or no bindings: nobody could do anything.
    #[error("the table of kinds has no roles and bindings")]
    NoRoles,
    /// The default roles and bindings could not be made.
    #[error("cannot make the default roles and bindings")]
    Roles(#[source] crate::status::ApiError),
    /// The keys of tokens cannot be read.
    #[error("cannot read the keys of ServiceAccount tokens")]
    TokenKeys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The PriorityClasses of the system could not be made.
    #[error("cannot make the priority classes of the system")]
    Priorities(#[source] crate::status::ApiError),
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
    adopt: Adopt,
    establish: Establish,
}

/// Builds the server.
pub async fn build(config: Config) -> Result<Server, ServerError> {
    let metrics = Metrics::new();
    let store = Measured::over(storage::open(&config.store).await?, &metrics);
    let registry = Arc::new(Registry::new());
    let cacher = Arc::new(Cacher::new(store.clone()));
    let (mut feed, adopt) = Feed::fill(cacher.clone(), registry.clone()).await?;
    let read_only = Objects {
        store,
        cacher,
        registry,
        admission: Arc::new(Chain::empty()),
    };
    let authorizer = Arc::new(Authorizer::new(read_only.clone()).ok_or(ServerError::NoRoles)?);
    let objects = Objects {
        admission: Arc::new(Chain::standard(authorizer.clone())),
        ..read_only
    };
    let mut establish = Establish::new(objects.clone()).ok_or(ServerError::NoDefinitions)?;
    establish.load(&mut feed).await.map_err(ServerError::Definitions)?;

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
    authorization::bootstrap::ensure(&objects)
        .await
        .map_err(ServerError::Roles)?;
    admission::system_priorities(&objects)
        .await
        .map_err(ServerError::Priorities)?;
    let app = app(&config, objects, authorizer, metrics, url.clone())?;
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
        adopt,
        establish,
    })
}

fn app(
    config: &Config,
    objects: Objects,
    authorizer: Arc<Authorizer>,
    metrics: Arc<Metrics>,
    url: String,
) -> Result<Arc<App>, ServerError> {
    let log_store = storage::open_logs(&config.log_dir)?;
    let shutdown = CancellationToken::new();
    let jobs = CachedJobs::new(&objects.registry).ok_or(ServerError::NoJobs)?;
    let jobs: Arc<dyn Jobs> = Arc::new(jobs);
    let authority = Arc::new(JobAuthority::new(jobs.clone()));
    let service = ingest::bounded(ingest_service(log_store.clone(), authority, shutdown.clone()));
    let logs = JobLogs::new(log_store.clone(), jobs);
    let keys = token_keys(&config.pki_dir)?;
    let health = Arc::new(Health::new());
    let open = |audit| AuditLog::open(audit, metrics.clone(), health.clone());
    let audit = config.audit.as_ref().map(open).transpose()?;
    Ok(Arc::new(App {
        tokens: Tokens::new(keys, objects.clone()),
        authorizer,
        url,
        objects,
        openapi: Arc::new(OpenApi::default()),
        logs,
        log_store,
        ingest: service,
        shutdown,
        overload: Overload::new(config.limits),
        metrics,
        health,
        audit: audit.map(Arc::new),
    }))
}

/// The keys of tokens, read again from the authority's directory when they may have changed.
fn token_keys(dir: &Path) -> Result<KeyRing, ServerError> {
    let dir = dir.to_owned();
    KeyRing::open(Arc::new(move || Ok(pki::service_account_keys(&dir)?))).map_err(ServerError::TokenKeys)
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
    let submitted = Submitted::plain(object);
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

    /// Serves until it is told to stop; then goes down in order, as told above.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let app = self.app;
        let tasks = TaskTracker::new();
        let stop = app.shutdown.clone();
        let Objects { store, cacher, .. } = app.objects.clone();
        let store: Arc<dyn Store> = store;
        tasks.spawn(self.feed.run(stop.clone()));
        tasks.spawn(housekeeping::run(app.objects.clone(), self.history, stop.clone()));
        tasks.spawn(policy_status::run(app.objects.clone(), stop.clone()));
        tasks.spawn(self.establish.run(self.adopt, stop.clone()));
        tasks.spawn(app.health.clone().probe(store, cacher, stop.clone()));
        tasks.spawn(authorization::aggregation::run(app.objects.clone(), stop.clone()));
        // What was written while the server was built, the default roles above all, is to be seen by the first request.
        if let Err(error) = app.objects.cacher.catch_up().await {
            tracing::warn!(%error, "the caches are behind; the first requests may be refused");
        }
        let connections = TaskTracker::new();
        tokio::select! {
            () = shutdown.cancelled() => {}
            never = accept(&self.listener, &self.acceptor, &app, &connections) => match never {},
        }
        app.health.leave();
        drop(self.listener);
        stop.cancel();
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "connections are still open; leaving them");
        }
        tasks.close();
        tasks.wait().await;
        if let Some(audit) = &app.audit {
            audit.close().await;
        }
        app.log_store.close().await;
        Ok(())
    }
}

/// Takes connections in for good.
async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    app: &Arc<App>,
    connections: &TaskTracker,
) -> std::convert::Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match app.overload.accept() {
                Some(permit) => {
                    connections.spawn(connection::serve(stream, peer, acceptor.clone(), app.clone(), permit));
                }
                // Closed unheard: a handshake would cost what we do not have.
                None => drop(stream),
            },
            Err(error) => {
                // Out of file descriptors, most likely: it passes, and until then trying at once is a loop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
