//! The benchmark, started by `cargo xtask bench`: measures a release build of Breakbulk on this machine, and beside
//! each figure the floor of the machine, measured in the same run. Prints a table and writes `bench-results.json`.
//!
//! A figure is the median of its rounds; the spread is shown beside it, since machines are shared. Nothing here is a
//! test: no figure makes anything fail.

mod api;
mod floors;
mod jobs;
mod logs;
mod report;
mod server;
mod start;
mod stored;
mod watchers;
mod wire;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use breakbulk_tests::store::Kind;
use breakbulk_tests::up::{Up, address};
use clap::Parser;

use crate::report::Figure;
use crate::wire::Wire;

/// What is measured together. Those of the API are of the API server alone, in a process of its own.
const GROUPS: [&str; 10] = [
    "start",
    "api",
    "api-watchers",
    "api-idle-watch",
    "api-memory",
    "api-delete",
    "first-byte",
    "jobs",
    "echo",
    "throughput",
];

/// Measure Breakbulk on this machine.
#[derive(Debug, Parser)]
struct Args {
    /// A smoke run: few samples, one round
    #[arg(long)]
    quick: bool,
    /// The store: embedded or etcd
    #[arg(long, default_value = "embedded")]
    store: String,
    /// A kube-apiserver with nothing in it, to be measured in the same rounds: a kubeconfig with a client certificate
    #[arg(long, value_name = "KUBECONFIG")]
    peer: Option<PathBuf>,
    /// Only groups whose names contain one of these
    names: Vec<String>,
}

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds of each figure.
    pub(crate) rounds: usize,
    /// The part of the full number of samples that is taken, in percent.
    pub(crate) percent: usize,
}

impl Effort {
    /// So many samples of `full`; at least one.
    pub(crate) fn samples(self, full: usize) -> usize {
        (full * self.percent / 100).max(1)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let effort = if args.quick {
        Effort { rounds: 1, percent: 10 }
    } else {
        Effort {
            rounds: 3,
            percent: 100,
        }
    };
    let kind = if args.store == "etcd" {
        Kind::Etcd
    } else {
        Kind::Embedded
    };
    let peer = match &args.peer {
        Some(kubeconfig) => Some(Wire::open(kubeconfig, address(kubeconfig)?).await?),
        None => None,
    };
    let wanted = |name: &str| args.names.is_empty() || args.names.iter().any(|part| name.contains(part.as_str()));
    let mut figures = Vec::new();
    for group in GROUPS {
        if !wanted(group) {
            continue;
        }
        eprintln!("measuring {group} …");
        match Box::pin(measure(group, kind, effort, peer.as_ref()))
            .await
            .with_context(|| format!("measuring {group}"))
        {
            Ok(measured) => figures.extend(measured),
            // One figure that cannot be taken is no reason to throw the others away.
            Err(error) => eprintln!("{error:#}"),
        }
    }
    report::print(&figures);
    report::write(&figures, effort.rounds)
}

async fn measure(group: &str, kind: Kind, effort: Effort, peer: Option<&Wire>) -> Result<Vec<Figure>> {
    match group {
        "start" => return start::measure(kind, effort).await,
        "api" => return api::measure(kind, effort, peer).await,
        "api-watchers" => return watchers::fan_out(kind, effort, peer).await,
        "api-idle-watch" => return watchers::idle(kind, effort).await,
        "api-memory" => return stored::memory(kind, effort).await,
        "api-delete" => return stored::delete_collection(kind, effort).await,
        _ => {}
    }
    // Each group on a fresh server, so that none measures what another left behind.
    let up = Up::start(kind, &["--slots", "64"]).await?;
    match group {
        "first-byte" => jobs::first_byte(&up, effort).await,
        "jobs" => jobs::many(&up, effort).await,
        "echo" => logs::echo(&up, effort).await,
        _ => logs::throughput(&up, effort).await,
    }
}
