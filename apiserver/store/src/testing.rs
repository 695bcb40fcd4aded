//! An etcd server for tests: a real process on free ports of the loopback, in a temporary directory.
//!
//! Any crate's tests can use it, with the feature `testing`.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::etcd::{Etcd, Options, Tls};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why no server runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The program could not be started; is it installed?
    #[error("{} could not be started", .program.display())]
    Start {
        /// What was tried.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A directory or a port could not be had.
    #[error("no directory or port for etcd")]
    Prepare(#[from] io::Error),
    /// It runs but does not answer.
    #[error("etcd does not answer: {0}")]
    Silent(String),
}

/// A running etcd; stopped and removed when dropped.
pub struct EtcdServer {
    program: PathBuf,
    dir: tempfile::TempDir,
    client_port: u16,
    peer_port: u16,
    extra: Vec<String>,
    tls: Option<Tls>,
    child: Option<Child>,
}

impl EtcdServer {
    /// Starts a server and waits until it answers. The program is `etcd` on the path, or what `BREAKBULK_ETCD` says.
    ///
    /// # Errors
    /// When it can't be started or doesn't answer in time.
    pub async fn start() -> Result<Self, HarnessError> {
        Self::start_with(&[], None).await
    }

    /// The same with more arguments, and with TLS for clients, whose files are then among the arguments.
    ///
    /// # Errors
    /// When it can't be started or doesn't answer in time.
    pub async fn start_with(extra: &[&str], tls: Option<Tls>) -> Result<Self, HarnessError> {
        let program = std::env::var_os("BREAKBULK_ETCD").map_or_else(|| PathBuf::from("etcd"), PathBuf::from);
        let mut last = None;
        // A port that was free a moment ago may be taken: then the server ends, and another one is tried.
        for _ in 0..5 {
            let dir = tempfile::Builder::new().prefix("etcd-").tempdir()?;
            let (client_port, peer_port) = (free_port()?, free_port()?);
            let extra = extra.iter().map(|argument| (*argument).to_owned()).collect();
            let mut server = Self {
                program: program.clone(),
                dir,
                client_port,
                peer_port,
                extra,
                tls: tls.clone(),
                child: None,
            };
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(error @ HarnessError::Silent(_)) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| HarnessError::Silent("it never ran".to_owned())))
    }

    /// Where clients connect: `http://127.0.0.1:PORT`, or `https://`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.client_port)
    }

    /// Options for [`Etcd::connect`].
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            tls: self.tls.clone(),
            ..Options::plain([self.endpoint()])
        }
    }

    /// Kills the server (SIGKILL) if it runs. Its data stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the server if it doesn't run, with its data and ports, and waits until it answers.
    ///
    /// # Errors
    /// When it can't be started or doesn't answer in time.
    pub async fn restart(&mut self) -> Result<(), HarnessError> {
        if self.child.is_none() {
            self.child = Some(self.spawn()?);
        }
        let started = Instant::now();
        let mut options = self.options();
        options.request_timeout = Duration::from_millis(500);
        loop {
            let refused = match Etcd::connect(&options).await {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok()).flatten();
            if let Some(status) = ended {
                self.child = None;
                return Err(HarnessError::Silent(format!("it ended with {status}")));
            }
            if started.elapsed() > PATIENCE {
                return Err(HarnessError::Silent(refused));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn spawn(&self) -> Result<Child, HarnessError> {
        let (client, peer) = (self.endpoint(), format!("http://127.0.0.1:{}", self.peer_port));
        Command::new(&self.program)
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .args(["--name", "default", "--log-level", "error", "--logger", "zap"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| HarnessError::Start {
                program: self.program.clone(),
                source,
            })
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
