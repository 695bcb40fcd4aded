//! What was typed: the verbs and the options that all of them share. What it means is decided in `session` and in
//! each verb.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::exit;
use crate::verbs;

/// CI/CD for plain processes: a control plane that speaks the Kubernetes API.
#[derive(Debug, Parser)]
#[command(
    name = "bulk",
    disable_version_flag = true,
    disable_help_subcommand = true,
    after_help = exit::HELP,
    max_term_width = 100
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb that talks to a server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Global {
    /// The kubeconfig file. Default: those in $KUBECONFIG, else ~/.kube/config, else the one of `bulk up`.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace. Default: the context's.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Whether to use colours.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        visible_alias = "colour"
    )]
    pub(crate) color: When,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start API server, controllers and a node agent in one process
    Up(verbs::up::Args),
    /// Create or update objects from manifests
    Apply(verbs::apply::Args),
    /// Show objects
    Get(verbs::get::Args),
    /// Show one object with its state, history and events
    Describe(verbs::describe::Args),
    /// Delete objects
    Delete(verbs::delete::Args),
    /// Start a run of a pipeline
    Run(verbs::run::Args),
    /// Show the log of a job, or of all jobs of a run
    Logs(verbs::logs::Args),
    /// Stop runs or jobs
    Cancel(verbs::cancel::Args),
    /// Do a run again, or only what failed in it
    Rerun(verbs::rerun::Args),
    /// Wait until a run or job has ended, a condition holds or an object is gone
    Wait(verbs::wait::Args),
    /// Say what a run or job waits for, or why it went as it did
    Why(verbs::why::Args),
    /// Show the fields of a kind
    Explain(verbs::explain::Args),
    /// Show the versions of bulk and of the server
    Version(verbs::version::Args),
    /// Print a completion script for a shell
    Completion(verbs::completion::Args),
}
