//! What third parties, the controllers, the agents and the command line share: `kube` together with our kinds, log
//! following and helpers for runs.

pub mod connect;
pub mod logs;
pub mod runs;

pub use breakbulk_schemas as schemas;
pub use connect::{ConnectError, Connection};
pub use k8s_openapi;
pub use kube;
