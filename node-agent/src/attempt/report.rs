//! Writing to a Job's status: read, change, compare and swap, and again until it is written or there is nothing left
//! to write to. The API server may be away for as long as it likes.

use std::time::Duration;

use breakbulk_schemas::job::{Job, JobSpec, JobStatus};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use rand::Rng;

use super::ending::At;
use crate::journal::Claim;

/// The longest one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How often a write that the server calls wrong is tried: what it refused may have been changed in between.
pub(crate) const REFUSALS: u32 = 5;

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is in the Job, which is now this one.
    Yes(Box<Job>),
    /// There was nothing to change.
    Unchanged,
    /// The Job is gone, or another one has its name.
    Gone,
    /// The server does not take it, and says why.
    Refused(String),
}

/// Answers of the API server, as far as they differ for us.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The object has changed since it was read.
    Conflict,
    /// There is no such object.
    NotFound,
    /// The object is none of ours. The server says so also of one that is gone: it does not tell a node what it
    /// may not know.
    Forbidden(String),
    /// The request is wrong, and will be wrong again.
    Refused(String),
    /// It may work later.
    Later(String),
}

impl Fault {
    pub(crate) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 | 410 => Self::NotFound,
                409 => Self::Conflict,
                403 => Self::Forbidden(status.message.clone()),
                400 | 405 | 413 | 415 | 422 => Self::Refused(status.message.clone()),
                _ => Self::Later(status.message.clone()),
            },
            other => Self::Later(other.to_string()),
        }
    }
}

/// Waits between tries, longer each time, never in step with others.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_BACKOFF)
    }

    pub(crate) async fn wait(&mut self) {
        let wait = self.0.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(wait).await;
        self.0 = (self.0 * 2).min(MAX_BACKOFF);
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict => f.write_str("the object has changed"),
            Self::NotFound => f.write_str("there is no such object"),
            Self::Forbidden(message) => write!(f, "forbidden: {message}"),
            Self::Refused(message) => write!(f, "refused: {message}"),
            Self::Later(message) => f.write_str(message),
        }
    }
}

/// One request, within its deadline.
pub(crate) async fn request<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(result) => result.map_err(|error| Fault::of(&error)),
        Err(_) => Err(Fault::Later("the API server did not answer in time".to_owned())),
    }
}

/// Reads the Job of a claim. `Ok(None)` when it is gone, or another one has its name.
pub(crate) async fn read(client: &Client, claim: &Claim) -> Result<Option<Job>, Fault> {
    let api = Api::<Job>::namespaced(client.clone(), &claim.namespace);
    let job = request(api.get_opt(&claim.job)).await;
    Ok(job?.filter(|job| job.metadata.uid.as_deref() == Some(&claim.uid)))
}

/// Writes a status that was made from `job`, if the job has not changed since.
pub(crate) async fn swap(client: &Client, job: &Job, status: &JobStatus) -> Result<Job, Fault> {
    let api = Api::<Job>::namespaced(client.clone(), &job.namespace().unwrap_or_default());
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": job.metadata.resource_version, "uid": job.metadata.uid },
        "status": status,
    });
    let params = PatchParams::default();
    request(api.patch_status(&job.name_any(), &params, &Patch::Merge(&patch))).await
}

/// Changes the status of a claim's Job until that is written. `known` is the Job as it was last seen, if it was.
/// `change` returns whether there is anything to write; it is called again for each version of the Job.
pub(crate) async fn update(
    client: &Client,
    claim: &Claim,
    mut known: Option<Job>,
    change: impl Fn(&JobSpec, &mut JobStatus, &At) -> bool,
) -> Written {
    let mut backoff = Backoff::new();
    let mut refusals = 0;
    loop {
        let job = match known.take() {
            Some(job) => job,
            None => match read(client, claim).await {
                Ok(Some(job)) => job,
                Ok(None) | Err(Fault::NotFound) => return Written::Gone,
                // A server that has not heard of the binding yet says so too; it is asked more than once.
                Err(Fault::Forbidden(_)) if refusals >= REFUSALS => return Written::Gone,
                Err(fault) => {
                    refusals += u32::from(matches!(fault, Fault::Forbidden(_)));
                    tracing::warn!(?claim, %fault, "cannot read the job; trying again");
                    backoff.wait().await;
                    continue;
                }
            },
        };
        let mut status = job.status.clone().unwrap_or_default();
        let at = At {
            number: claim.number,
            token: claim.token.clone(),
            generation: job.metadata.generation,
            now: Timestamp::now(),
        };
        if !change(&job.spec, &mut status, &at) {
            return Written::Unchanged;
        }
        match swap(client, &job, &status).await {
            Ok(job) => return Written::Yes(Box::new(job)),
            Err(Fault::Conflict) => continue,
            Err(Fault::NotFound) => return Written::Gone,
            Err(Fault::Refused(message) | Fault::Forbidden(message)) if refusals >= REFUSALS => {
                return Written::Refused(message);
            }
            Err(fault) => {
                refusals += u32::from(matches!(fault, Fault::Refused(_) | Fault::Forbidden(_)));
                tracing::warn!(?claim, %fault, "cannot write the job's status; trying again");
                backoff.wait().await;
            }
        }
    }
}
