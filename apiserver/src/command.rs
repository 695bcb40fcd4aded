//! The command line of `bulk-apiserver`: serve, mint a kubeconfig, or change the key of tokens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::audit::{AuditConfig, Sink};
use crate::authentication::{NODE_PREFIX, NODES};
use crate::config::{Config, EtcdTls, HISTORY, StoreConfig};
use crate::overload::Limits;
use crate::pki::{Authority, PkiError};
use crate::server::{self, ServerError};
use crate::{kubeconfig, pki};

/// The API server of Breakbulk: speaks the Kubernetes API over TLS.
#[derive(Debug, Parser)]
#[command(name = "bulk-apiserver", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Where everything is kept that has no directory of its own.
    #[arg(long, env = "BULK_DATA_DIR", default_value = "/var/lib/breakbulk")]
    data_dir: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Where objects are kept: `embedded`, or `etcd://host:port,host:port…` (`etcds://` for TLS).
    #[arg(long, default_value = "embedded")]
    store: String,
    /// The authority's files. Default: `pki` in the data directory.
    #[arg(long, global = true)]
    pki_dir: Option<PathBuf>,
    /// The logs of jobs. Default: `logs` in the data directory.
    #[arg(long)]
    log_dir: Option<PathBuf>,
    /// How many seconds of history the store keeps at least, for lists in chunks and for watches; twice as many at most.
    #[arg(long, value_name = "SECONDS", default_value_t = HISTORY.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    history_retention: u64,
    /// The host, or host:port, that clients are told. Default: the address listened on.
    #[arg(long)]
    advertise: Option<String>,
    /// For etcds://: the authority's certificate, PEM.
    #[arg(long)]
    etcd_ca: Option<PathBuf>,
    /// For etcds://: our certificate, PEM.
    #[arg(long, requires = "etcd_key")]
    etcd_cert: Option<PathBuf>,
    /// For etcds://: our key, PEM.
    #[arg(long, requires = "etcd_cert")]
    etcd_key: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    audit: AuditArguments,
}

/// How much is let in at once.
#[derive(Debug, clap::Args)]
struct LimitArguments {
    /// Requests that read and are worked on at once; more are told to come again (429).
    #[arg(long, default_value_t = Limits::default().read_only)]
    max_requests_inflight: usize,
    /// Requests that write and are worked on at once.
    #[arg(long, default_value_t = Limits::default().mutating)]
    max_mutating_requests_inflight: usize,
    /// Watches and logs that are open at once.
    #[arg(long, default_value_t = Limits::default().long_running)]
    max_longrunning_requests: usize,
    /// Connections that are open at once.
    #[arg(long, default_value_t = Limits::default().connections)]
    max_connections: usize,
}

/// The audit log.
#[derive(Debug, clap::Args)]
struct AuditArguments {
    /// The file to write requests down in, one JSON line for each event; `-` is standard output. Default: nowhere.
    #[arg(long)]
    audit_log_path: Option<PathBuf>,
    /// A file with a Policy of audit.k8s.io/v1, YAML. Default: everything at level Metadata.
    #[arg(long, requires = "audit_log_path")]
    audit_policy_file: Option<PathBuf>,
    /// Megabytes after which the file is set aside.
    #[arg(long, default_value_t = AuditConfig::MAX_MEGABYTES, value_parser = clap::value_parser!(u64).range(1..1 << 20))]
    audit_log_maxsize: u64,
    /// How many files that were set aside are kept.
    #[arg(long, default_value_t = AuditConfig::BACKUPS)]
    audit_log_maxbackup: u16,
}

impl LimitArguments {
    fn limits(&self) -> Limits {
        Limits {
            read_only: self.max_requests_inflight,
            mutating: self.max_mutating_requests_inflight,
            long_running: self.max_longrunning_requests,
            connections: self.max_connections,
            ..Limits::default()
        }
    }
}

