//! Upstream's conformance tests over both stores, stock clients against the whole server, and watches against a model.
//!
//! The server and the controllers are processes of their own, reached over TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::too_many_lines, reason = "a transcript is read from top to bottom")]

mod clients;
mod hostile;
mod kubectl;
mod quota;
mod upstream;
mod watch_model;
