//! `cargo xtask bench`: builds a release and starts the benchmark, which is an example of the tests' crate.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;

/// How thoroughly.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A smoke run: every figure once, from few samples
    #[arg(long)]
    quick: bool,
    /// The store: embedded or etcd
    #[arg(long, default_value = "embedded")]
    store: String,
    /// A kube-apiserver with nothing in it, to be measured in the same rounds: a kubeconfig with a client certificate
    #[arg(long, value_name = "KUBECONFIG")]
    peer: Option<PathBuf>,
    /// Only figures of groups whose names contain one of these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Builds and measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    process::run(process::cargo(["build", "--quiet", "--release", "--bins"]))?;
    let mut cargo = process::cargo([
        "run",
        "--quiet",
        "--release",
        "--package",
        "breakbulk-tests",
        "--example",
        "bench",
    ]);
    cargo.arg("--");
    if args.quick {
        cargo.arg("--quick");
    }
    if let Some(kubeconfig) = &args.peer {
        cargo.arg("--peer").arg(kubeconfig);
    }
    cargo.args(["--store", &args.store]).args(&args.names);
    process::run(cargo)
}
