//! What the shared options mean: which server, as whom, in which namespace, on what kind of terminal.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::args::Global;
use crate::failure::Failure;
use crate::printer::Terminal;
use crate::server::Server;

/// A verb's surroundings.
pub(crate) struct Session {
    /// The API server.
    pub(crate) server: Server,
    /// The namespace asked for, or the context's.
    pub(crate) namespace: String,
    /// Where the output goes.
    pub(crate) terminal: Terminal,
}

impl Session {
    /// Reads the credentials. Nothing is sent yet.
    pub(crate) async fn open(global: &Global) -> Result<Self, Failure> {
        let (kubeconfig, path) = kubeconfig(global.kubeconfig.as_deref())?;
        let options = KubeConfigOptions {
            context: global.context.clone(),
            ..KubeConfigOptions::default()
        };
        let failed = |source| Failure::Kubeconfig {
            path: path.clone(),
            source: Box::new(source),
        };
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(failed)?;
        let namespace = global
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let doing = format!("use the credentials in {path}");
        let client = kube::Client::try_from(config).map_err(Failure::server(doing))?;
        Ok(Self {
            server: Server::new(client),
            namespace,
            terminal: Terminal::new(global.color),
        })
    }
}

/// The kubeconfig, and what to call it: the file given, those in `$KUBECONFIG`, `~/.kube/config`, as kubectl has it;
/// and when there is none of these, the one that `bulk up` wrote.
fn kubeconfig(given: Option<&Path>) -> Result<(Kubeconfig, String), Failure> {
    let read = |path: &Path| {
        let name = path.display().to_string();
        match Kubeconfig::read_from(path) {
            Ok(kubeconfig) => Ok((kubeconfig, name)),
            Err(source) => Err(Failure::Kubeconfig {
                path: name,
                source: Box::new(source),
            }),
        }
    };
    if let Some(path) = given {
        return read(path);
    }
    match Kubeconfig::from_env() {
        Ok(Some(kubeconfig)) => return Ok((kubeconfig, "$KUBECONFIG".to_owned())),
        Ok(None) => {}
        Err(source) => {
            return Err(Failure::Kubeconfig {
                path: "$KUBECONFIG".to_owned(),
                source: Box::new(source),
            });
        }
    }
    let own = default_data_dir().join("kubeconfig");
    match home().map(|home| home.join(".kube/config")) {
        Some(path) if path.exists() => read(&path),
        _ if own.exists() => {
            eprintln!("bulk: using {} (set KUBECONFIG to choose another)", own.display());
            read(&own)
        }
        _ => Err(Failure::said(format!(
            "no kubeconfig: none in $KUBECONFIG, ~/.kube/config or {}. Start a server with `bulk up`, or name one \
             with --kubeconfig",
            own.display()
        ))),
    }
}

/// Where `bulk up` keeps its data unless told otherwise: `$BREAKBULK_DATA_DIR`, else `/var/lib/breakbulk` for root,
/// else `~/.local/share/breakbulk`.
pub(crate) fn default_data_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("BREAKBULK_DATA_DIR").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    if is_root() {
        return PathBuf::from("/var/lib/breakbulk");
    }
    let share = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    let share = share.or_else(|| home().map(|home| home.join(".local/share")));
    share.unwrap_or_else(|| PathBuf::from(".")).join("breakbulk")
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
}

/// Whether this process runs as root: it owns its own entry in `/proc`.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
