//! Waiting for a shim's end, whether this agent started it or an earlier one: by a descriptor of the process, which
//! becomes readable when it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::Duration;

use breakbulk_sandbox::{AttemptDir, is_alive};
use rustix::process::{Pid, PidfdFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How often a shim is looked at whose descriptor cannot be had.
const LOOK: Duration = Duration::from_millis(100);

/// A shim that was started or found.
#[derive(Debug)]
pub(crate) struct Shim {
    dir: AttemptDir,
    pidfd: Option<AsyncFd<OwnedFd>>,
    child: Option<Child>,
}

impl Shim {
    /// One that we started: it has to be waited for.
    pub(crate) fn started(dir: AttemptDir, child: Child) -> Self {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Self {
            pidfd: pid.and_then(|pid| open(pid).ok()),
            child: Some(child),
            dir,
        }
    }

    /// One that an earlier agent started.
    pub(crate) fn found(dir: AttemptDir) -> Self {
        let pid = dir.shim().ok().flatten().and_then(|shim| Pid::from_raw(shim.pid));
        let pidfd = pid.and_then(|pid| open(pid).ok());
        let mut shim = Self {
            dir,
            pidfd,
            child: None,
        };
        // Its lock is held after the descriptor was opened, so the descriptor is its own and no later process's.
        if !shim.alive() {
            shim.pidfd = None;
        }
        shim
    }

    /// Waits until it is gone.
    pub(crate) async fn gone(&mut self) {
        if let Some(pidfd) = &self.pidfd {
            // An error means that the descriptor cannot be waited for; the lock tells in any case.
            let _ = pidfd.ready(Interest::READABLE).await;
        }
        // The lock decides: a descriptor may have been opened for a process that had the id after the shim.
        let mut alive = self.alive();
        while alive {
            tokio::time::sleep(LOOK).await;
            alive = self.alive();
        }
        if let Some(child) = &mut self.child {
            let _ = child.try_wait();
        }
    }

    fn alive(&self) -> bool {
        // A lock that cannot be asked for is no proof of death.
        is_alive(&self.dir).unwrap_or(true)
    }
}

#[expect(
    deprecated,
    reason = "its replacement is unsafe, for descriptors that are closed by others; this one is ours"
)]
fn open(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}
