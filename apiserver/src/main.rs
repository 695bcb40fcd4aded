//! `bulk-apiserver`: the API server as a process of its own.

use std::process::ExitCode;

use breakbulk_apiserver::command;

#[tokio::main]
async fn main() -> ExitCode {
    command::run().await
}
