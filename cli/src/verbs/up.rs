//! `bulk up`: API server, controllers and one node agent in one process.

use crate::exit::Exit;
use crate::failure::Failure;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> Result<Exit, Failure> {
    Err(Failure::said("the parts are not there yet"))
}
