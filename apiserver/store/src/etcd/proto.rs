//! The code generated from `proto/etcd.proto`, nothing else.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the proto file carries the documentation"
)]

tonic::include_proto!("etcdserverpb");
