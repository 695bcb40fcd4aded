//! A fleet: API servers, controllers and node agents as processes of their own over one etcd.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::binaries;
use crate::cluster::Cluster;
use crate::daemon::{self, Daemon};
use crate::store::{self, Kind, Store};
use crate::up::address;

/// How many of each.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// API servers.
    pub servers: usize,
    /// Controller processes.
    pub controllers: usize,
    /// Node agents.
    pub agents: usize,
}

/// A running fleet. Dropped, it and everything it started are killed.
pub struct Fleet {
    /// Talking to each API server.
    pub clusters: Vec<Cluster>,
    servers: Vec<Option<Daemon>>,
    controllers: Vec<Option<Daemon>>,
    agents: Vec<Option<Daemon>>,
    listen: Vec<String>,
    server_flags: Vec<String>,
    store: Store,
    directory: TempDir,
}

impl Fleet {
    /// Starts it; all nodes are ready when it is there.
    ///
    /// # Errors
    /// When one of its processes does not become ready.
    pub async fn start(kind: Kind, size: Size) -> Result<Self> {
        Self::start_with(kind, size, &[]).await
    }

    /// The same, with more flags for the API servers.
    ///
    /// # Errors
    /// When one of its processes does not become ready.
    pub async fn start_with(kind: Kind, size: Size, server_flags: &[&str]) -> Result<Self> {
        if kind == Kind::Embedded && size.servers > 1 {
            bail!("several API servers need a store that they share");
        }
        let directory = tempfile::Builder::new()
            .prefix("breakbulk-fleet-")
            .tempdir()
            .context("no temporary directory")?;
        let store = Store::start(kind, directory.path()).await?;
        let none = || Vec::new();
        let (clusters, listen) = (Vec::new(), Vec::new());
        let mut fleet = Self {
            clusters,
            servers: none(),
            controllers: none(),
            agents: none(),
            listen,
            server_flags: server_flags.iter().map(|flag| (*flag).to_owned()).collect(),
            store,
            directory,
        };
        for index in 0..size.servers {
            fleet.servers.push(None);
            let [port] = store::free_ports()?;
            fleet.listen.push(format!("127.0.0.1:{port}"));
            fleet.start_server(index).await?;
            let cluster = Cluster::connect(&fleet.admin(index)).await?;
            cluster.answers().await?;
            fleet.clusters.push(cluster);
        }
        for index in 0..size.controllers {
            fleet.controllers.push(None);
            fleet.start_controllers(index)?;
        }
        for index in 0..size.agents {
            fleet.agents.push(None);
            fleet.start_agent(index)?;
        }
        fleet.cluster().nodes_ready(size.agents).await?;
        Ok(fleet)
    }

    /// The first API server's client.
    pub fn cluster(&self) -> &Cluster {
        &self.clusters[0]
    }

