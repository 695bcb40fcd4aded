//! What the server is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::audit::AuditConfig;
use crate::overload::Limits;

/// Where objects are kept.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// In this process, in a directory.
    Embedded {
        /// The directory; made if it is not there.
        dir: PathBuf,
    },
    /// In an etcd cluster.
    Etcd {
        /// `http://host:port` or `https://host:port` of its members.
        endpoints: Vec<String>,
        /// TLS, where they speak it.
        tls: Option<EtcdTls>,
    },
}

/// Files for TLS to etcd, PEM.
#[derive(Clone, Debug)]
pub struct EtcdTls {
    /// The authority that signed its certificate.
    pub ca: PathBuf,
    /// Our certificate.
    pub certificate: Option<PathBuf>,
    /// Our key.
    pub key: Option<PathBuf>,
}

/// What the server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `host` or `host:port` that clients are told; the listening address if unset.
    pub advertise: Option<String>,
    /// For the kubeconfig, and the defaults of the others.
    pub data_dir: PathBuf,
    /// The authority's files.
    pub pki_dir: PathBuf,
    /// The logs of jobs.
    pub log_dir: PathBuf,
    /// Where objects are kept.
    pub store: StoreConfig,
    /// How long the store's history is kept at least; twice as long at most. A list that goes on in chunks, or a watch
    /// that starts at an older revision, has to begin again.
    pub history: Duration,
    /// How much is let in at once.
    pub limits: Limits,
    /// Where requests are written down; nowhere if unset.
    pub audit: Option<AuditConfig>,
}

/// What upstream keeps.
pub const HISTORY: Duration = Duration::from_secs(300);

impl Config {
    /// Everything below one directory, on the embedded store.
    pub fn embedded(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            listen,
            advertise: None,
            pki_dir: data_dir.join("pki"),
            log_dir: data_dir.join("logs"),
            store: StoreConfig::Embedded {
                dir: data_dir.join("store"),
            },
            history: HISTORY,
            data_dir,
            limits: Limits::default(),
            audit: None,
        }
    }
}
