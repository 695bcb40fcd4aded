//! The fence: a node that cannot renew its lease must not go on, since after a while others will take its jobs for
//! lost and start them elsewhere. The deadline counts on the clock that goes on while the machine sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::boot::since_boot;

/// Knows when the lease was last renewed.
#[derive(Debug)]
pub(crate) struct Fence {
    /// Nanoseconds after boot at which the last renewal that succeeded was *sent*.
    renewed: AtomicU64,
    limit: Duration,
}

impl Fence {
    /// A fence that stands `limit` from now.
    pub(crate) fn new(limit: Duration) -> Self {
        let fence = Self {
            renewed: AtomicU64::new(0),
            limit,
        };
        fence.renewed(since_boot());
        fence
    }

    /// A renewal that was sent at `sent` has succeeded.
    pub(crate) fn renewed(&self, sent: Duration) {
        let nanos = u64::try_from(sent.as_nanos()).unwrap_or(u64::MAX);
        self.renewed.fetch_max(nanos, Ordering::AcqRel);
    }

    /// What is left until the deadline; `None` when it has passed: nothing may run, be claimed or be reported as
    /// if it had gone on.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.left_at(since_boot())
    }

    fn left_at(&self, now: Duration) -> Option<Duration> {
        let deadline = Duration::from_nanos(self.renewed.load(Ordering::Acquire)) + self.limit;
        deadline.checked_sub(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_moves_with_renewals_and_never_back() {
        let fence = Fence::new(Duration::from_secs(25));
        let start = since_boot() + Duration::from_secs(1);
        fence.renewed(start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(fence.left_at(after(24)).is_some());
        assert_eq!(fence.left_at(after(25)), None);
        fence.renewed(after(10));
        fence.renewed(after(3));
        assert!(fence.left_at(after(34)).is_some());
        assert_eq!(fence.left_at(after(36)), None);
    }
}
