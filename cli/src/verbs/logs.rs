//! `bulk logs`: the log of a job, or of all jobs of a run; what is there, or with `-f` as it comes.

use std::io::Write as _;

use breakbulk_client::logs::{self, LogOptions, LogTarget};
use breakbulk_client::runs;
use breakbulk_schemas::{Job, PipelineRun};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::Api;

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{LogPrinter, Look};
use crate::printer::{self, text::Filter};
use crate::session::Session;
use crate::target::{Subject, check_name};

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose: `run/NAME`, `job/NAME`, or the name of either
    #[arg(value_name = "NAME")]
    subject: Subject,
    /// Go on showing it until the run or job has ended, and end as it did
    #[arg(short, long)]
    follow: bool,
    /// Only the last so many lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Only what was written in the last so long, for example 5m
    #[arg(long, value_name = "DURATION")]
    since: Option<breakbulk_schemas::Duration>,
    /// Begin each line with the time at which it was written
    #[arg(long)]
    timestamps: bool,
    /// Only this job of the run, by its name in the pipeline
    #[arg(short, long, value_name = "JOB")]
    job: Option<String>,
    /// Only this attempt. Default: the latest, and those that follow it
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// At most so many bytes
    #[arg(long, value_name = "BYTES")]
    limit_bytes: Option<u64>,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let target = resolve(&session, &args).await?;
    if args.follow {
        follow(&session, &args, target).await
    } else {
        print(&session, &args, &target).await
    }
}

/// Which log is meant.
async fn resolve(session: &Session, args: &Args) -> Result<LogTarget, Failure> {
    let subject = match &args.subject {
        Subject::Either(name) => either(session, name).await?,
        named => named.clone(),
    };
    match (subject, &args.job) {
        (Subject::Run(run), Some(job)) => Ok(LogTarget::Job {
            name: job_of(session, &run, job).await?,
            attempt: args.attempt,
        }),
        (Subject::Run(_), None) if args.attempt.is_some() => {
            Err(Failure::said("--attempt belongs to one job: name it with --job"))
        }
        (Subject::Run(name), None) => Ok(LogTarget::Run { name }),
        (Subject::Job(_) | Subject::Either(_), Some(_)) => Err(Failure::said("--job belongs to a run: write run/NAME")),
        (Subject::Job(name) | Subject::Either(name), None) => Ok(LogTarget::Job {
            name,
            attempt: args.attempt,
        }),
    }
}

/// A bare name: a run's if there is one, else a job's.
pub(crate) async fn either(session: &Session, name: &str) -> Result<Subject, Failure> {
    let failed = || Failure::server(format!("look for {name}"));
    let runs: Api<PipelineRun> = Api::namespaced(session.server.client(), &session.namespace);
    if runs.get_opt(name).await.map_err(failed())?.is_some() {
        return Ok(Subject::Run(name.to_owned()));
    }
    let jobs: Api<Job> = Api::namespaced(session.server.client(), &session.namespace);
    match jobs.get_opt(name).await.map_err(failed())? {
        Some(_) => Ok(Subject::Job(name.to_owned())),
        None => Err(Failure::said(format!(
            "there is no run and no job {name:?} in namespace {}",
            session.namespace
        ))),
    }
}

/// The Job object of a run's job, by its name in the pipeline.
async fn job_of(session: &Session, run: &str, job: &str) -> Result<String, Failure> {
    let runs: Api<PipelineRun> = Api::namespaced(session.server.client(), &session.namespace);
    let found = runs.get(run).await.map_err(Failure::server(format!("get run {run}")))?;
    let jobs = found.status.map(|status| status.jobs).unwrap_or_default();
    let mine: Vec<_> = jobs
        .iter()
        .filter(|summary| summary.name == job || summary.job == job)
        .collect();
    match mine.as_slice() {
        [summary] => summary.job_ref.clone().ok_or_else(|| {
            let words = summary
                .message
                .clone()
                .unwrap_or_else(|| "it has not started".to_owned());
            Failure::said(format!("the job {job:?} of run {run} has no log yet: {words}"))
        }),
        [] => {
            let names: Vec<_> = jobs.iter().map(|summary| summary.name.as_str()).collect();
            Err(Failure::said(format!(
                "run {run} has no job {job:?}; it has {}",
                names.join(", ")
            )))
        }
        several => {
            let names: Vec<_> = several.iter().map(|summary| format!("{:?}", summary.name)).collect();
            Err(Failure::said(format!(
                "{job:?} is several jobs of run {run}: {}",
                names.join(", ")
            )))
        }
    }
}

