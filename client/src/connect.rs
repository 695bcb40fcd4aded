//! From a kubeconfig, wherever it is, to a connected client. The controllers, the agents, the command line and third
//! parties all come in by this one door.
//!
//! It does not look for a kubeconfig: who calls it knows which one is meant.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

/// How long a connection may take to come up. The server is near; a longer wait only hides that it is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a client's address and credentials come from.
#[derive(Clone)]
pub enum Connection {
    /// A kubeconfig file, and the context in it (unset: its current context).
    File {
        /// The file.
        path: PathBuf,
        /// The context.
        context: Option<String>,
    },
    /// The text of a kubeconfig: made in this process, never written down.
    Text(String),
}

impl std::fmt::Debug for Connection {
    /// Names the way, never the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, context } => f
                .debug_struct("File")
                .field("path", path)
                .field("context", context)
                .finish(),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be read, or is no kubeconfig.
    #[error("cannot read the kubeconfig {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// The text is no kubeconfig.
    #[error("cannot read the kubeconfig")]
    Parse(#[source] Box<kube::config::KubeconfigError>),
    /// It does not name a usable cluster and user.
    #[error("the kubeconfig has no usable context")]
    Context(#[source] Box<kube::config::KubeconfigError>),
    /// Its certificates or keys cannot be used.
    #[error("cannot set up a connection from the kubeconfig")]
    Client(#[source] Box<kube::Error>),
}

impl Connection {
    /// The kubeconfig at `path`, with its current context.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            context: None,
        }
    }

    /// What to connect to and as whom.
    ///
    /// # Errors
    /// A kubeconfig that cannot be read, or that names no usable cluster and user.
    pub async fn config(&self) -> Result<kube::Config, ConnectError> {
        let (kubeconfig, context) = match self {
            Self::File { path, context } => {
                let read = Kubeconfig::read_from(path);
                let source = |source| ConnectError::Read {
                    path: path.clone(),
                    source: Box::new(source),
                };
                (read.map_err(source)?, context.clone())
            }
            Self::Text(text) => {
                let parsed = Kubeconfig::from_yaml(text);
                (parsed.map_err(|source| ConnectError::Parse(Box::new(source)))?, None)
            }
        };
        let options = KubeConfigOptions {
            context,
            ..KubeConfigOptions::default()
        };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|source| ConnectError::Context(Box::new(source)))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Between processes that are near each other compressing costs more than it saves.
        config.disable_compression = true;
        Ok(config)
    }

    /// A client. Nothing is sent yet: a wrong address shows at the first request.
    ///
    /// # Errors
    /// As [`Connection::config`], or certificates and keys that cannot be used.
    pub async fn client(&self) -> Result<kube::Client, ConnectError> {
        let config = self.config().await?;
        kube::Client::try_from(config).map_err(|source| ConnectError::Client(Box::new(source)))
    }
}
