//! A run under way: logs and the states of its jobs together, until both have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use breakbulk_client::logs::LogFollow;
use breakbulk_client::runs::{self, Ending};
use breakbulk_schemas::PipelineRun;
use breakbulk_schemas::condition::{self, SUCCEEDED};
use breakbulk_schemas::pipeline_run::{JobSummary, JobSummaryState};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::follow::LogPrinter;
use crate::session::Session;

/// How long the rest of a log may take to arrive once its run has ended.
const LOG_REST: Duration = Duration::from_secs(30);

/// What is worth a remark.
enum News {
    /// A Job and what it is called in its pipeline.
    Name(String, String),
    Words(String),
}

/// Shows logs and remarks until the run has ended and its logs are complete. None: interrupted by the user.
pub(super) async fn follow(
    session: &Session,
    name: &str,
    log: &mut LogFollow,
    printer: &mut LogPrinter,
) -> Result<Option<(PipelineRun, Ending)>, Failure> {
    // A run has at most a few thousand changes of state, and each is small; the printer takes them as they come.
    let (tell, mut news) = mpsc::unbounded_channel();
    let mut seen = Seen::default();
    let client = session.server.client();
    let end = runs::wait_for_end(client, &session.namespace, name, |run| {
        for item in seen.look(run) {
            // The receiver lives as long as this future.
            let _ = tell.send(item);
        }
    });
    tokio::pin!(end);
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut ended = None;
    let mut logging = true;
    let rest = tokio::time::sleep(Duration::MAX);
    tokio::pin!(rest);
    while logging || ended.is_none() {
        tokio::select! {
            // Order matters: what is known about the run is said before what it writes next.
            biased;
            _ = &mut interrupt => return Ok(None),
            Some(item) = news.recv() => remark(printer, item)?,
            // Cancel-safe: LogFollow keeps what it has read.
            event = log.next(), if logging => match event.map_err(Failure::Log)? {
                Some(event) => {
                    printer.event(event)?;
                    if !log.has_more() {
                        printer.flush()?;
                    }
                }
                None => logging = false,
            },
            result = &mut end, if ended.is_none() => {
                ended = Some(result.map_err(Failure::Run)?);
                rest.as_mut().reset(tokio::time::Instant::now() + LOG_REST);
            }
            () = &mut rest, if ended.is_some() => {
                printer.remark("the rest of the log has not arrived; `bulk logs` shows it later")?;
                logging = false;
            }
        }
    }
    printer.finish()?;
    while let Ok(item) = news.try_recv() {
        remark(printer, item)?;
    }
    Ok(ended)
}

fn remark(printer: &mut LogPrinter, news: News) -> Result<(), Failure> {
    match news {
        News::Name(job, name) => {
            printer.call(&job, &name);
            Ok(())
        }
        News::Words(words) => printer.remark(&words),
    }
}

/// What was said already.
#[derive(Default)]
struct Seen {
    run: String,
    named: BTreeSet<String>,
    jobs: BTreeMap<String, (JobSummaryState, Option<u32>)>,
}

impl Seen {
    /// What is new in this state of the run.
    fn look(&mut self, run: &PipelineRun) -> Vec<News> {
        let mut news = Vec::new();
        let Some(status) = &run.status else { return news };
        if let Some(condition) = condition::find(&status.conditions, SUCCEEDED)
            && condition.reason == "Queued"
            && self.run != condition.message
        {
            self.run.clone_from(&condition.message);
            news.push(News::Words(condition.message.clone()));
        }
        for job in &status.jobs {
            if let Some(object) = &job.job_ref
                && self.named.insert(object.clone())
            {
                news.push(News::Name(object.clone(), job.name.clone()));
            }
            let state = (job.state, job.attempts);
            if self.jobs.insert(job.name.clone(), state) != Some(state)
                && let Some(words) = change(job)
            {
                news.push(News::Words(words));
            }
        }
        news
    }
}

/// A change of a job, if it is worth a line.
fn change(job: &JobSummary) -> Option<String> {
    let why = job.message.as_deref().unwrap_or_default();
    let name = &job.name;
    match job.state {
        JobSummaryState::Waiting | JobSummaryState::Pending | JobSummaryState::Succeeded => None,
        JobSummaryState::Running => {
            let node = job.node.as_deref().map_or(String::new(), |node| format!(" on {node}"));
            Some(format!("{name} runs{node}"))
        }
        JobSummaryState::Failed => Some(format!("{name} failed: {why}")),
        JobSummaryState::Warned => Some(format!("{name} failed, which it may: {why}")),
        JobSummaryState::Skipped => Some(format!("{name} is skipped: {why}")),
        JobSummaryState::Cancelled => Some(format!("{name} was cancelled")),
    }
}
