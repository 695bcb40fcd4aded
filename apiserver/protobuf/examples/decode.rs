//! Prints an object that was sent as protobuf as JSON: `decode <body`.

use std::io::{self, Read};

use breakbulk_protobuf::decode;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let decoded = decode(&body)?;
    println!("{}", serde_json::to_string_pretty(&decoded.object)?);
    for field in &decoded.unknown_fields {
        eprintln!("unknown field {field}");
    }
    Ok(())
}
