//! Compiles `proto/log.proto` with protox, so that nobody needs a protoc to build.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/log.proto");
    let descriptors = protox::compile(["log.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
