//! Whether an etcd's answer to "how far is this watch" can be believed.
//!
//! Servers before 3.4.25 and 3.5.8 may give the answer before events that are older than it (etcd issue 15220). There
//! it is believed only when reads show that nothing under the prefix has changed; `watch` asks, and decides what follows.

use std::ops::ControlFlow;

use super::Inner;
use super::convert::{range_end, range_start, to_wire};
use super::proto;
use crate::{Error, Event, EventKind, Result, Revision, prefix_end};

/// Up to so many revisions are looked at one by one.
const EXACT_REVISIONS: u64 = 64;

/// What the answers of a server are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// They come in order with the events.
    Sound,
    /// They may be early.
    Early {
        /// How many keys are under the prefix in the state that was delivered. Counted along, since that state may be
        /// compacted when it is asked for, and then a key that was deleted would not be missed.
        keys: i64,
    },
}

/// Whether the watch may still be behind without anything being on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It was opened just now.
    CatchingUp,
    /// It has had the time to catch up.
    Settled,
}

impl Progress {
    /// Notes what is about to be delivered.
    pub(crate) fn count(&mut self, events: &[Event]) {
        let Self::Early { keys } = self else { return };
        for event in events {
            match event.kind {
                EventKind::Put if event.kv.create_revision == event.kv.mod_revision => *keys += 1,
                EventKind::Put => {}
                EventKind::Delete => *keys -= 1,
            }
        }
    }
}

/// etcd fixed early answers in 3.4.25 and 3.5.8.
pub(crate) fn may_be_early(version: &str) -> bool {
    let mut numbers = version
        .split(['.', '-', '+'])
        .map(|part| part.parse::<u64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    matches!(
        (next(), next(), next()),
        (0..=2, _, _) | (3, 0..=3, _) | (3, 4, 0..=24) | (3, 5, 0..=7)
    )
}

/// What was delivered of a prefix: the state that later ones are compared with.
pub(crate) struct Delivered<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) prefix: &'a [u8],
    pub(crate) revision: Revision,
    pub(crate) keys: i64,
}

impl Delivered<'_> {
    /// Whether nothing changed up to `until`. A no may also be that it can't be known now.
    ///
    /// A short way is walked revision by revision, which is exact. Of a long one, or one that is compacted, the two ends
    /// are compared, and only when the watch is settled: what came and went in between is not seen by this. The state is
    /// right nevertheless; and if such events still come, the watch ends.
    pub(crate) async fn is_unchanged_until(&self, until: Revision, pace: Pace) -> Result<bool> {
        let compared = match self.walk(until).await {
            Ok(ControlFlow::Break(found)) => Ok(found),
            Ok(ControlFlow::Continue(())) if pace == Pace::CatchingUp => Ok(false),
            Ok(ControlFlow::Continue(())) => self.is_same_at(until).await,
            Err(error) => Err(error),
        };
        match compared {
            Err(Error::Compacted { .. } | Error::Unavailable { .. }) => Ok(false),
            other => other,
        }
    }

    /// Looks at every revision, if that can be done.
    ///
    /// When no key of the last state was put since, and each state has as many keys, then nothing changed: the keys of
    /// the last state are those of the first, so the first change could only have added one.
    async fn walk(&self, until: Revision) -> Result<ControlFlow<bool>> {
        if until.0 - self.revision.0 > EXACT_REVISIONS {
            return Ok(ControlFlow::Continue(()));
        }
        for at in self.revision.next().0..until.0 {
            match keys_at(self.inner, self.prefix, Revision(at)).await {
                Ok(keys) if keys == self.keys => {}
                Ok(_) => return Ok(ControlFlow::Break(false)),
                Err(Error::Compacted { .. }) => return Ok(ControlFlow::Continue(())),
                Err(error) => return Err(error),
            }
        }
        self.is_same_at(until).await.map(ControlFlow::Break)
    }

    async fn is_same_at(&self, at: Revision) -> Result<bool> {
        // Counting is cheap; the second question makes etcd read everything under the prefix.
        Ok(keys_at(self.inner, self.prefix, at).await? == self.keys && !self.was_put_until(at).await?)
    }

    /// Whether a key that is there at `at` was put after what was delivered.
    async fn was_put_until(&self, at: Revision) -> Result<bool> {
        let request = proto::RangeRequest {
            limit: 1,
            keys_only: true,
            min_mod_revision: to_wire(self.revision.next()),
            ..state(self.prefix, at)
        };
        Ok(!self.inner.range(request).await?.kvs.is_empty())
    }
}

/// How many keys there are under a prefix.
///
/// # Errors
/// [`Error::Compacted`] or [`Error::Future`] when the history doesn't reach there.
pub(crate) async fn keys_at(inner: &Inner, prefix: &[u8], at: Revision) -> Result<i64> {
    let request = proto::RangeRequest {
        count_only: true,
        ..state(prefix, at)
    };
    Ok(inner.range(request).await?.count)
}

fn state(prefix: &[u8], at: Revision) -> proto::RangeRequest {
    proto::RangeRequest {
        key: range_start(prefix),
        range_end: range_end(&prefix_end(prefix)),
        // etcd takes 0 for "the newest"; at 1 it is empty.
        revision: to_wire(at.max(Revision(1))),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::may_be_early;

    #[test]
    fn progress_is_believed_from_the_versions_on_that_fixed_it() {
        for version in ["3.4.23", "3.4.24", "3.5.7", "3.5.0-rc.1", "3.3.27", ""] {
            assert!(may_be_early(version), "{version}");
        }
        for version in ["3.4.25", "3.4.33", "3.5.8", "3.6.0", "4.0.0"] {
            assert!(!may_be_early(version), "{version}");
        }
    }
}
