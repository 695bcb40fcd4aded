//! The sandbox of one job: what the node agent asks for, and the shim that does it.
//!
//! One `bulk-shim` process runs per attempt of a job. It outlives the agent that started it, sets the
//! sandbox up, runs the script, owns the output pipe, masks secrets, appends framed records to the spool,
//! enforces the timeout, records how the script ended, and kills whatever is left. The agent and the shim
//! share nothing but the attempt's directory ([`AttemptDir`]) and signals, so either may be restarted,
//! upgraded or killed without the other noticing more than that.
//!
//! ```text
//! agent ──Spec──▶ launch ─▶ bulk-shim (shim/) ─clone3─▶ init, pid 1 (sandbox/) ─fork─▶ the script
//!                              │  ▲                          │                           │
//!                 spool, exit.json └──── control socket ─────┘        output pipe ◀──────┘
//! ```
//!
//! The crate is synchronous, knows neither Kubernetes nor networks, and is the only one in the workspace
//! that may hold `unsafe`; all of it is in [`sys`](self) wrappers with the argument beside each block.

mod attempt_dir;
mod cgroup;
mod exit;
mod launch;
mod layer;
mod mask;
pub mod memory;
mod outputs;
mod probe;
mod remove;
mod sandbox;
mod shim;
mod spec;
mod spool;
#[expect(
    unsafe_code,
    reason = "the one module of the workspace that makes system calls no crate wraps"
)]
mod sys;

pub use attempt_dir::{AttemptDir, AttemptDirError, ShimIdentity, Started};
pub use exit::{Exit, LogEnd, Outcome, Outputs, Usage};
pub use launch::{LaunchError, Signal, is_alive, signal_shim, spawn_shim};
pub use layer::Layer;
pub use mask::{MIN_SECRET_LEN, Masker};
pub use probe::{HostReport, Support, probe};
pub use remove::{RemoveError, remove_workspace};
pub use sandbox::Step;
pub use shim::run;
pub use spec::{EnvVar, Limits, Network, Secret, SecretFile, Spec, SpecError, Tracing};
