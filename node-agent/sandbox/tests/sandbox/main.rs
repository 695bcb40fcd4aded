//! The shim as a real process, with real scripts: how attempts end, what a script can do, what it cannot.

mod abuse;
mod harness;
mod host;
mod limits;
mod ordinary_user;
mod outcomes;
mod output;
mod syscalls;
