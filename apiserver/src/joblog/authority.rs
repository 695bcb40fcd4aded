//! Who may write a log: the node whose agent claimed the attempt, with the claim's token. The Job says so.

use std::sync::Arc;

use async_trait::async_trait;
use breakbulk_log_api::Attempt;
use breakbulk_logs::{AttemptAuthority, LogKey, PeerIdentity, Refusal};

use super::Jobs;
use crate::authentication::{MASTERS, NODE_PREFIX};

/// Asks the Jobs.
pub struct JobAuthority {
    jobs: Arc<dyn Jobs>,
}

impl JobAuthority {
    /// Over what is known of Jobs.
    pub fn new(jobs: Arc<dyn Jobs>) -> Self {
        Self { jobs }
    }

    fn decide(&self, attempt: &Attempt, peer: &PeerIdentity) -> Result<LogKey, Refusal> {
        let fenced = |why: &str| Refusal::Fenced(why.to_owned());
        let Some(job) = self.jobs.job(&attempt.namespace, &attempt.job) else {
            // The agent has seen its own claim; this server's cache may not have. It tries again.
            return Err(Refusal::Unavailable("there is no such job".to_owned()));
        };
        if job.metadata.uid.as_deref() != Some(attempt.job_uid.as_str()) {
            return Err(fenced("another job has this name now"));
        }
        let attempts = job
            .status
            .as_ref()
            .map(|status| status.attempts.as_slice())
            .unwrap_or_default();
        let Some(claim) = attempts.iter().find(|claim| claim.number == attempt.number) else {
            return Err(Refusal::Unavailable("the attempt has not been claimed".to_owned()));
        };
        if claim.token != attempt.token {
            return Err(fenced("the attempt was claimed with another token"));
        }
        let node = peer.user.strip_prefix(NODE_PREFIX);
        if node != Some(claim.node.as_str()) && !peer.groups.iter().any(|group| group == MASTERS) {
            return Err(fenced("the attempt was claimed by another node"));
        }
        LogKey::new(&attempt.namespace, &attempt.job_uid, attempt.number)
            .map_err(|error| Refusal::Fenced(error.to_string()))
    }
}

#[async_trait]
impl AttemptAuthority for JobAuthority {
    async fn check(&self, attempt: &Attempt, peer: &PeerIdentity) -> Result<LogKey, Refusal> {
        self.decide(attempt, peer)
    }
}
