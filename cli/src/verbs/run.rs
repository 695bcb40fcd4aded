//! `bulk run`: starts a run of a pipeline, and with `--follow` shows its logs and ends as it does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use breakbulk_client::logs::{self, LogOptions, LogTarget};
use breakbulk_client::runs;
use breakbulk_schemas::pipeline_run::{PipelineRef, Source as RunSource};
use breakbulk_schemas::{Pipeline, PipelineRun, PipelineRunSpec, PipelineSpec, Scalar};
use clap::ValueEnum;
use kube::api::ObjectMeta;
use kube::{Api, ResourceExt as _};

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{LogPrinter, Look};
use crate::manifest::{self, Complaint, Source};
use crate::printer;
use crate::session::Session;
use crate::target::check_name;

mod params;
mod progress;
mod summary;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pipeline: its name, or pipeline/NAME
    #[arg(required_unless_present = "filename")]
    pipeline: Option<String>,
    /// A manifest instead: a Pipeline, which is run without being stored, or a PipelineRun
    #[arg(short, long, value_name = "FILE", conflicts_with = "pipeline")]
    filename: Option<PathBuf>,
    /// A parameter's value
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// The branch to run at, or a full ref such as refs/tags/v1
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// The commit to run at, as a full id
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
    /// Show the logs of all jobs as they come, and end as the run does
    #[arg(long, short = 'F')]
    follow: bool,
    /// The run's name. Default: made from the pipeline's
    #[arg(long)]
    name: Option<String>,
    /// Print only the run's name, as run/NAME
    #[arg(short, long, value_name = "FORM")]
    output: Option<Output>,
}

/// `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Name,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let mut session = Session::open(global).await?;
    let run = match &args.filename {
        Some(file) => from_file(&mut session, &args, file)?,
        None => from_pipeline(&session, &args).await?,
    };
    start(&session, &run, args.follow, args.output.is_some()).await
}

/// Creates a run, tells its name, and follows it if that was asked.
pub(crate) async fn start(session: &Session, run: &PipelineRun, follow: bool, quiet: bool) -> Result<Exit, Failure> {
    let created = runs::create(session.server.client(), &session.namespace, run)
        .await
        .map_err(Failure::Run)?;
    let name = created.name_any();
    match (quiet, follow) {
        (true, _) => printer::line(&format!("run/{name}"))?,
        // What is on standard output is the log.
        (false, true) => eprintln!("run/{name} created"),
        (false, false) => printer::line(&format!("run/{name} created"))?,
    }
    if !follow {
        return Ok(Exit::Done);
    }
    follow_run(session, &name).await
}

/// Shows the logs of all jobs of a run until it has ended, and then how it went.
pub(crate) async fn follow_run(session: &Session, name: &str) -> Result<Exit, Failure> {
    printer::end_with_reader(Exit::Cancelled);
    let look = Look {
        timestamps: false,
        prefix: Some(format!("{name}-")),
    };
    let mut printer = LogPrinter::new(look, session.terminal);
    let target = LogTarget::Run { name: name.to_owned() };
    let mut log = logs::follow(
        session.server.client(),
        &session.namespace,
        &target,
        LogOptions::default(),
    );
    let ended = progress::follow(session, name, &mut log, &mut printer).await;
    let (run, ending) = match ended {
        Ok(Some(ended)) => ended,
        Ok(None) => {
            printer.finish()?;
            eprintln!("\nrun/{name} goes on. `bulk logs -f run/{name}` follows it, `bulk cancel run/{name}` stops it");
            return Ok(Exit::Cancelled);
        }
        Err(failure) => return Err(failure),
    };
    summary::print(session, &run, ending).await?;
    Ok(ending.into())
}

