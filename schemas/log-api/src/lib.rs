//! The log protocol: `proto/log.proto` and the code generated from it, nothing else.
//!
//! A node agent ships the spools of its jobs to the API server over this one service. What the bytes of
//! an append look like is `breakbulk-log-record`'s; how they are kept is `breakbulk-logs`'s.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    reason = "generated; the proto file carries the documentation"
)]

tonic::include_proto!("breakbulk.log.v1");
