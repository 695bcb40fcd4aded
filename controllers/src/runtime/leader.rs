//! Leader election by a Lease: of several processes one acts, and it stops before another may start.
//!
//! Times are measured on our own clock only: a lease counts as silent when *we* have not seen it change for its
//! duration, so that clocks that differ do no harm. Every write is a compare-and-swap; what a deposed leader still
//! writes meets newer versions and changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Election;

/// Where the lease is.
const NAMESPACE: &str = "kube-system";
/// Its name.
const NAME: &str = "breakbulk-controllers";

/// A candidate for leadership.
pub struct Candidate {
    api: Api<Lease>,
    election: Election,
    /// The lease as last seen, and since when it looks like that.
    seen: Option<(Option<String>, Instant)>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate")
            .field("election", &self.election)
            .finish_non_exhaustive()
    }
}

impl Candidate {
    /// A candidate.
    pub fn new(client: Client, election: Election) -> Self {
        Self {
            api: Api::namespaced(client, NAMESPACE),
            election,
            seen: None,
        }
    }

    /// Waits until it leads.
    pub async fn lead(&mut self) {
        loop {
            match self.try_hold().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot reach the lease of the controllers"),
            }
            tokio::time::sleep(self.election.retry).await;
        }
    }

    /// Renews until that fails for too long, or somebody else leads.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.election.retry).await;
            let left = self.election.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left.max(Duration::from_millis(1)), self.try_hold()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the lease of the controllers"),
                Err(_) => return,
            }
            if renewed.elapsed() >= self.election.renew_deadline {
                return;
            }
        }
    }

    /// Gives leadership back, so that another need not wait for the lease to run out.
    pub async fn release(&mut self) {
        let released = async {
            let mut lease = self.api.get(NAME).await?;
            if let Some(spec) = lease.spec.as_mut()
                && spec.holder_identity.as_deref() == Some(self.election.identity.as_str())
            {
                spec.holder_identity = None;
                self.api.replace(NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(self.election.retry, released).await {
            tracing::debug!(%error, "could not give the lease back");
        }
    }

    /// Takes or renews the lease, if that may be. Whether we hold it now.
    async fn try_hold(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(NAME).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            return settled(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let ours = holder.as_deref() == Some(self.election.identity.as_str());
        if !ours && holder.is_some() && !self.is_silent(&lease, &spec) {
            return Ok(false);
        }
        let next = Lease {
            spec: Some(self.spec(Some((&spec, ours)))),
            ..lease
        };
        settled(self.api.replace(NAME, &PostParams::default(), &next).await)
    }

    fn is_silent(&mut self, lease: &Lease, spec: &LeaseSpec) -> bool {
        let version = lease.resource_version();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.seen = Some((version, since));
        let duration = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs);
        since.elapsed() >= duration.unwrap_or(self.election.lease).max(self.election.lease)
    }

    fn spec(&self, before: Option<(&LeaseSpec, bool)>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let (acquired, transitions) = match before {
            Some((spec, true)) => (spec.acquire_time.clone(), spec.lease_transitions),
            Some((spec, false)) => (Some(now.clone()), Some(spec.lease_transitions.unwrap_or(0) + 1)),
            None => (Some(now.clone()), Some(0)),
        };
        LeaseSpec {
            holder_identity: Some(self.election.identity.clone()),
            lease_duration_seconds: i32::try_from(self.election.lease.as_secs().max(1)).ok(),
            acquire_time: acquired,
            renew_time: Some(now),
            lease_transitions: transitions,
            ..LeaseSpec::default()
        }
    }
}

/// Somebody else being faster is no failure.
fn settled(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Runs `work` while leading, again and again, until `shutdown`.
pub async fn while_leading<F, Fut>(mut candidate: Candidate, shutdown: CancellationToken, work: F)
where
    F: Fn(CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    while !shutdown.is_cancelled() {
        // Dropping a candidate that waits leaves at worst a lease that runs out.
        tokio::select! {
            () = candidate.lead() => {}
            () = shutdown.cancelled() => return,
        }
        tracing::info!(identity = candidate.election.identity, "leading");
        let stop = shutdown.child_token();
        tokio::select! {
            // Dropped on loss, at once, wherever it is: as if it had crashed.
            () = work(stop.clone()) => {}
            () = candidate.hold() => tracing::warn!("no longer leading; all controllers stop"),
        }
        if shutdown.is_cancelled() {
            candidate.release().await;
        }
    }
}
