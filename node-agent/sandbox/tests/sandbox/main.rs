//! The shim as a real process, with real scripts: how attempts end, what a script can do, what it cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod abuse;
mod harness;
mod host;
mod limits;
mod ordinary_user;
mod outcomes;
mod output;
mod syscalls;
