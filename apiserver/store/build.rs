//! Compiles `proto/etcd.proto` with protox, so that nobody needs a protoc to build.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/etcd.proto");
    let descriptors = protox::compile(["etcd.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        // What is written is not copied before it is sent: the value is shared with who wrote it. What is read is, so
        // that a value that is kept does not keep all that came with it.
        .bytes(".etcdserverpb.PutRequest")
        .bytes(".etcdserverpb.DeleteRangeRequest")
        .bytes(".etcdserverpb.Compare")
        .compile_fds(descriptors)?;
    Ok(())
}
