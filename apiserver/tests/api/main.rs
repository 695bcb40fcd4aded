//! The API server as its clients see it: real servers over TLS, on both stores, with kube-rs and with kubectl.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::too_many_lines, reason = "a transcript is read from top to bottom")]

mod access;
mod connections;
mod conversion;
mod crud;
mod definitions;
mod deletion;
mod events;
mod explain;
mod harness;
mod hook;
mod hostile;
mod kubectl;
mod kubectl_auth;
mod manners;
mod openapi;
mod pods;
mod policies;
mod protobuf;
mod quota;
mod rbac;
mod tokens;
mod watch;
mod webhooks;
mod webhooks_hostile;
mod websocket;
