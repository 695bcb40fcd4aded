//! Writes an OpenAPI document as protobuf, to look at it with other tools: `openapi v2|v3 <document.json >document.pb`.

use std::io::{self, Write};
use std::process::ExitCode;

use breakbulk_protobuf::{openapi_v2, openapi_v3};

fn main() -> io::Result<ExitCode> {
    let encode = match std::env::args().nth(1).as_deref() {
        Some("v2") => openapi_v2,
        Some("v3") => openapi_v3,
        _ => {
            eprintln!("usage: openapi v2|v3 <document.json >document.pb");
            return Ok(ExitCode::from(2));
        }
    };
    let document = serde_json::from_reader(io::stdin().lock())?;
    io::stdout().lock().write_all(&encode(&document))?;
    Ok(ExitCode::SUCCESS)
}
