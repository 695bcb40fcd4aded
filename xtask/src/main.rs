//! `cargo xtask`: what developers and the CI do with the whole workspace. Each task is a module; this is the table.
//!
//! Kept out of the product's dependency graph on purpose: it starts other programs and reads their answers, so that
//! `cargo xtask` itself is built in seconds.

mod bench;
mod check;
mod codegen;
mod demo;
mod edges;
mod process;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Breakbulk workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check format, lints, docs, dependency edges, generated files and house rules
    Check(check::Args),
    /// Get etcd and kubectl where they are missing, then run every test of the workspace
    Test(test::Args),
    /// Write the generated files anew (schemas/crds)
    Codegen,
    /// Build a release and let it check, build, test and pack a part of this very repository, from a push
    Demo(demo::Args),
    /// Measure this machine and Breakbulk on it; print a table and write bench-results.json
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Check(args) => check::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Codegen => codegen::write(),
        Task::Demo(args) => demo::run(&args),
        Task::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
