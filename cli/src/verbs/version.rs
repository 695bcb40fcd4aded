//! `bulk version`: ours and the server's.

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::printer;
use crate::server::JSON;
use crate::session::Session;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only ours: ask no server
    #[arg(long)]
    client: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    printer::line(&format!("bulk    {}", env!("CARGO_PKG_VERSION")))?;
    if args.client {
        return Ok(Exit::Done);
    }
    // A server that is not there is no failure of what was asked: our version was told.
    let server = match Session::open(global).await {
        Ok(session) => match session.server.get("/version", JSON).await {
            Ok(version) => version["gitVersion"].as_str().unwrap_or("unknown").to_owned(),
            Err(error) => format!("not known: {}", failure::chain(&error)),
        },
        Err(failure) => format!("not known: {failure}"),
    };
    printer::line(&format!("server  {server}"))?;
    Ok(Exit::Done)
}
