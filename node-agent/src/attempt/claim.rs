//! Claiming an attempt: the one write that makes it this agent's, by compare and swap on the Job's status.

use breakbulk_schemas::condition::{self, SCHEDULED, Truth, Wanted};
use breakbulk_schemas::job::outcome::{State, conclude, state};
use breakbulk_schemas::job::{Attempt, Job};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{Client, ResourceExt};

use super::report::{Backoff, Fault, read, swap};
use crate::boot::BootId;
use crate::fence::Fence;
use crate::journal::{AttemptId, Claim};

/// Who claims.
#[derive(Clone, Copy)]
pub(crate) struct Claimant<'a> {
    pub(crate) client: &'a Client,
    pub(crate) node: &'a str,
    pub(crate) boot: &'a BootId,
    pub(crate) fence: &'a Fence,
}

/// The attempt that a Job wants this node to make, if it wants one.
pub(crate) fn wanted(job: &Job, node: &str) -> Option<AttemptId> {
    let made = job.status.as_ref().map_or(0, |status| status.attempts.len());
    let next = u32::try_from(made).ok()?.checked_add(1)?;
    let wants = state(&job.spec, job.status.as_ref()) == State::Waiting
        && !job.is_ended()
        && job.spec.node_name.as_deref() == Some(node)
        && job.spec.attempt == next
        && !job.spec.cancel
        && job.metadata.deletion_timestamp.is_none();
    wants
        .then(|| AttemptId::new(job.metadata.uid.as_deref()?, next))
        .flatten()
}

impl Claimant<'_> {
    /// Claims `id`. `None` when the Job does not want it any more; returns the Job as the claim left it.
    pub(crate) async fn claim(&self, mut job: Job, id: &AttemptId) -> Option<(Claim, Job)> {
        let mut backoff = Backoff::new();
        let claim = self.new_claim(&job, id);
        loop {
            if let Some(attempt) = held(&job, &claim) {
                // The answer to our write was lost; the write was not.
                tracing::debug!(?claim, number = attempt.number, "the claim had arrived");
                return Some((claim, job));
            }
            if wanted(&job, self.node).as_ref() != Some(id) {
                return None;
            }
            let fault = if self.fence.left().is_none() {
                Fault::Later("the node is fenced".to_owned())
            } else {
                match self.write(&job, &claim).await {
                    Ok(job) => return Some((claim, job)),
                    Err(fault) => fault,
                }
            };
            if !matches!(fault, Fault::Conflict) {
                tracing::debug!(?claim, %fault, "cannot claim; trying again");
                backoff.wait().await;
            }
            job = self.read_again(&claim, &mut backoff).await?;
        }
    }

    fn new_claim(&self, job: &Job, id: &AttemptId) -> Claim {
        let now = Timestamp::now();
        Claim {
            namespace: job.namespace().unwrap_or_default(),
            job: job.name_any(),
            uid: id.uid().to_owned(),
            number: id.number(),
            node: self.node.to_owned(),
            token: format!("{:032x}", rand::random::<u128>()),
            boot_id: self.boot.as_str().to_owned(),
            // What the wire keeps.
            claim_time: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
        }
    }

    async fn write(&self, job: &Job, claim: &Claim) -> Result<Job, Fault> {
        let mut status = job.status.clone().unwrap_or_default();
        status.attempts.push(Attempt {
            number: claim.number,
            node: claim.node.clone(),
            token: claim.token.clone(),
            boot_id: claim.boot_id.clone(),
            claim_time: MicroTime(claim.claim_time),
            start_time: None,
            finish_time: None,
            reason: None,
            message: None,
            exit_code: None,
            signal: None,
            usage: None,
            log: None,
        });
        let scheduled = Wanted {
            kind: SCHEDULED,
            truth: Truth::True,
            reason: "Claimed",
            message: format!("node {} makes attempt {}", claim.node, claim.number),
        };
        let generation = job.metadata.generation;
        condition::set(&mut status.conditions, scheduled, generation, claim.claim_time);
        status.observed_generation = generation;
        conclude(&job.spec, &mut status, generation, claim.claim_time);
        swap(self.client, job, &status).await
    }

    async fn read_again(&self, claim: &Claim, backoff: &mut Backoff) -> Option<Job> {
        loop {
            match read(self.client, claim).await {
                Ok(job) => return job,
                Err(Fault::NotFound | Fault::Forbidden(_)) => return None,
                Err(_) => backoff.wait().await,
            }
        }
    }
}

/// The attempt in the Job that carries our token.
fn held<'a>(job: &'a Job, claim: &Claim) -> Option<&'a Attempt> {
    let mut attempts = job.status.as_ref()?.attempts.iter();
    attempts.find(|attempt| attempt.number == claim.number && attempt.token == claim.token)
}
