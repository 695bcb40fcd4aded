//! The API server alone, in a process of its own over either store, and the very same kind of store beside it, without
//! an API: the floor of every figure that ends in the store.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use breakbulk_store::Store;
use breakbulk_store::embedded::{Embedded, Options};
use breakbulk_store::etcd::Etcd;
use breakbulk_store::testing::EtcdServer;
use breakbulk_tests::binaries;
use breakbulk_tests::daemon::Daemon;
use breakbulk_tests::store::Kind;
use breakbulk_tests::up::address;
use tempfile::TempDir;

use crate::wire::Wire;

/// A running API server.
pub(crate) struct Server {
    /// How it is reached.
    pub(crate) wire: Wire,
    /// A store like its own: the same etcd, or an embedded one on the same disk.
    pub(crate) floor: Arc<dyn Store>,
    daemon: Daemon,
    /// Dropped after the server.
    _etcd: Option<EtcdServer>,
    _directory: TempDir,
}

impl Server {
    /// Starts one. Unlike in the tests etcd syncs what it writes.
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("breakbulk-bench-")
            .tempdir()
            .context("no temporary directory")?;
        let etcd = match kind {
            Kind::Embedded => None,
            Kind::Etcd => Some(EtcdServer::start().await.context("etcd does not start")?),
        };
        let floor: Arc<dyn Store> = match &etcd {
            None => Arc::new(Embedded::open(
                &directory.path().join("floor-store"),
                Options::default(),
            )?),
            Some(etcd) => Arc::new(Etcd::connect(&etcd.options()).await?),
        };
        let data = directory.path().join("data");
        let mut command = Command::new(binaries::find("bulk-apiserver")?);
        command.arg("--data-dir").arg(&data).args(["--listen", "127.0.0.1:0"]);
        if let Some(etcd) = &etcd {
            let endpoint = etcd.endpoint();
            let endpoint = endpoint.rsplit('/').next().unwrap_or_default().to_owned();
            command.args(["--store", &format!("etcd://{endpoint}")]);
        }
        let ready = |line: &str| line.contains("ready").then_some(());
        let output = directory.path().join("apiserver.log");
        let (daemon, ()) = Daemon::start("bulk-apiserver", command, &output, ready).await?;
        let kubeconfig = data.join("kubeconfig");
        let wire = Wire::open(&kubeconfig, address(&kubeconfig)?).await?;
        Ok(Self {
            wire,
            floor,
            daemon,
            _etcd: etcd,
            _directory: directory,
        })
    }

    /// Its share of memory now, in bytes.
    pub(crate) fn memory(&self) -> Result<f64> {
        let pid = self.daemon.pid().context("the API server is not running")?;
        let megabytes = memory_field(pid.as_raw(), "Pss:")?.context("smaps_rollup has no Pss")?;
        Ok(megabytes * 1024.0 * 1024.0)
    }
}

/// A field of a process's `smaps_rollup`, in MB.
pub(crate) fn memory_field(pid: i32, name: &str) -> Result<Option<f64>> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("cannot read smaps_rollup")?;
    let line = rollup.lines().find(|line| line.starts_with(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(kilobytes.map(|kilobytes| kilobytes / 1024.0))
}
