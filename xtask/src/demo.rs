//! `cargo xtask demo`: Breakbulk at work on its own repository.

use anyhow::{Result, bail};

/// How.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the server running at the end, and say how to go on
    #[arg(long)]
    keep: bool,
}

/// Shows it.
pub(crate) fn run(args: &Args) -> Result<()> {
    bail!("the demo is not there yet (keep: {})", args.keep)
}
