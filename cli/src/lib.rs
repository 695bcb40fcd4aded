//! The command line `bulk`.
//!
//! ```text
//! args (what was typed) ─▶ session (what it means: server, namespace, terminal) ─▶ verbs/* ─▶ printer
//! ```
//!
//! One file per verb. A verb talks to the server by the Kubernetes API like any other client; only `up` knows the
//! server's own parts, which it composes in one process.
//!
//! What this crate does not do: decide anything about runs or jobs. It shows what the objects say.

mod args;
mod discovery;
mod exit;
mod failure;
mod follow;
mod manifest;
mod printer;
mod server;
mod session;
mod target;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Verb};
use crate::exit::Exit;
use crate::failure::Failure;

/// Reads the arguments, does what they say, and gives the process its exit code.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough.
        Err(failure) if failure.is_broken_pipe() => Exit::Done.into(),
        Err(failure) => {
            failure.print();
            Exit::Ours.into()
        }
    }
}

fn run(args: Args) -> Result<Exit, Failure> {
    let Args { global, verb } = args;
    match verb {
        // These need no server, and `up` a runtime of its own size.
        Verb::Up(args) => return verbs::up::run(args),
        Verb::Completion(args) => return verbs::completion::run(&args),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let exit = runtime.block_on(dispatch(&global, verb));
    // A lookup or a blocking read may still be under way; nobody waits for its answer.
    runtime.shutdown_background();
    exit
}

async fn dispatch(global: &args::Global, verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Up(_) | Verb::Completion(_) => Ok(Exit::Done),
        Verb::Apply(args) => Box::pin(verbs::apply::run(args, global)).await,
        Verb::Get(args) => Box::pin(verbs::get::run(args, global)).await,
        Verb::Describe(args) => Box::pin(verbs::describe::run(args, global)).await,
        Verb::Delete(args) => Box::pin(verbs::delete::run(args, global)).await,
        Verb::Run(args) => Box::pin(verbs::run::run(args, global)).await,
        Verb::Logs(args) => Box::pin(verbs::logs::run(args, global)).await,
        Verb::Cancel(args) => Box::pin(verbs::cancel::run(args, global)).await,
        Verb::Rerun(args) => Box::pin(verbs::rerun::run(args, global)).await,
        Verb::Wait(args) => Box::pin(verbs::wait::run(args, global)).await,
        Verb::Why(args) => Box::pin(verbs::why::run(args, global)).await,
        Verb::Explain(args) => Box::pin(verbs::explain::run(args, global)).await,
        Verb::Version(args) => Box::pin(verbs::version::run(args, global)).await,
    }
}
