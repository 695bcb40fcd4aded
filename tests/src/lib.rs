//! The harness of the end-to-end tests: real processes, started in temporary directories on free ports, over both
//! stores, and talked to as anybody would (kube-rs, kubectl, `bulk`, git).
//!
//! ```text
//! store (etcd or none) ─▶ up | fleet (processes) ─▶ cluster (client, runs, logs) ─▶ tests/<area>
//! ```
//!
//! Tests wait for conditions with [`wait::until`], which says at its deadline what it saw last. Whatever a test started
//! is gone when it ends, however it ends.
//!
//! What this does not do: know how Breakbulk works inside. It builds on the public types and the wire alone.

pub mod binaries;
pub mod bulk;
pub mod cluster;
pub mod daemon;
pub mod fleet;
pub mod git;
pub mod kubectl;
pub mod manifest;
pub mod store;
pub mod up;
pub mod wait;

/// Makes two tests of each function named: one over the embedded store, one over etcd. The functions take an
/// [`up::Up`] and give a result.
#[macro_export]
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                $crate::up::with($crate::store::Kind::Embedded, async |up| super::$name(up).await).await
            })+
        }
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                $crate::up::with($crate::store::Kind::Etcd, async |up| super::$name(up).await).await
            })+
        }
    };
}