impl AuditArguments {
    fn config(&self) -> Option<AuditConfig> {
        let path = self.audit_log_path.clone()?;
        let sink = if path.as_os_str() == "-" {
            Sink::Stdout
        } else {
            Sink::File {
                path,
                max_bytes: self.audit_log_maxsize << 20,
                backups: usize::from(self.audit_log_maxbackup),
            }
        };
        Some(AuditConfig {
            sink,
            policy: self.audit_policy_file.clone(),
        })
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Mint a client certificate and print a kubeconfig with it.
    Kubeconfig {
        /// The user name.
        #[arg(long, required_unless_present = "node", conflicts_with = "node")]
        user: Option<String>,
        /// A group of the user; may be given more than once.
        #[arg(long)]
        group: Vec<String>,
        /// A node's name: for its agent.
        #[arg(long)]
        node: Option<String>,
        /// The server's URL, `https://host:port`.
        #[arg(long)]
        server: String,
        /// The file to write (0600), instead of printing.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Make a new key to sign ServiceAccount tokens with. Servers take it up by themselves; tokens of the one before are
    /// good until its file, which is printed, is deleted.
    RotateTokenKey,
}

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("--store {0:?} is none of: embedded, etcd://host:port, etcds://host:port")]
    StoreUrl(String),
    #[error("--store etcds:// needs --etcd-ca")]
    NoAuthority,
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Runs what the command line says.
pub async fn run() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let done = match &arguments.verb {
        Some(verb) => act(&arguments, verb),
        None => serve(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: &Arguments, verb: &Verb) -> Result<(), CommandError> {
    let Verb::Kubeconfig {
        user,
        group,
        node,
        server,
        out,
    } = verb
    else {
        println!("{}", pki::rotate_service_account_key(&arguments.pki_dir())?.display());
        return Ok(());
    };
    let (user, groups) = match (user, node) {
        (_, Some(node)) => (format!("{NODE_PREFIX}{node}"), vec![NODES.to_owned()]),
        (user, None) => (user.clone().unwrap_or_default(), group.clone()),
    };
    let authority = Authority::open(&arguments.pki_dir())?;
    let credential = authority.client(&user, &groups)?;
    let text = kubeconfig::text(server, authority.certificate_pem(), &user, &credential);
    match out {
        Some(path) => pki::write_private(path, &text).map_err(|source| CommandError::Write {
            path: path.clone(),
            source,
        }),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

async fn serve(arguments: &Arguments) -> Result<(), CommandError> {
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Signal)?;
    let server = server::build(arguments.config()?).await?;
    println!(
        "ready {} kubeconfig {}",
        server.url(),
        arguments.data_dir.join("kubeconfig").display()
    );
    let serving = server.serve(shutdown.clone());
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    Ok(serving.await?)
}

impl Arguments {
    fn pki_dir(&self) -> PathBuf {
        self.pki_dir.clone().unwrap_or_else(|| self.data_dir.join("pki"))
    }

    fn config(&self) -> Result<Config, CommandError> {
        let mut config = Config::embedded(self.listen, &self.data_dir);
        config.pki_dir = self.pki_dir();
        if let Some(dir) = &self.log_dir {
            config.log_dir.clone_from(dir);
        }
        config.advertise.clone_from(&self.advertise);
        config.history = Duration::from_secs(self.history_retention);
        config.limits = self.limits.limits();
        config.audit = self.audit.config();
        if self.store != "embedded" {
            config.store = self.etcd()?;
        }
        Ok(config)
    }

    fn etcd(&self) -> Result<StoreConfig, CommandError> {
        let (scheme, members) = match (self.store.strip_prefix("etcd://"), self.store.strip_prefix("etcds://")) {
            (Some(members), _) => ("http", members),
            (_, Some(members)) => ("https", members),
            _ => return Err(CommandError::StoreUrl(self.store.clone())),
        };
        let tls = match (scheme, &self.etcd_ca) {
            ("http", _) => None,
            (_, Some(ca)) => Some(EtcdTls {
                ca: ca.clone(),
                certificate: self.etcd_cert.clone(),
                key: self.etcd_key.clone(),
            }),
            (_, None) => return Err(CommandError::NoAuthority),
        };
        let endpoints: Vec<String> = members
            .split(',')
            .filter(|m| !m.is_empty())
            .map(|m| format!("{scheme}://{m}"))
            .collect();
        if endpoints.is_empty() {
            return Err(CommandError::StoreUrl(self.store.clone()));
        }
        Ok(StoreConfig::Etcd { endpoints, tls })
    }
}