    /// Starts API server `index`, for the first time or again.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_server(&mut self, index: usize) -> Result<()> {
        let mut command = Command::new(binaries::find("bulk-apiserver")?);
        command
            .arg("--data-dir")
            .arg(self.path("server", index))
            .arg("--pki-dir")
            .arg(self.pki());
        command.args(["--listen", &self.listen[index], "--store", &self.store.flag()]);
        command.args(&self.server_flags);
        let ready = |line: &str| line.contains("ready").then_some(());
        let output = self.log("server", index);
        let (daemon, ()) = Daemon::start("bulk-apiserver", command, &output, ready).await?;
        self.servers[index] = Some(daemon);
        Ok(())
    }

    /// Starts controllers `index`, for the first time or again.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start_controllers(&mut self, index: usize) -> Result<()> {
        let name = format!("controllers-{index}");
        let server = index % self.listen.len();
        let kubeconfig = self.mint(
            &name,
            server,
            &["--user", &name, "--group", "system:breakbulk:controllers"],
        )?;
        let mut command = Command::new(binaries::find("bulk-controllers")?);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--data-dir")
            .arg(self.path("controllers", index));
        // Short, so that a lost leader and a lost node are noticed within a test; agents fence themselves earlier.
        command.args(["--identity", &name, "--lease-ms", "2000", "--allow-local-git"]);
        command.args(["--node-silent-after-ms", "4000", "--node-lost-after-ms", "8000"]);
        let daemon = Daemon::spawn("bulk-controllers", command, &self.log("controllers", index))?;
        self.controllers[index] = Some(daemon);
        Ok(())
    }

    /// Starts agent `index`, for the first time or again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(&mut self, index: usize) -> Result<()> {
        let name = node(index);
        let kubeconfig = self.mint(&name, index % self.listen.len(), &["--node", &name])?;
        let mut command = Command::new(binaries::find("bulk-node-agent")?);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--data-dir")
            .arg(self.path("agent", index));
        command.args(["--name", &name, "--allow-local-git", "--jobs", "16"]);
        command.args(["--lease-renew", "0.5", "--lease-duration", "2", "--fence", "6"]);
        let daemon = Daemon::spawn("bulk-node-agent", command, &self.log("agent", index))?;
        self.agents[index] = Some(daemon);
        Ok(())
    }

    /// Kills API server `index`.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill_server(&mut self, index: usize) -> Result<()> {
        self.servers[index]
            .take()
            .context("this API server is not running")?
            .kill()
            .await
    }

    /// Kills controllers `index`.
    ///
    /// # Errors
    /// When they are not running.
    pub async fn kill_controllers(&mut self, index: usize) -> Result<()> {
        self.controllers[index]
            .take()
            .context("these controllers are not running")?
            .kill()
            .await
    }

    /// Kills agent `index`. Its shims go on.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill_agent(&mut self, index: usize) -> Result<()> {
        self.agents[index]
            .take()
            .context("this agent is not running")?
            .kill()
            .await
    }

    /// Kills what is left of agent `index`'s jobs, as the end of its machine would.
    pub fn kill_shims(&self, index: usize) {
        daemon::kill_all_under(&self.path("agent", index));
    }

    /// The process of API server `index`, for looks into `/proc`.
    pub fn server_pid(&self, index: usize) -> Option<nix::unistd::Pid> {
        self.servers.get(index)?.as_ref().and_then(Daemon::pid)
    }

    /// A directory of the test's own.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// What all processes said last.
    pub fn said(&self) -> String {
        let mut all = String::new();
        let groups = [
            ("server", self.servers.len()),
            ("controllers", self.controllers.len()),
            ("agent", self.agents.len()),
        ];
        for (what, count) in groups {
            for index in 0..count {
                let tail = daemon::tail(&self.log(what, index), 25);
                all.push_str(&format!("--- {what} {index}:\n{tail}\n"));
            }
        }
        all
    }

    fn mint(&self, name: &str, server: usize, who: &[&str]) -> Result<PathBuf> {
        let file = self.directory.path().join(format!("{name}.kubeconfig"));
        let mut command = Command::new(binaries::find("bulk-apiserver")?);
        command.arg("kubeconfig").arg("--pki-dir").arg(self.pki()).args(who);
        command.args(["--server", &format!("https://{}", self.listen[server])]);
        let output = command.output().context("cannot start bulk-apiserver")?;
        if !output.status.success() {
            bail!(
                "bulk-apiserver kubeconfig failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        std::fs::write(&file, output.stdout).with_context(|| format!("cannot write {}", file.display()))?;
        address(&file)?;
        Ok(file)
    }

    fn admin(&self, server: usize) -> PathBuf {
        self.path("server", server).join("kubeconfig")
    }

    fn pki(&self) -> PathBuf {
        self.directory.path().join("pki")
    }

    fn path(&self, what: &str, index: usize) -> PathBuf {
        self.directory.path().join(format!("{what}-{index}"))
    }

    fn log(&self, what: &str, index: usize) -> PathBuf {
        self.directory.path().join(format!("{what}-{index}.log"))
    }
}

/// The name of agent `index`'s node.
pub fn node(index: usize) -> String {
    format!("node-{index}")
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let all = [&mut self.servers, &mut self.controllers, &mut self.agents];
        all.into_iter().for_each(|daemons| daemons.clear());
        daemon::kill_all_under(self.directory.path());
    }
}
