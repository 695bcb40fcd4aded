//! `bulk completion`: a script that completes our verbs and options in a shell.

use clap::{CommandFactory as _, ValueEnum};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::printer;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For which shell
    shell: Shell,
}

/// The shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::args::Args::command(), "bulk", &mut script);
    printer::out(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
