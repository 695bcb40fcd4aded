//! What the API server keeps its objects in: the embedded store, or an etcd of the test's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::daemon::Daemon;

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In the API server's process.
    Embedded,
    /// A real etcd of one member.
    Etcd,
}

/// A store that is there.
pub enum Store {
    /// Nothing to run.
    Embedded,
    /// A process.
    Etcd {
        /// The process.
        daemon: Box<Daemon>,
        /// `127.0.0.1:port`.
        endpoint: String,
    },
}

impl Store {
    /// Starts it, with its files below `directory`.
    ///
    /// # Errors
    /// When etcd is not there or does not start.
    pub async fn start(kind: Kind, directory: &Path) -> Result<Self> {
        match kind {
            Kind::Embedded => Ok(Self::Embedded),
            Kind::Etcd => {
                let (daemon, endpoint) = etcd(directory).await?;
                let daemon = Box::new(daemon);
                Ok(Self::Etcd { daemon, endpoint })
            }
        }
    }

    /// The value of `--store`.
    pub fn flag(&self) -> String {
        match self {
            Self::Embedded => "embedded".to_owned(),
            Self::Etcd { endpoint, .. } => format!("etcd://{endpoint}"),
        }
    }
}

async fn etcd(directory: &Path) -> Result<(Daemon, String)> {
    let [client, peer] = free_ports()?;
    let data = directory.join("etcd");
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "test", "--data-dir"]).arg(&data);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("test={peer}"), "--unsafe-no-fsync"]);
    let ready = |line: &str| line.contains("ready to serve client requests").then_some(());
    let (daemon, ()) = Daemon::start("etcd", command, &directory.join("etcd.log"), ready).await?;
    Ok((daemon, client.trim_start_matches("http://").to_owned()))
}

/// Ports that were free a moment ago, for programs that cannot choose their own.
///
/// # Errors
/// When there is none.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
        *port = listener.local_addr().context("a listener has no address")?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
