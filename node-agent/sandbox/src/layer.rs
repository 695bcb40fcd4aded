//! The layers of protection a host may or may not offer.
//!
//! What every sandbox has (its own users, mounts, processes, and system call filter) is no layer: where
//! one of those cannot be had, the attempt fails. These here may be missing; then that is said, and an
//! attempt that requires one is not started.

use serde::{Deserialize, Serialize};

/// Something a host may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Layer {
    /// The job's user on the host is another than the agent's, and than any other job's.
    DistinctUser,
    /// A limit on the memory of all processes together, and out-of-memory told as a reason.
    MemoryLimit,
    /// A limit on the number of processes. Without it, the user's limit on processes stands in.
    PidsLimit,
    /// A limit on the processors' time.
    CpuLimit,
    /// Landlock, for files.
    Landlock,
    /// Landlock's scopes: no signals and no abstract sockets to what is outside the job.
    LandlockScopes,
}
