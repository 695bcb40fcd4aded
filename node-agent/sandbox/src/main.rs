//! `bulk-shim <attempt-dir>`: runs one attempt of one job. See the crate's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(dir), None) => breakbulk_sandbox::run(breakbulk_sandbox::AttemptDir::new(dir)),
        _ => {
            eprintln!("usage: bulk-shim <attempt-dir>, with the attempt's spec as JSON on standard input");
            ExitCode::from(2)
        }
    }
}
