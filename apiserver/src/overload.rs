//! Overload: how many requests are worked on at once, and who is let in when there are too many. A request over the
//! limit is refused at once with 429 and `Retry-After`, which every client of the Kubernetes API takes as "again in a
//! second"; it never waits in a queue here.
//!
//! The limits are upstream's older scheme (`--max-requests-inflight`, `--max-mutating-requests-inflight`), not its
//! priority and fairness, whose many levels answer a question we do not have: one kind of tenant must not starve another.
//! Ours is: whatever users do, no node may be lost and no controller stand still. So there is one count for each kind
//! of request and three thresholds on it:
//!
//! ```text
//! 0 ───────── users ───────── limit ──── + controllers, administrators, nodes ──── + lease renewals ──┤
//!                               │◀──────────── reserve / 2 ────────────▶│◀────── reserve / 2 ─────────▶│
//! ```
//!
//! Users can fill it up to the limit. Half of the reserve beyond is for controllers, administrators and what else nodes
//! do; the last half only for what says that a node lives, so that not even an administrator's runaway script or a
//! controller's bug takes a node away. Health checks, discovery of the version and metrics cost next to nothing and are
//! how one finds out: they are not counted.
//!
//! Streams are not counted among these, for they last; they have a limit of their own, with the same reserve, and so
//! does the memory of answers that their clients have not taken yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::authentication::{CONTROLLERS, Identity, MASTERS};
use crate::endpoints::Route;
use crate::request::{Effect, Lasting, RequestInfo};
use crate::status::{ApiError, ApiResult};

/// How much is let in at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that read.
    pub read_only: usize,
    /// Requests that write.
    pub mutating: usize,
    /// Watches and logs. A watch costs some kilobytes; so many are a hundred megabytes.
    pub long_running: usize,
    /// Connections.
    pub connections: usize,
    /// Bytes of large answers that have not been taken by their clients. More lists than fit are refused.
    pub answer_bytes: usize,
}

impl Default for Limits {
    /// Upstream's where it has one.
    fn default() -> Self {
        Self {
            read_only: 400,
            mutating: 200,
            long_running: 20_000,
            connections: 10_000,
            answer_bytes: 1 << 30,
        }
    }
}

/// Who asks, as far as it matters when not everybody can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everybody.
    User,
    /// What keeps the system going: controllers, nodes, and the administrators who mend it.
    System,
    /// What says that a node lives.
    Vital,
}

impl Level {
    /// The level of a request.
    pub fn of(info: &RequestInfo, identity: &Identity) -> Self {
        let node = identity.node().is_some();
        let renews = node
            && info
                .object()
                .is_some_and(|path| path.plural == "leases" && path.namespace.as_deref() == Some("kube-node-lease"));
        if renews {
            Self::Vital
        } else if node || identity.is_in(MASTERS) || identity.is_in(CONTROLLERS) {
            Self::System
        } else {
            Self::User
        }
    }

    /// How high the count may stand for this level to be let in.
    fn threshold(self, limit: usize) -> usize {
        // A quarter, but never so little that a handful of nodes would fill it.
        let reserve = (limit / 4).max(16);
        match self {
            Self::User => limit,
            Self::System => limit + reserve / 2,
            Self::Vital => limit + reserve,
        }
    }
}

/// A count with a bound.
#[derive(Debug)]
struct Gate {
    limit: usize,
    inside: AtomicUsize,
}

impl Gate {
    const fn new(limit: usize) -> Self {
        Self {
            limit,
            inside: AtomicUsize::new(0),
        }
    }

    fn enter(&self, level: Level) -> bool {
        let threshold = level.threshold(self.limit);
        let entered = self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
            (n < threshold).then_some(n + 1)
        });
        entered.is_ok()
    }
}

/// The counts.
#[derive(Debug)]
pub struct Overload {
    read_only: Gate,
    mutating: Gate,
    long_running: Gate,
    connections: Gate,
    answer_limit: usize,
    answer_bytes: AtomicUsize,
}

/// What a permit was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    ReadOnly,
    Mutating,
    LongRunning,
    Connection,
}

/// Leave to work on something. Given back when dropped, which is when the answer has been taken.
#[derive(Debug)]
pub struct Permit {
    overload: Arc<Overload>,
    counted: Counted,
}

/// The account of a large answer. What has been taken is given back; the rest is when this is dropped.
#[derive(Debug)]
pub struct AnswerBytes {
    overload: Arc<Overload>,
    left: usize,
}

