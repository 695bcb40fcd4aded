//! `bulk why`: what a run or a job waits for, or why it went as it did, in a few plain lines. Everything said here
//! stands in the objects; this verb only knows where to look.

use breakbulk_client::runs;
use breakbulk_schemas::condition::{self, SCHEDULED, SUCCEEDED};
use breakbulk_schemas::job::Attempt;
use breakbulk_schemas::pipeline_run::{JobSummary, JobSummaryState};
use breakbulk_schemas::{Job, PipelineRun};
use futures::StreamExt as _;
use kube::{Api, ResourceExt as _};

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::printer::colour::Style;
use crate::printer::text::{self, Sgr};
use crate::printer::{self, Terminal};
use crate::session::Session;
use crate::target::Subject;
use crate::verbs::logs::either;

/// How much of a failed job's log is shown.
const LOG_LINES: usize = 10;
/// And how many bytes of it at most.
const LOG_BYTES: usize = 16 << 10;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What: `run/NAME`, `job/NAME`, or the name of either
    #[arg(value_name = "NAME")]
    subject: Subject,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let subject = match args.subject {
        Subject::Either(name) => either(&session, &name).await?,
        named => named,
    };
    let lines = match subject {
        Subject::Run(name) | Subject::Either(name) => of_run(&session, &name).await?,
        Subject::Job(name) => of_job(&session, &name).await?,
    };
    printer::out(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    Ok(Exit::Done)
}

async fn of_run(session: &Session, name: &str) -> Result<Vec<String>, Failure> {
    let runs: Api<PipelineRun> = Api::namespaced(session.server.client(), &session.namespace);
    let run = runs
        .get(name)
        .await
        .map_err(Failure::server(format!("look at run {name}")))?;
    let mut lines = run_lines(&run, session.terminal);
    let jobs = run
        .status
        .as_ref()
        .map(|status| status.jobs.as_slice())
        .unwrap_or_default();
    // The job that failed first is why; the others may have failed for it.
    let failed = jobs.iter().filter(|job| matches!(job.state, JobSummaryState::Failed));
    let first = failed.min_by_key(|job| job.completion_time.as_ref().map(|time| time.0));
    if let Some(job) = first.and_then(|job| job.job_ref.as_deref()) {
        lines.extend(log_lines(session, job).await);
    }
    for job in jobs.iter().filter(|job| matches!(job.state, JobSummaryState::Pending)) {
        if let Some(job_name) = &job.job_ref
            && let Ok(Some(object)) = jobs_api(session).get_opt(job_name).await
        {
            lines.extend(waits(&object).map(|why| format!("  {}: {why}", text::cell(&job.name))));
        }
    }
    Ok(lines)
}

fn jobs_api(session: &Session) -> Api<Job> {
    Api::namespaced(session.server.client(), &session.namespace)
}

async fn of_job(session: &Session, name: &str) -> Result<Vec<String>, Failure> {
    let job = jobs_api(session)
        .get(name)
        .await
        .map_err(Failure::server(format!("look at job {name}")))?;
    let mut lines = job_lines(&job, session.terminal);
    if runs::job_ending(&job) == Some(runs::Ending::Failed) {
        lines.extend(log_lines(session, name).await);
    }
    Ok(lines)
}

/// What a run's own object says.
fn run_lines(run: &PipelineRun, terminal: Terminal) -> Vec<String> {
    let name = run.name_any();
    let Some(status) = &run.status else {
        return vec![format!(
            "run/{name} has not been looked at by the controllers yet: are they running?"
        )];
    };
    let succeeded = condition::find(&status.conditions, SUCCEEDED);
    let (reason, message) = succeeded.map_or(("Unknown", ""), |c| (c.reason.as_str(), c.message.as_str()));
    let painted = Style::of_word(reason).map_or_else(|| text::cell(reason), |s| terminal.paint(s, &text::cell(reason)));
    let mut lines = vec![format!("run/{name}: {painted}{}", tail(message))];
    if run.spec.cancel {
        lines.push("  somebody asked for it to be cancelled".to_owned());
    }
    if let Some(origin) = run.spec.rerun_of.as_ref() {
        lines.push(format!("  it does run/{} again", text::cell(&origin.name)));
    }
    lines.extend(
        status
            .jobs
            .iter()
            .filter_map(|job| job_word(job).map(|words| format!("  {words}"))),
    );
    lines
}

/// What is worth saying of a job of a run.
fn job_word(job: &JobSummary) -> Option<String> {
    let name = text::cell(&job.name);
    let why = text::cell(job.message.as_deref().or(job.reason.as_deref()).unwrap_or_default());
    let tries = job
        .attempts
        .filter(|attempts| *attempts > 1)
        .map_or(String::new(), |n| format!(" in {n} attempts"));
    let node = job
        .node
        .as_deref()
        .map_or(String::new(), |node| format!(" on {}", text::cell(node)));
    match job.state {
        JobSummaryState::Succeeded if tries.is_empty() => None,
        JobSummaryState::Succeeded => Some(format!("{name} succeeded{tries}")),
        JobSummaryState::Waiting => Some(format!("{name} waits{}", tail(&why))),
        JobSummaryState::Pending => Some(format!("{name} is ready{}", tail(&why))),
        JobSummaryState::Running => Some(format!("{name} runs{node}{}", tail(&why))),
        JobSummaryState::Failed => Some(format!("{name} failed{node}{tries}{}", tail(&why))),
        JobSummaryState::Warned => Some(format!("{name} failed{node}{tries}, which it may{}", tail(&why))),
        JobSummaryState::Skipped => Some(format!("{name} was skipped{}", tail(&why))),
        JobSummaryState::Cancelled => Some(format!("{name} was cancelled")),
    }
}

