//! The table at the end of a followed run: each job with its node, how long it waited and ran, and its exit code.

use std::collections::BTreeMap;

use breakbulk_client::runs::Ending;
use breakbulk_schemas::condition::{self, SUCCEEDED};
use breakbulk_schemas::pipeline_run::JobSummary;
use breakbulk_schemas::{Job, PipelineRun, labels};
use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use crate::failure::Failure;
use crate::printer::colour::Style;
use crate::printer::table::Table;
use crate::printer::{self, text};
use crate::session::Session;

/// Prints the table, and how the run ended.
pub(super) async fn print(session: &Session, run: &PipelineRun, ending: Ending) -> Result<(), Failure> {
    let terminal = session.terminal;
    let status = run.status.clone().unwrap_or_default();
    let objects = objects(session, &run.name_any()).await;
    let mut table = Table::with(&["JOB", "RESULT", "NODE", "QUEUED", "DURATION", "EXIT"]);
    for job in &status.jobs {
        let object = job.job_ref.as_ref().and_then(|name| objects.get(name));
        let (queued, took) = object.map_or_else(|| coarse(job), times);
        table.push(vec![
            text::cell(&job.name),
            format!("{:?}", job.state),
            text::cell(job.node.as_deref().unwrap_or("-")),
            queued.map_or("-".to_owned(), words),
            took.map_or("-".to_owned(), words),
            job.exit_code.map_or("-".to_owned(), |code| code.to_string()),
        ]);
    }
    let gap = if table.is_empty() {
        String::new()
    } else {
        format!("\n{}", table.render(terminal))
    };
    let (style, word) = match ending {
        Ending::Succeeded => (Style::Good, "succeeded"),
        Ending::Failed => (Style::Bad, "failed"),
        Ending::Cancelled => (Style::Notice, "was cancelled"),
    };
    let took = between(status.start_time.map(|t| t.0), status.completion_time.map(|t| t.0));
    let took = took.map_or(String::new(), |took| format!(" after {}", words(took)));
    let head = terminal.paint(style, &format!("run/{} {word}", run.name_any()));
    let why = condition::find(&status.conditions, SUCCEEDED)
        .map(|c| text::cell(&c.message))
        .unwrap_or_default();
    let why = if ending == Ending::Succeeded || why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    printer::out(&format!("{gap}\n{head}{took}{why}\n"))
}

/// The run's Jobs by name: they know their times to the microsecond. Without them the summary's seconds must do.
async fn objects(session: &Session, run: &str) -> BTreeMap<String, Job> {
    let jobs: Api<Job> = Api::namespaced(session.server.client(), &session.namespace);
    let mine = ListParams::default().labels(&format!("{}={run}", labels::RUN));
    let list = jobs.list(&mine).await.map(|list| list.items).unwrap_or_default();
    list.into_iter().map(|job| (job.name_any(), job)).collect()
}

type Times = (Option<SignedDuration>, Option<SignedDuration>);

/// How long a Job waited for its first attempt, and how long its attempts took from the first claim to the last end.
fn times(job: &Job) -> Times {
    let attempts = job
        .status
        .as_ref()
        .map(|status| status.attempts.as_slice())
        .unwrap_or_default();
    let claimed = attempts.first().map(|attempt| attempt.claim_time.0);
    let ended = attempts
        .last()
        .and_then(|attempt| attempt.finish_time.as_ref())
        .map(|time| time.0);
    // An object's creation is known to the second only, and then rounded down: so is the time since.
    let whole = |wait: SignedDuration| SignedDuration::from_secs(wait.as_secs());
    (
        between(job.metadata.creation_timestamp.as_ref().map(|t| t.0), claimed).map(whole),
        between(claimed, ended),
    )
}

fn coarse(job: &JobSummary) -> Times {
    let [queued, start, end] =
        [&job.queued_time, &job.start_time, &job.completion_time].map(|time| time.as_ref().map(|time| time.0));
    (between(queued, start), between(start, end))
}

fn between(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<SignedDuration> {
    Some(end?.duration_since(start?).max(SignedDuration::ZERO))
}

/// A length of time as people say it.
fn words(time: SignedDuration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    match seconds {
        0 if millis > 0 => format!("{millis}ms"),
        0..10 if millis > 0 => format!("{seconds}.{}s", millis / 100),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_exactly_as_they_matter() {
        let said = |millis: i64| words(SignedDuration::from_millis(millis));
        let all = [0, 7, 999, 1_000, 2_345, 59_999, 61_000, 3_725_000].map(said);
        assert_eq!(all, ["0s", "7ms", "999ms", "1s", "2.3s", "59s", "1m1s", "1h2m"]);
    }
}
