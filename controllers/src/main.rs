//! `bulk-controllers`: the controllers as a process of their own. Several may run; one of them acts.

use std::process::ExitCode;

use breakbulk_controllers::command;

#[tokio::main]
async fn main() -> ExitCode {
    match command::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot start");
            ExitCode::FAILURE
        }
    }
}