impl Overload {
    /// Nothing inside yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            read_only: Gate::new(limits.read_only),
            mutating: Gate::new(limits.mutating),
            long_running: Gate::new(limits.long_running),
            connections: Gate::new(limits.connections),
            answer_limit: limits.answer_bytes,
            answer_bytes: AtomicUsize::new(0),
        })
    }

    fn gate(&self, counted: Counted) -> &Gate {
        match counted {
            Counted::ReadOnly => &self.read_only,
            Counted::Mutating => &self.mutating,
            Counted::LongRunning => &self.long_running,
            Counted::Connection => &self.connections,
        }
    }

    fn enter(self: &Arc<Self>, counted: Counted, level: Level) -> Option<Permit> {
        self.gate(counted).enter(level).then(|| Permit {
            overload: self.clone(),
            counted,
        })
    }

    /// Lets a request in, or says that it should come again. None for what is not counted.
    ///
    /// # Errors
    /// 429, to be tried again after a second.
    pub fn admit(self: &Arc<Self>, info: &RequestInfo, identity: &Identity) -> ApiResult<Option<Permit>> {
        if matches!(info.route, Route::Health(_) | Route::Metrics | Route::Version) {
            return Ok(None);
        }
        let level = Level::of(info, identity);
        let counted = match (info.lasting(), info.effect()) {
            (Lasting::LongRunning, _) => Counted::LongRunning,
            (Lasting::Short, Effect::ReadOnly) => Counted::ReadOnly,
            (Lasting::Short, Effect::Mutating) => Counted::Mutating,
        };
        let full = info.verb == "list"
            && level == Level::User
            && self.answer_bytes.load(Ordering::Relaxed) > self.answer_limit;
        let permit = if full { None } else { self.enter(counted, level) };
        permit.map_or_else(|| Err(refusal()), |permit| Ok(Some(permit)))
    }

    /// Lets a connection in before it is known whose it is.
    pub fn accept(self: &Arc<Self>) -> Option<Permit> {
        self.enter(Counted::Connection, Level::Vital)
    }

    /// Whether a connection may stay now that it is known whose it is.
    pub fn may_stay(&self, identity: &Identity) -> bool {
        let known = identity.node().is_some() || identity.is_in(MASTERS) || identity.is_in(CONTROLLERS);
        let level = if known { Level::Vital } else { Level::User };
        self.connections.inside.load(Ordering::Acquire) <= level.threshold(self.connections.limit)
    }

    /// Takes a large answer into account.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> AnswerBytes {
        self.answer_bytes.fetch_add(bytes, Ordering::Relaxed);
        AnswerBytes {
            overload: self.clone(),
            left: bytes,
        }
    }

    /// Requests being worked on: reading, writing.
    pub fn in_flight(&self) -> (usize, usize) {
        let inside = |gate: &Gate| gate.inside.load(Ordering::Relaxed);
        (inside(&self.read_only), inside(&self.mutating))
    }
}

/// What is said to who comes at a bad time (`filters/maxinflight.go`).
fn refusal() -> ApiError {
    ApiError::too_many_requests("Too many requests, please try again later.")
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.overload.gate(self.counted).inside.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AnswerBytes {
    /// So much has been taken.
    pub fn taken(&mut self, bytes: usize) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        self.overload.answer_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for AnswerBytes {
    fn drop(&mut self) {
        self.taken(self.left);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::authentication::NODES;

    fn info(method: &str, uri: &str) -> RequestInfo {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        RequestInfo::of(&request.into_parts().0)
    }

    fn who(user: &str, group: &str) -> Identity {
        Identity {
            user: user.to_owned(),
            groups: vec![group.to_owned()],
            ..Identity::default()
        }
    }

    #[test]
    fn users_and_even_administrators_leave_room_for_a_nodes_lease() {
        let overload = Overload::new(Limits::default());
        let write = info("POST", "/api/v1/namespaces/a/configmaps");
        let lease = info(
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n",
        );
        let (user, admin, node) = (who("ann", "people"), who("admin", MASTERS), who("system:node:n", NODES));
        let mut held = Vec::new();
        while let Ok(permit) = overload.admit(&write, &user) {
            held.push(permit);
        }
        assert_eq!(held.len(), 200);
        while let Ok(permit) = overload.admit(&write, &admin) {
            held.push(permit);
        }
        assert_eq!(held.len(), 225);
        assert!(overload.admit(&lease, &node).is_ok(), "the lease gets through");
        let refused = overload.admit(&lease, &user).unwrap_err();
        assert_eq!((refused.code(), refused.retry_after_seconds()), (429, Some(1)));
        let read = info("GET", "/api/v1/namespaces/a/configmaps");
        assert!(overload.admit(&read, &user).is_ok(), "reads are counted apart");
        held.clear();
        assert_eq!(overload.in_flight(), (0, 0));
    }

    #[test]
    fn lists_are_refused_while_too_much_waits_to_be_taken() {
        let overload = Overload::new(Limits {
            answer_bytes: 100,
            ..Limits::default()
        });
        let (list, user) = (info("GET", "/api/v1/configmaps"), who("ann", "people"));
        let mut answer = overload.hold(150);
        assert!(overload.admit(&list, &user).is_err());
        answer.taken(60);
        assert!(overload.admit(&list, &user).is_ok());
        drop(answer);
        assert_eq!(overload.answer_bytes.load(Ordering::Relaxed), 0);
    }

    proptest! {
        #[test]
        fn a_higher_level_is_never_refused_where_a_lower_one_is_let_in(limit in 1_usize..10_000) {
            prop_assert!(Level::User.threshold(limit) < Level::System.threshold(limit));
            prop_assert!(Level::System.threshold(limit) < Level::Vital.threshold(limit));
        }
    }
}
