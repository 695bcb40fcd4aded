//! A run under way: logs and the states of its jobs together, until both have ended; then the summary.

use std::collections::BTreeMap;
use std::time::Duration;

use breakbulk_client::logs::LogFollow;
use breakbulk_client::runs::{self, Ending};
use breakbulk_schemas::PipelineRun;
use breakbulk_schemas::condition::{self, SUCCEEDED};
use breakbulk_schemas::pipeline_run::{JobSummary, JobSummaryState};
use jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::sync::mpsc;

use super::word;
use crate::failure::Failure;
use crate::follow::LogPrinter;
use crate::printer::colour::Style;
use crate::printer::table::Table;
use crate::printer::{self, text};
use crate::session::Session;

/// How long the rest of a log may take to arrive once its run has ended.
const LOG_REST: Duration = Duration::from_secs(30);

/// What is worth a remark.
enum News {
    Names(Vec<String>),
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
        News::Names(names) => {
            printer.expect(names.iter().map(String::as_str));
            Ok(())
        }
        News::Words(words) => printer.remark(&words),
    }
}

/// What was said already.
#[derive(Default)]
struct Seen {
    run: String,
    jobs: BTreeMap<String, (JobSummaryState, Option<u32>)>,
}

impl Seen {
    /// What is new in this state of the run.
    fn look(&mut self, run: &PipelineRun) -> Vec<News> {
        let mut news = Vec::new();
        let Some(status) = &run.status else { return news };
        if self.jobs.is_empty() && !status.jobs.is_empty() {
            let prefix = format!("{}-", run.name_any());
            let known = |job: &JobSummary| {
                job.job_ref
                    .as_deref()
                    .unwrap_or(&job.job)
                    .trim_start_matches(&prefix)
                    .to_owned()
            };
            news.push(News::Names(status.jobs.iter().map(known).collect()));
        }
        if let Some(condition) = condition::find(&status.conditions, SUCCEEDED)
            && condition.reason == "Queued"
            && self.run != condition.message
        {
            self.run.clone_from(&condition.message);
            news.push(News::Words(condition.message.clone()));
        }
        for job in &status.jobs {
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

/// The table at the end: each job with its node, how long it waited and ran, and its exit code.
pub(super) fn summary(session: &Session, run: &PipelineRun, ending: Ending) -> Result<(), Failure> {
    let terminal = session.terminal;
    let status = run.status.clone().unwrap_or_default();
    let mut table = Table::with(&["JOB", "RESULT", "NODE", "QUEUED", "DURATION", "EXIT"]);
    for job in &status.jobs {
        table.push(vec![
            text::cell(&job.name),
            format!("{:?}", job.state),
            text::cell(job.node.as_deref().unwrap_or("-")),
            between(
                job.queued_time.as_ref().map(|t| t.0),
                job.start_time.as_ref().map(|t| t.0),
            ),
            between(
                job.start_time.as_ref().map(|t| t.0),
                job.completion_time.as_ref().map(|t| t.0),
            ),
            job.exit_code.map_or("-".to_owned(), |code| code.to_string()),
        ]);
    }
    let gap = if table.is_empty() {
        String::new()
    } else {
        format!("\n{}", table.render(terminal))
    };
    let style = match ending {
        Ending::Succeeded => Style::Good,
        Ending::Failed => Style::Bad,
        Ending::Cancelled => Style::Notice,
    };
    let took = between(status.start_time.map(|t| t.0), status.completion_time.map(|t| t.0));
    let words = terminal.paint(style, &format!("run/{} {}", run.name_any(), word(ending)));
    let why = condition::find(&status.conditions, SUCCEEDED)
        .map(|c| text::cell(&c.message))
        .unwrap_or_default();
    let why = if ending == Ending::Succeeded || why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    printer::out(&format!("{gap}\n{words} after {took}{why}\n"))
}

/// The time between two moments, as people say it.
pub(crate) fn between(start: Option<Timestamp>, end: Option<Timestamp>) -> String {
    let (Some(start), Some(end)) = (start, end) else {
        return "-".to_owned();
    };
    let seconds = end.as_second().saturating_sub(start.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}
