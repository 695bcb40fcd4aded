//! A Job in one line of its run's status.

use breakbulk_schemas::condition::{self, SCHEDULED, SUCCEEDED, Truth};
use breakbulk_schemas::job::Job;
use breakbulk_schemas::labels;
use breakbulk_schemas::pipeline_run::{JobSummary, JobSummaryState as State, PipelineRun};
use kube::ResourceExt;

use super::instances::Instance;

/// The entry of an instance that has a Job.
pub(super) fn of(instance: &Instance<'_>, job: &Job) -> JobSummary {
    let status = job.status.clone().unwrap_or_default();
    let last = status.attempts.last();
    let state = state(job, instance.template.allow_failure);
    let told = condition::find(&status.conditions, SUCCEEDED);
    let unscheduled = condition::find(&status.conditions, SCHEDULED).filter(|c| c.status == "False");
    let (reason, message) = match (state, unscheduled, told) {
        (State::Pending, Some(why), _) | (_, _, Some(why)) => (Some(why.reason.clone()), Some(why.message.clone())),
        _ => (None, None),
    };
    JobSummary {
        name: instance.name.clone(),
        job: instance.job.to_owned(),
        matrix: instance.matrix.clone(),
        finally: instance.finally,
        job_ref: Some(job.name_any()),
        state,
        reason,
        message,
        node: last
            .map(|attempt| attempt.node.clone())
            .or_else(|| job.spec.node_name.clone()),
        exit_code: last.and_then(|attempt| attempt.exit_code),
        attempts: u32::try_from(status.attempts.len()).ok().filter(|count| *count > 0),
        queued_time: job.metadata.creation_timestamp.clone(),
        start_time: status.start_time,
        completion_time: status.completion_time,
    }
}

fn state(job: &Job, allow_failure: bool) -> State {
    let conditions = job
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    match condition::truth(conditions, SUCCEEDED) {
        Truth::True => State::Succeeded,
        Truth::False if condition::find(conditions, SUCCEEDED).is_some_and(|c| c.reason == "Cancelled") => {
            State::Cancelled
        }
        Truth::False if allow_failure => State::Warned,
        Truth::False => State::Failed,
        Truth::Unknown if job.last_attempt().is_some_and(|attempt| !attempt.is_ended()) => State::Running,
        Truth::Unknown => State::Pending,
    }
}

/// The pipeline a run belongs to, or an empty text for one of its own.
pub(super) fn pipeline_name(run: &PipelineRun) -> String {
    let named = run.spec.pipeline_ref.as_ref().map(|reference| reference.name.clone());
    named
        .or_else(|| run.labels().get(labels::PIPELINE).cloned())
        .unwrap_or_default()
}
