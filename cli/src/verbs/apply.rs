//! `bulk apply`: makes objects be as manifests say. Every mistake in every document is shown where it stands, and
//! when there is one, nothing is changed.
//!
//! ```text
//! read ─▶ ask the server about each document, without changing anything ─▶ complaints? stop ─▶ create or merge
//! ```

mod mistakes;
mod three_way;

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::Value;

use crate::args::Global;
use crate::discovery::{Resource, Resources};
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::manifest::{self, Complaint, Document, Source, locate};
use crate::printer;
use crate::session::Session;
use crate::target;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file, a directory, or `-` for standard input
    #[arg(short, long, required = true, value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Check everything and show what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print only the objects' names
    #[arg(short, long, value_name = "FORM")]
    output: Option<Output>,
}

/// `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Name,
}

/// What is to be done for a document.
#[derive(Debug)]
enum Step {
    Create,
    Merge { path: String, patch: Value },
    Nothing,
}

/// A document and what the server has to do for it.
struct Plan<'a> {
    document: &'a Document,
    resource: &'a Resource,
    /// The object as the document says it is to be.
    wanted: Value,
    /// The path of all objects of its kind.
    collection: String,
    step: Step,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let mut reading = manifest::read(Source::read_all(&args.filename)?);
    let session = Session::open(global).await?;
    let resources = Resources::load(&session.server).await?;
    let mut complaints = std::mem::take(&mut reading.complaints);
    if reading.documents.is_empty() && complaints.is_empty() {
        return Err(Failure::said("there is no object in what was given"));
    }
    let mut plans = Vec::new();
    for document in &reading.documents {
        match resource_of(document, &resources, global) {
            Ok(resource) => plans.push(plan(&session, document, resource).await?),
            Err(complaint) => complaints.push(complaint),
        }
    }
    // With one document the change itself is the check: it is refused whole.
    let alone = plans.len() == 1 && complaints.is_empty() && !args.dry_run;
    if !alone {
        for plan in &plans {
            complaints.extend(check(&session, plan, &plans).await?);
        }
    }
    refuse(complaints, &session)?;
    for plan in &plans {
        let done = if args.dry_run {
            Ok(())
        } else {
            send(&session, plan, "").await
        };
        match done {
            Ok(()) => {}
            Err(error) => {
                let complaints = mistakes::of(&session, plan, error).await?;
                refuse(complaints, &session)?;
            }
        }
        tell(plan, &args)?;
    }
    Ok(Exit::Done)
}

/// Shows the mistakes, if there are any, and ends there.
fn refuse(complaints: Vec<Complaint>, session: &Session) -> Result<(), Failure> {
    let count = complaints.len();
    if count == 0 {
        return Ok(());
    }
    Complaint::print_all(complaints, session.terminal);
    let mistakes = if count == 1 {
        "one mistake".to_owned()
    } else {
        format!("{count} mistakes")
    };
    Err(Failure::Manifests(format!("{mistakes}; nothing was changed")))
}

fn tell(plan: &Plan<'_>, args: &Args) -> Result<(), Failure> {
    let name = format!("{}/{}", plan.resource.display(), plan.document.name);
    if args.output.is_some() {
        return printer::line(&name);
    }
    let done = match plan.step {
        Step::Create => "created",
        Step::Merge { .. } => "configured",
        Step::Nothing => "unchanged",
    };
    let dry = if args.dry_run { " (not really)" } else { "" };
    printer::line(&format!("{name} {done}{dry}"))
}

/// The kind of a document, and whether it stands where it can.
fn resource_of<'a>(document: &Document, resources: &'a Resources, global: &Global) -> Result<&'a Resource, Complaint> {
    let complain = |path: &str, words: String| {
        Complaint::new(&document.source, locate::locate(&document.tree, path).place(), words)
    };
    if document.name.is_empty() {
        return Err(complain(
            "metadata",
            "apply needs metadata.name: a generated name is another object each time".into(),
        ));
    }
    target::check_name(&document.name).map_err(|failure| complain("metadata.name", failure.to_string()))?;
    if let (Some(own), Some(asked)) = (&document.namespace, &global.namespace)
        && own != asked
    {
        return Err(complain(
            "metadata.namespace",
            format!("the namespace here is {own:?}, and -n says {asked:?}"),
        ));
    }
    if let Some(namespace) = &document.namespace {
        target::check_name(namespace).map_err(|failure| complain("metadata.namespace", failure.to_string()))?;
    }
    let Document { api_version, kind, .. } = document;
    resources.of(api_version, kind).ok_or_else(|| {
        let kinds = resources.kinds(api_version);
        if kinds.is_empty() {
            complain("apiVersion", format!("the server has no apiVersion {api_version:?}"))
        } else {
            complain(
                "kind",
                format!("{api_version} has no kind {kind:?}; it has {}", kinds.join(", ")),
            )
        }
    })
}

/// What it takes to make the object be as the document says.
async fn plan<'a>(session: &Session, document: &'a Document, resource: &'a Resource) -> Result<Plan<'a>, Failure> {
    let namespace = document.namespace.as_deref().unwrap_or(&session.namespace);
    let path = resource.object(namespace, &document.name);
    let wanted = three_way::wanted(&document.value, resource.namespaced.then_some(namespace));
    let step = match session.server.get(&path, crate::server::JSON).await {
        Ok(current) => match three_way::patch(&wanted, &current) {
            Some(patch) => Step::Merge { path, patch },
            None => Step::Nothing,
        },
        Err(error) if failure::code_of(&error) == Some(404) => Step::Create,
        Err(error) => {
            let doing = format!("look at {}/{}", resource.display(), document.name);
            return Err(Failure::server(doing)(error));
        }
    };
    let collection = resource.collection(Some(namespace));
    Ok(Plan {
        document,
        resource,
        wanted,
        collection,
        step,
    })
}

/// Asks the server what it would say.
async fn check(session: &Session, plan: &Plan<'_>, all: &[Plan<'_>]) -> Result<Vec<Complaint>, Failure> {
    match send(session, plan, "&dryRun=All").await {
        Ok(()) => Ok(Vec::new()),
        // It can only be created once its namespace is, which stands in the same manifests.
        Err(error) if failure::code_of(&error) == Some(404) && creates_namespace(plan, all, session) => Ok(Vec::new()),
        Err(error) => mistakes::of(session, plan, error).await,
    }
}

fn creates_namespace(plan: &Plan<'_>, all: &[Plan<'_>], session: &Session) -> bool {
    let namespace = plan.document.namespace.as_deref().unwrap_or(&session.namespace);
    let is_it = |p: &Plan<'_>| p.document.kind == "Namespace" && p.document.name == namespace;
    plan.resource.namespaced && all.iter().any(is_it)
}

/// Asks the server to do it.
async fn send(session: &Session, plan: &Plan<'_>, more: &str) -> Result<(), kube::Error> {
    let query = format!("fieldManager=bulk&fieldValidation=Strict{more}");
    let server = &session.server;
    let answer = match &plan.step {
        Step::Create => server.post(&format!("{}?{query}", plan.collection), &plan.wanted).await,
        Step::Merge { path, patch } => server.merge(&format!("{path}?{query}"), patch).await,
        Step::Nothing => return Ok(()),
    };
    answer.map(drop)
}
