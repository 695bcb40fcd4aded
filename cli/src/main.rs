//! `bulk`: the command line of Breakbulk. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    breakbulk_cli::main()
}