async fn from_pipeline(session: &Session, args: &Args) -> Result<PipelineRun, Failure> {
    let typed = args.pipeline.as_deref().unwrap_or_default();
    let name = match typed.split_once('/') {
        Some(("pipeline" | "pipelines" | "pl", name)) => name,
        Some((kind, _)) => {
            return Err(Failure::said(format!(
                "only pipelines can be run, and {kind:?} is none"
            )));
        }
        None => typed,
    };
    check_name(name)?;
    let pipelines: Api<Pipeline> = Api::namespaced(session.server.client(), &session.namespace);
    let doing = format!("run {name}");
    let pipeline = pipelines.get(name).await.map_err(Failure::server(doing))?;
    let params = params::read(&args.params, &pipeline.spec)?;
    let spec = PipelineRunSpec {
        pipeline_ref: Some(PipelineRef { name: name.to_owned() }),
        params,
        source: source(args)?,
        ..PipelineRunSpec::default()
    };
    Ok(PipelineRun {
        metadata: metadata(args, name)?,
        spec,
        status: None,
    })
}

/// A Pipeline of a file is run as it stands there; a PipelineRun is created as it is.
fn from_file(session: &mut Session, args: &Args, file: &std::path::Path) -> Result<PipelineRun, Failure> {
    let mut reading = manifest::read(Source::read_all(&[file.to_owned()])?);
    let mistakes = reading.complaints.len();
    Complaint::print_all(std::mem::take(&mut reading.complaints), session.terminal);
    if mistakes > 0 {
        return Err(Failure::Manifests("nothing was run".to_owned()));
    }
    let [document] = reading.documents.as_slice() else {
        return Err(Failure::said(format!(
            "{} must hold one Pipeline or PipelineRun",
            file.display()
        )));
    };
    if let Some(namespace) = &document.namespace {
        session.namespace.clone_from(namespace);
    }
    let wrong = |error: serde_json::Error| Failure::said(format!("{}: {error}", file.display()));
    match document.kind.as_str() {
        "Pipeline" => {
            let spec: PipelineSpec = serde_json::from_value(document.value["spec"].clone()).map_err(wrong)?;
            let params = params::read(&args.params, &spec)?;
            let metadata = metadata(args, &document.name)?;
            let spec = PipelineRunSpec {
                pipeline_spec: Some(spec),
                params,
                source: source(args)?,
                ..PipelineRunSpec::default()
            };
            Ok(PipelineRun {
                metadata,
                spec,
                status: None,
            })
        }
        "PipelineRun" => {
            let mut run: PipelineRun = serde_json::from_value(document.value.clone()).map_err(wrong)?;
            let given: BTreeMap<String, Scalar> = params::untyped(&args.params)?;
            run.spec.params.extend(given);
            run.spec.source = source(args)?.or(run.spec.source);
            Ok(run)
        }
        kind => Err(Failure::said(format!("{}: a {kind} cannot be run", file.display()))),
    }
}

fn metadata(args: &Args, pipeline: &str) -> Result<ObjectMeta, Failure> {
    match &args.name {
        Some(name) => {
            check_name(name)?;
            Ok(ObjectMeta {
                name: Some(name.clone()),
                ..ObjectMeta::default()
            })
        }
        None => Ok(ObjectMeta {
            generate_name: Some(format!("{pipeline}-")),
            ..ObjectMeta::default()
        }),
    }
}

fn source(args: &Args) -> Result<Option<RunSource>, Failure> {
    if args.reference.is_none() && args.revision.is_none() {
        return Ok(None);
    }
    if let Some(revision) = &args.revision {
        let hex = revision
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !hex || !matches!(revision.len(), 40 | 64) {
            return Err(Failure::said(format!(
                "--revision {revision:?}: a full commit id is expected, 40 or 64 hexadecimal digits (git rev-parse HEAD)"
            )));
        }
    }
    let full = |name: &String| {
        if name.starts_with("refs/") {
            name.clone()
        } else {
            format!("refs/heads/{name}")
        }
    };
    let ref_ = args.reference.as_ref().map(full);
    Ok(Some(RunSource {
        revision: args.revision.clone(),
        ref_,
        ..RunSource::default()
    }))
}
