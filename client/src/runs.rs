//! Runs, for anybody who starts them: create one, wait for its end, and say how it ended.
//!
//! This module does not follow logs (see [`crate::logs`]) and decides nothing about jobs.

use breakbulk_schemas::condition::{self, SUCCEEDED, Truth};
use breakbulk_schemas::pipeline_run::RunReason;
use breakbulk_schemas::{Job, PipelineRun};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};

/// How a run or a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Succeeded,
    /// Not well.
    Failed,
    /// Somebody, or a newer run of its group, stopped it.
    Cancelled,
}

/// Why a run could not be created or waited for.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server refused to create it.
    #[error("the run was refused")]
    Create(#[source] Box<kube::Error>),
    /// It cannot be watched.
    #[error("{name} cannot be watched")]
    Watch {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<watcher::Error>,
    },
    /// It was deleted before it ended.
    #[error("{name} was deleted before it ended")]
    Deleted {
        /// Its name.
        name: String,
    },
}

/// How a run ended; none while it has not.
pub fn ending(run: &PipelineRun) -> Option<Ending> {
    ending_of(run.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default())
}

/// How a job ended; none while it has not.
pub fn job_ending(job: &Job) -> Option<Ending> {
    ending_of(job.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default())
}

fn ending_of(conditions: &[Condition]) -> Option<Ending> {
    let succeeded = condition::find(conditions, SUCCEEDED)?;
    match Truth::of(&succeeded.status) {
        Truth::Unknown => None,
        Truth::True => Some(Ending::Succeeded),
        Truth::False => {
            let stopped = [RunReason::Cancelled.as_str(), RunReason::Superseded.as_str()];
            Some(if stopped.contains(&succeeded.reason.as_str()) {
                Ending::Cancelled
            } else {
                Ending::Failed
            })
        }
    }
}

/// Creates a run. Its name, or the beginning of it (`generateName`), is in its metadata.
///
/// # Errors
/// When the server refuses it.
pub async fn create(client: Client, namespace: &str, run: &PipelineRun) -> Result<PipelineRun, RunError> {
    let runs: Api<PipelineRun> = Api::namespaced(client, namespace);
    runs.create(&PostParams::default(), run)
        .await
        .map_err(|e| RunError::Create(Box::new(e)))
}

/// Waits until a run has ended, showing each state seen to `seen`. Waits out a server that is away.
///
/// # Errors
/// When it is deleted meanwhile, or may not be watched.
pub async fn wait_for_end(
    client: Client,
    namespace: &str,
    name: &str,
    seen: impl FnMut(&PipelineRun),
) -> Result<(PipelineRun, Ending), RunError> {
    wait(Api::namespaced(client, namespace), name, ending, seen).await
}

/// Waits until a job has ended, as [`wait_for_end`] does for a run.
///
/// # Errors
/// When it is deleted meanwhile, or may not be watched.
pub async fn wait_for_job_end(
    client: Client,
    namespace: &str,
    name: &str,
    seen: impl FnMut(&Job),
) -> Result<(Job, Ending), RunError> {
    wait(Api::namespaced(client, namespace), name, job_ending, seen).await
}

async fn wait<K>(
    objects: Api<K>,
    name: &str,
    ending: fn(&K) -> Option<Ending>,
    mut seen: impl FnMut(&K),
) -> Result<(K, Ending), RunError>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut states = watcher::watch_object(objects, name).default_backoff().boxed();
    loop {
        match states.try_next().await {
            Ok(Some(Some(object))) => {
                seen(&object);
                if let Some(ending) = ending(&object) {
                    return Ok((object, ending));
                }
            }
            Ok(Some(None) | None) => return Err(RunError::Deleted { name: name.to_owned() }),
            Err(source) if is_final(&source) => {
                return Err(RunError::Watch {
                    name: name.to_owned(),
                    source: Box::new(source),
                });
            }
            // The watcher tries again by itself, after a wait.
            Err(_) => {}
        }
    }
}

/// Whether asking again cannot help: the server understood and refused.
fn is_final(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    matches!(status.code, 401 | 403 | 404)
}