/// What is there now, as the server writes it.
async fn print(session: &Session, args: &Args, target: &LogTarget) -> Result<Exit, Failure> {
    let (kind, name, attempt) = match target {
        LogTarget::Job { name, attempt } => ("jobs", name, *attempt),
        LogTarget::Run { name } => ("pipelineruns", name, None),
    };
    check_name(name)?;
    let root = format!(
        "/apis/{}/namespaces/{}",
        breakbulk_schemas::API_VERSION,
        session.namespace
    );
    let mut path = format!("{root}/{kind}/{name}/log?timestamps={}", args.timestamps);
    let mut add = |key: &str, value: Option<u64>| {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={value}"));
        }
    };
    add("tailLines", args.tail);
    add(
        "sinceSeconds",
        args.since
            .map(|since| std::time::Duration::from(since).as_secs().max(1)),
    );
    add("limitBytes", args.limit_bytes);
    add("attempt", attempt.map(u64::from));
    let doing = format!("show the log of {name}");
    let mut bytes = session
        .server
        .bytes(&path, "*/*")
        .await
        .map_err(Failure::server(doing.clone()))?;
    let mut filter = Filter::new(session.terminal.sgr());
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(Failure::server(doing.clone()))?;
        let mut out = Vec::new();
        let shown = if session.terminal.looks {
            filter.push(&piece, &mut out);
            &out[..]
        } else {
            &piece[..]
        };
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(shown)
            .and_then(|()| stdout.flush())
            .map_err(Failure::Output)?;
    }
    Ok(Exit::Done)
}

/// What is there and what comes, until the end; the end of the run or job is ours.
async fn follow(session: &Session, args: &Args, target: LogTarget) -> Result<Exit, Failure> {
    printer::end_with_reader(Exit::Cancelled);
    let options = LogOptions {
        tail_lines: args.tail,
        since: args
            .since
            .and_then(|since| Timestamp::now().checked_sub(std::time::Duration::from(since)).ok()),
        limit_bytes: args.limit_bytes,
        after: None,
    };
    let prefix = match &target {
        LogTarget::Run { name } => Some(format!("{name}-")),
        LogTarget::Job { .. } => None,
    };
    let mut printer = LogPrinter::new(
        Look {
            timestamps: args.timestamps,
            prefix,
        },
        session.terminal,
    );
    if let LogTarget::Run { name } = &target {
        let runs: Api<PipelineRun> = Api::namespaced(session.server.client(), &session.namespace);
        let run = runs
            .get(name)
            .await
            .map_err(Failure::server(format!("get run {name}")))?;
        // Jobs that are created later are called by what their own names say.
        for job in run.status.iter().flat_map(|status| &status.jobs) {
            if let Some(object) = &job.job_ref {
                printer.call(object, &job.name);
            }
        }
    }
    let mut log = logs::follow(session.server.client(), &session.namespace, &target, options);
    printer.follow(&mut log).await?;
    let client = session.server.client();
    let ending = match &target {
        LogTarget::Run { name } => {
            runs::wait_for_end(client, &session.namespace, name, |_| {})
                .await
                .map_err(Failure::Run)?
                .1
        }
        LogTarget::Job { name, attempt: None } => {
            runs::wait_for_job_end(client, &session.namespace, name, |_| {})
                .await
                .map_err(Failure::Run)?
                .1
        }
        LogTarget::Job {
            name,
            attempt: Some(number),
        } => {
            let jobs: Api<Job> = Api::namespaced(client, &session.namespace);
            let job = jobs.get(name).await.map_err(Failure::server("see how it ended"))?;
            return Ok(attempt_exit(&job, *number));
        }
    };
    Ok(ending.into())
}

/// How one attempt of a job ended.
fn attempt_exit(job: &Job, number: u32) -> Exit {
    use breakbulk_schemas::job::AttemptReason;
    let attempts = job.status.iter().flat_map(|status| &status.attempts);
    let reason = attempts
        .into_iter()
        .find(|attempt| attempt.number == number)
        .and_then(|attempt| attempt.reason);
    match reason {
        Some(AttemptReason::Succeeded) => Exit::Done,
        Some(AttemptReason::Cancelled) => Exit::Cancelled,
        Some(_) => Exit::Failed,
        None => Exit::Ours,
    }
}
