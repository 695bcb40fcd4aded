//! The node agent: one per machine. It registers the machine as a Node, keeps its Lease, claims the jobs that the
//! scheduler bound to it, has each run by a shim, ships the logs, and reports how each attempt ended.
//!
//! ```text
//! watch ─▶ dispatch ─claim─▶ attempt ─Spec─▶ bulk-shim ──spool──▶ ship ─▶ API server
//!              │                │ ▲                │
//!              │                │ └── exit.json ◀──┘
//!              │                └─ report ─▶ job status
//!           capacity
//! heartbeat ─▶ Lease, Node        fence: kills the shims when the lease could not be renewed
//! ```
//!
//! What must survive the agent lies in one directory per attempt ([`journal`]); the agent itself may be killed and
//! restarted at any time, and its shims go on without it. A script is never started a second time: what is not
//! known to have started, and is not running, is lost.
//!
//! What it does not do: choose jobs (the scheduler), retry them (the job controller), or touch what runs inside a
//! sandbox (the shim).

mod agent;
mod attempt;
mod boot;
mod capacity;
mod checkout;
mod cleaner;
pub mod config;
mod dispatch;
mod fence;
mod heartbeat;
pub mod journal;
mod node;
mod notice;
mod secrets;
mod ship;

pub use agent::{BuildError, Built, ServeError, build};
pub use config::Config;
