//! `cargo xtask check`: everything that can be said about the sources without running them. All steps are made, also
//! when one fails, so that one run shows everything there is to mend.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{codegen, edges, process, tidy};

/// Which steps.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these steps: format, clippy, docs, edges, generated, tidy
    #[arg(value_name = "STEP")]
    only: Vec<String>,
}

/// A step gives what is wrong, line by line; an error means that it could not look.
type Step = fn() -> Result<Vec<String>>;

/// The quick ones first.
const STEPS: &[(&str, Step)] = &[
    ("tidy", tidy::check),
    ("edges", edges::check),
    ("format", format),
    ("generated", codegen::check),
    ("clippy", clippy),
    ("docs", docs),
];

/// Makes the steps.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args
        .only
        .iter()
        .find(|name| !STEPS.iter().any(|(step, _)| step == name))
    {
        let names: Vec<_> = STEPS.iter().map(|(step, _)| *step).collect();
        bail!("there is no step {unknown:?}; there are {}", names.join(", "));
    }
    let mut failed = Vec::new();
    for (name, step) in STEPS
        .iter()
        .filter(|(step, _)| args.only.is_empty() || args.only.iter().any(|o| o == step))
    {
        let start = Instant::now();
        let wrong = step().unwrap_or_else(|error| vec![format!("{error:#}")]);
        for line in &wrong {
            eprintln!("  {line}");
        }
        let word = if wrong.is_empty() { "ok" } else { "FAILED" };
        eprintln!("check {name}: {word} ({:.1} s)", start.elapsed().as_secs_f64());
        if !wrong.is_empty() {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("check failed: {}", failed.join(", "))
    }
}

fn format() -> Result<Vec<String>> {
    process::run(process::cargo(["fmt", "--all", "--check"]))?;
    Ok(Vec::new())
}

fn clippy() -> Result<Vec<String>> {
    process::run(process::cargo([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    Ok(Vec::new())
}

fn docs() -> Result<Vec<String>> {
    let mut cargo = process::cargo(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    process::run(cargo)?;
    Ok(Vec::new())
}
