//! The API server as its clients see it: real servers over TLS, on both stores, with kube-rs and with kubectl.

mod access;
mod crud;
mod harness;
mod hostile;
mod kubectl;
mod watch;
