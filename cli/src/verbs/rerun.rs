//! `bulk rerun`: a new run with the pipeline, the parameters and the commit of one that has ended.

use breakbulk_client::runs;
use breakbulk_schemas::pipeline_run::{RerunJobs, RerunOf};
use breakbulk_schemas::{PipelineRun, PipelineRunSpec};
use kube::Api;
use kube::api::ObjectMeta;

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::target::{Subject, check_name};
use crate::verbs::run::start;

/// The longest beginning of a generated name: five characters are put behind it, and a run's name begins the names of
/// its jobs.
const MAX_PREFIX: usize = 40;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run to do again: its name, or run/NAME
    #[arg(value_name = "RUN")]
    run: Subject,
    /// Only the jobs that did not succeed, and what depends on them. This is what happens when nothing is said
    #[arg(long, conflicts_with = "all")]
    failed: bool,
    /// All jobs
    #[arg(long)]
    all: bool,
    /// Show the logs as they come, and end as the run does
    #[arg(long, short = 'F')]
    follow: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let name = match &args.run {
        Subject::Run(name) | Subject::Either(name) => name,
        Subject::Job(_) => return Err(Failure::said("a run is done again, not a job: name its run")),
    };
    check_name(name)?;
    let runs: Api<PipelineRun> = Api::namespaced(session.server.client(), &session.namespace);
    let old = runs.get(name).await.map_err(Failure::server(format!("rerun {name}")))?;
    if runs::ending(&old).is_none() {
        return Err(Failure::said(format!(
            "run {name} has not ended: wait for it, or cancel it first"
        )));
    }
    let jobs = if args.all { RerunJobs::All } else { RerunJobs::Failed };
    let pipeline = old
        .spec
        .pipeline_ref
        .as_ref()
        .map_or_else(|| name.clone(), |pipeline| pipeline.name.clone());
    let prefix: String = pipeline.chars().take(MAX_PREFIX).collect();
    let run = PipelineRun {
        metadata: ObjectMeta {
            generate_name: Some(format!("{prefix}-")),
            ..ObjectMeta::default()
        },
        spec: PipelineRunSpec {
            rerun_of: Some(RerunOf {
                name: name.clone(),
                jobs,
            }),
            ..PipelineRunSpec::default()
        },
        status: None,
    };
    start(&session, &run, args.follow, false).await
}
