//! `bulk up`: everything in one process, in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::binaries;
use crate::bulk::Bulk;
use crate::cluster::Cluster;
use crate::daemon::{self, Daemon};
use crate::kubectl::Kubectl;
use crate::store::{Kind, Store};

/// A running `bulk up`. Dropped, it and everything it started are killed.
pub struct Up {
    /// Talking to it.
    pub cluster: Cluster,
    daemon: Option<Daemon>,
    store: Store,
    listen: String,
    flags: Vec<String>,
    directory: TempDir,
}

/// Starts one with no more flags than it needs, runs a test against it, and shows what it said if the test failed.
///
/// # Errors
/// The test's.
pub async fn with(kind: Kind, test: impl AsyncFnOnce(&Up) -> Result<()>) -> Result<()> {
    let up = Box::pin(Up::start(kind, &[])).await?;
    let done = Box::pin(test(&up)).await;
    if done.is_err() {
        eprintln!("--- bulk up said:\n{}\n---", up.said());
    }
    done
}

impl Up {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(kind: Kind, flags: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("breakbulk-test-")
            .tempdir()
            .context("no temporary directory")?;
        let store = Store::start(kind, directory.path()).await?;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (daemon, kubeconfig) = spawn(directory.path(), &store, "127.0.0.1:0", &flags).await?;
        let cluster = Cluster::connect(&kubeconfig).await?;
        let listen = address(&kubeconfig)?;
        cluster.nodes_ready(1).await?;
        Ok(Self {
            cluster,
            daemon: Some(daemon),
            store,
            listen,
            flags,
            directory,
        })
    }

    /// Starts it again, on the same address and data, after [`Up::kill`] or [`Up::stop`].
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self) -> Result<()> {
        let (daemon, _) = spawn(self.directory.path(), &self.store, &self.listen, &self.flags).await?;
        self.daemon = Some(daemon);
        self.cluster.answers().await
    }

    /// Kills it, as a crash would. Shims go on.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("bulk up is not running")?.kill().await
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it is not running, or does not end well.
    pub async fn stop(&mut self) -> Result<()> {
        self.daemon.take().context("bulk up is not running")?.stop().await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.daemon.as_ref().context("bulk up is not running")?.signal(signal)
    }

    /// Its process, for looks into `/proc`.
    pub fn pid(&self) -> Option<nix::unistd::Pid> {
        self.daemon.as_ref().and_then(Daemon::pid)
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory of the test's own, outside the data directory.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// What it said.
    pub fn said(&self) -> String {
        daemon::tail(&output(self.directory.path()), 60)
    }

    /// kubectl with its kubeconfig.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.cluster.kubeconfig, self.directory.path())
    }

    /// `bulk` with its kubeconfig.
    ///
    /// # Errors
    /// When `bulk` was not built.
    pub fn bulk(&self) -> Result<Bulk> {
        Bulk::new(&self.cluster.kubeconfig, self.directory.path())
    }
}

/// A `bulk up` that is only started and stopped, to be timed.
pub struct Bare {
    daemon: Option<Daemon>,
    store: Store,
    directory: TempDir,
}

impl Bare {
    /// Makes its directory and starts its store, nothing more.
    ///
    /// # Errors
    /// When etcd does not start.
    pub async fn prepare(kind: Kind) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("breakbulk-bare-")
            .tempdir()
            .context("no temporary directory")?;
        let store = Store::start(kind, directory.path()).await?;
        let daemon = None;
        Ok(Self {
            daemon,
            store,
            directory,
        })
    }

    /// Starts it; done when it says that it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(&mut self) -> Result<()> {
        let (daemon, _) = spawn(self.directory.path(), &self.store, "127.0.0.1:0", &Vec::new()).await?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop(&mut self) -> Result<()> {
        self.daemon.take().context("bulk up is not running")?.stop().await
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.daemon.take());
        daemon::kill_all_under(self.directory.path());
    }
}

async fn spawn(directory: &Path, store: &Store, listen: &str, flags: &Vec<String>) -> Result<(Daemon, PathBuf)> {
    let data = directory.join("data");
    let mut command = Command::new(binaries::find("bulk")?);
    command
        .arg("up")
        .arg("--data-dir")
        .arg(&data)
        .args(["--listen", listen, "--store", &store.flag()])
        .args(flags);
    command.env_remove("KUBECONFIG").env("HOME", directory);
    let ready = |line: &str| line.starts_with("ready").then_some(());
    let (daemon, ()) = Daemon::start("bulk up", command, &output(directory), ready).await?;
    Ok((daemon, data.join("kubeconfig")))
}

fn output(directory: &Path) -> PathBuf {
    directory.join("up.log")
}

/// `host:port` of the server in a kubeconfig.
///
/// # Errors
/// When it names none.
pub fn address(kubeconfig: &Path) -> Result<String> {
    let text = std::fs::read_to_string(kubeconfig).with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let (_, rest) = text.split_once("https://").context("the kubeconfig has no server")?;
    let end = rest
        .find(|c: char| c == '"' || c == '/' || c.is_whitespace())
        .unwrap_or(rest.len());
    Ok(rest[..end].to_owned())
}
