//! The log store as its users see it: agents over gRPC on loopback, readers through the library.
#![allow(clippy::unwrap_used, reason = "a test ends at its first fault")]

mod agent;
mod crash;
mod disk;
mod ingest;
mod model;
mod readers;
mod server;
