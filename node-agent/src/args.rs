//! The command line of the agent.

use std::path::PathBuf;
use std::time::Duration;

use breakbulk_client::Connection;
use breakbulk_node_agent::Config;
use breakbulk_node_agent::config::{CapacityOverrides, LeaseTimes, LocalGit};
use breakbulk_schemas::pipeline::Network;
use breakbulk_schemas::{Scalar, quantity};
use clap::{Parser, ValueEnum};

/// Runs the jobs that are bound to this machine.
#[derive(Debug, Parser)]
#[command(name = "bulk-node-agent", version)]
pub(crate) struct Args {
    /// Credentials for `system:node:<name>`, and where the API server is.
    #[arg(long, env = "BULK_NODE_KUBECONFIG")]
    kubeconfig: PathBuf,
    /// The node's name. Unset: the machine's host name.
    #[arg(long, env = "BULK_NODE_NAME")]
    name: Option<String>,
    /// Where attempts, workspaces and mirrors lie.
    #[arg(long, default_value = "/var/lib/breakbulk/node")]
    data_dir: PathBuf,
    /// A label for the Node; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Processors to offer, such as `4` or `1500m`. Unset: all.
    #[arg(long, value_parser = cpu)]
    cpu: Option<u64>,
    /// Memory to offer, such as `8Gi`. Unset: all.
    #[arg(long, value_parser = memory)]
    memory: Option<u64>,
    /// Jobs at the same time. Unset: four per processor, at least eight.
    #[arg(long)]
    jobs: Option<u32>,
    /// A path of the machine that every job sees, read-only, at the same place; may be repeated.
    #[arg(long)]
    expose: Vec<PathBuf>,
    /// The network of jobs that do not say which.
    #[arg(long, value_enum, default_value_t = NetworkArg::Host)]
    network: NetworkArg,
    /// The shim's program. Unset: `bulk-shim` beside this one.
    #[arg(long)]
    shim: Option<PathBuf>,
    /// Seconds between renewals of the Lease.
    #[arg(long, default_value_t = 3.0)]
    lease_renew: f64,
    /// Seconds for which a renewal is good.
    #[arg(long, default_value_t = 10.0)]
    lease_duration: f64,
    /// Seconds without a renewal after which all jobs are ended.
    #[arg(long, default_value_t = 25.0)]
    fence: f64,
    /// Let repositories of this machine (`file://`, absolute paths) be checked out.
    #[arg(long)]
    allow_local_git: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkArg {
    /// Nothing but a loopback interface.
    None,
    /// What the machine reaches.
    Host,
}

impl Args {
    /// The settings.
    pub(crate) fn config(self) -> Result<Config, Box<dyn std::error::Error>> {
        let name = match self.name {
            Some(name) => name,
            None => std::fs::read_to_string("/proc/sys/kernel/hostname")?
                .trim()
                .to_lowercase(),
        };
        let mut config = Config::new(
            name,
            Connection::file(self.kubeconfig),
            std::path::absolute(self.data_dir)?,
        );
        config.labels = self.labels.into_iter().collect();
        config.capacity = CapacityOverrides {
            cpu_millis: self.cpu,
            memory_bytes: self.memory,
            jobs: self.jobs,
        };
        config.expose = self.expose;
        config.network = match self.network {
            NetworkArg::None => Network::None,
            NetworkArg::Host => Network::Host,
        };
        config.shim = self.shim;
        config.lease = LeaseTimes {
            renew: Duration::try_from_secs_f64(self.lease_renew)?,
            duration: Duration::try_from_secs_f64(self.lease_duration)?,
            fence: Duration::try_from_secs_f64(self.fence)?,
        };
        if self.allow_local_git {
            config.local_git = LocalGit::Allowed;
        }
        Ok(config)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn cpu(text: &str) -> Result<u64, String> {
    quantity::cpu_millis(&Scalar::from(text)).map_err(|error| error.to_string())
}

fn memory(text: &str) -> Result<u64, String> {
    quantity::memory_bytes(&Scalar::from(text)).map_err(|error| error.to_string())
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}
