//! `bulk up`: API server, controllers and one node agent in one process, composed of the same libraries that the
//! separate processes are made of, and talking to each other over the same TLS and with the same rights.

mod compose;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::Failure;
use settings::{Settings, Store};

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where everything is kept. Default: $BREAKBULK_DATA_DIR, else /var/lib/breakbulk for root, else
    /// ~/.local/share/breakbulk
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The address to listen on. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Where objects are kept: `embedded`, or an etcd cluster as etcd://HOST:PORT,…
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    store: Store,
    /// A path of this machine that every job sees, read-only. May be given several times
    #[arg(long, value_name = "PATH")]
    expose: Vec<PathBuf>,
    /// How many jobs run at the same time. Default: four per processor, at least eight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    slots: Option<u32>,
    /// The node's name. Default: this machine's
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// A label of the node. May be given several times
    #[arg(long = "node-label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// What jobs reach over the network unless they say so themselves: `host` or `none`
    #[arg(long, value_name = "NETWORK", default_value = "host")]
    network: settings::Network,
    /// The program that watches over each job. Default: bulk-shim beside this program
    #[arg(long, value_name = "FILE")]
    shim: Option<PathBuf>,
    /// The file to write the API's requests down in, one JSON line for each event. Default: nowhere
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// A Policy of audit.k8s.io/v1 that says which requests, YAML. Default: all, without bodies
    #[arg(long, value_name = "FILE", requires = "audit_log")]
    audit_policy: Option<PathBuf>,
    /// Refuse repositories that are paths of this machine
    #[arg(long)]
    no_local_git: bool,
}

/// Threads for connections, watches and timers; blocking work has its own. More of them only cost memory: what takes
/// time here is the disk and the jobs.
const MAX_WORKERS: usize = 4;

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let settings = Settings::new(args)?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("BREAKBULK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let workers = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, MAX_WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    runtime.block_on(compose::up(settings))?;
    Ok(Exit::Done)
}
