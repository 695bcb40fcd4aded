//! The command line of `bulk-controllers`.

use std::path::PathBuf;
use std::time::Duration;

use breakbulk_client::Connection;
use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Election, Settings};
use crate::serve::{self, BuildError};

/// Runs the controllers of Breakbulk against an API server.
#[derive(Debug, Parser)]
#[command(name = "bulk-controllers", version)]
struct Arguments {
    /// The kubeconfig of the API server.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// Where git mirrors are kept.
    #[arg(long, default_value = "/var/lib/breakbulk/controllers")]
    data_dir: PathBuf,
    /// Allow repositories that are paths on this machine.
    #[arg(long)]
    allow_local_git: bool,
    /// Act at once, without being elected. Only where there is never a second process.
    #[arg(long)]
    no_election: bool,
    /// This process's name in the election. Default: made from the host's name and the process id.
    #[arg(long)]
    identity: Option<String>,
    /// For how long a leader may be silent before another takes over, in milliseconds.
    #[arg(long, default_value = "15000")]
    lease_ms: u64,
    /// After how long without a renewed lease a node gets no new jobs, in milliseconds.
    #[arg(long, default_value = "12000")]
    node_silent_after_ms: u64,
    /// After how long without a renewed lease a node's attempts are lost, in milliseconds. Must be longer than the
    /// agents' fence.
    #[arg(long, default_value = "45000")]
    node_lost_after_ms: u64,
}

/// Runs until SIGTERM or SIGINT, as the command line says.
///
/// # Errors
/// Credentials that cannot be used.
pub async fn run() -> Result<(), BuildError> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let controllers = serve::build(config(Arguments::parse())).await?;
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(serve::until_signal(shutdown.clone()));
    controllers.serve(shutdown).await;
    signals.abort();
    Ok(())
}

fn config(arguments: Arguments) -> Config {
    let lease = Duration::from_millis(arguments.lease_ms.max(100));
    let identity = arguments.identity.unwrap_or_else(identity);
    let election = Election {
        lease,
        renew_deadline: lease * 2 / 3,
        retry: lease / 8,
        ..Election::new(identity)
    };
    let settings = Settings {
        allow_local_git: arguments.allow_local_git,
        node_silent_after: Duration::from_millis(arguments.node_silent_after_ms),
        node_lost_after: Duration::from_millis(arguments.node_lost_after_ms),
        ..Settings::new(arguments.data_dir)
    };
    Config {
        server: Connection::file(arguments.kubeconfig),
        election: (!arguments.no_election).then_some(election),
        settings,
    }
}

/// A name that no other process has: machines of a fleet may share a host name, and process ids come round again.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let started = jiff::Timestamp::now().as_millisecond();
    format!("{}-{}-{started}", host.trim(), std::process::id())
}