/// What a job's own object says.
fn job_lines(job: &Job, terminal: Terminal) -> Vec<String> {
    let name = job.name_any();
    let conditions = job
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let succeeded = condition::find(conditions, SUCCEEDED);
    let (reason, message) = succeeded.map_or(("Pending", ""), |c| (c.reason.as_str(), c.message.as_str()));
    let painted = Style::of_word(reason).map_or_else(|| text::cell(reason), |s| terminal.paint(s, &text::cell(reason)));
    let mut lines = vec![format!("job/{name}: {painted}{}", tail(message))];
    if job.spec.cancel && !job.is_ended() {
        lines.push("  it is being cancelled".to_owned());
    }
    if !job.is_ended() {
        lines.extend(waits(job).map(|why| format!("  {why}")));
    }
    let attempts = job
        .status
        .as_ref()
        .map(|status| status.attempts.as_slice())
        .unwrap_or_default();
    lines.extend(attempts.iter().map(|attempt| format!("  {}", attempt_word(attempt))));
    lines
}

/// What a job that has not started waits for, as its conditions say.
fn waits(job: &Job) -> Option<String> {
    let conditions = job
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    match condition::find(conditions, SCHEDULED) {
        Some(scheduled) if scheduled.status != "True" => Some(format!(
            "not scheduled: {}{}",
            text::cell(&scheduled.reason),
            tail(&scheduled.message)
        )),
        Some(_) => None,
        None => Some(match &job.spec.node_name {
            Some(node) => format!("bound to node {}, which has not started it yet", text::cell(node)),
            None => "the scheduler has not looked at it yet: are the controllers running?".to_owned(),
        }),
    }
}

fn attempt_word(attempt: &Attempt) -> String {
    let (number, node) = (attempt.number, text::cell(&attempt.node));
    let Some(reason) = attempt.reason else {
        return format!("attempt {number} runs on {node}");
    };
    let how = match (&attempt.message, attempt.exit_code, attempt.signal) {
        (Some(message), _, _) => tail(message),
        (None, Some(code), _) => format!(": exit code {code}"),
        (None, None, Some(signal)) => format!(": ended by signal {signal}"),
        (None, None, None) => String::new(),
    };
    format!("attempt {number} on {node}: {}{how}", reason.as_str())
}

fn tail(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {}", text::cell(message))
    }
}

/// The last lines of a job's log. That there is none is nothing to complain of.
async fn log_lines(session: &Session, job: &str) -> Vec<String> {
    let root = format!(
        "/apis/{}/namespaces/{}",
        breakbulk_schemas::API_VERSION,
        session.namespace
    );
    let path = format!("{root}/jobs/{job}/log?tailLines={LOG_LINES}");
    let Ok(mut bytes) = session.server.bytes(&path, "*/*").await else {
        return Vec::new();
    };
    let mut log = Vec::new();
    while let Some(Ok(piece)) = bytes.next().await {
        log.extend_from_slice(&piece);
        // Ten lines may be ten gigabytes: their end is what counts.
        if log.len() > 2 * LOG_BYTES {
            log.drain(..log.len() - LOG_BYTES);
        }
    }
    let log = text::clean(&String::from_utf8_lossy(&log), Sgr::Strip);
    if log.trim().is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("  the end of the log of job/{}:", text::cell(job))];
    lines.extend(
        log.lines()
            .rev()
            .take(LOG_LINES)
            .map(|line| format!("    | {line}"))
            .collect::<Vec<_>>()
            .into_iter()
            .rev(),
    );
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::When;

    fn plain() -> Terminal {
        Terminal::new(When::Never)
    }

    #[test]
    fn a_run_says_what_failed_what_was_skipped_and_what_it_waits_for() {
        let run: PipelineRun = serde_json::from_value(json!({
            "apiVersion": "breakbulk.dev/v1", "kind": "PipelineRun", "metadata": {"name": "r"}, "spec": {},
            "status": {
                "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed",
                    "message": "1 of 3 jobs failed: build", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                "jobs": [
                    {"name": "fmt", "job": "fmt", "state": "Succeeded"},
                    {"name": "build", "job": "build", "state": "Failed", "node": "n1", "attempts": 2,
                        "message": "ended with exit code 3"},
                    {"name": "pack", "job": "pack", "state": "Skipped", "message": "build failed"},
                ],
            },
        }))
        .unwrap();
        assert_eq!(
            run_lines(&run, plain()),
            [
                "run/r: Failed: 1 of 3 jobs failed: build",
                "  build failed on n1 in 2 attempts: ended with exit code 3",
                "  pack was skipped: build failed",
            ]
        );
    }

    #[test]
    fn a_job_says_why_no_node_takes_it() {
        let job: Job = serde_json::from_value(json!({
            "apiVersion": "breakbulk.dev/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"script": "x"},
            "status": {"conditions": [{"type": "Scheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes fit: 2 busy (cpu), 1 cordoned", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap();
        assert_eq!(
            job_lines(&job, plain()),
            [
                "job/j: Pending",
                "  not scheduled: Unschedulable: 0/3 nodes fit: 2 busy (cpu), 1 cordoned"
            ]
        );
    }
}
