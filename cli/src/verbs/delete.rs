//! `bulk delete`: deletes objects, and waits until they are gone.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::args::Global;
use crate::discovery::{Resource, Resources};
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::manifest::{self, Complaint, Source};
use crate::printer;
use crate::server::JSON;
use crate::session::Session;
use crate::target;
use crate::verbs::get::escape;

/// How often a deleted object is looked for until it is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long it is waited for: a finalizer may never be taken off.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What: `run NAME…`, `run/NAME…`, or a kind with -l or --all
    #[arg(required_unless_present = "filename", value_name = "KIND [NAME]")]
    what: Vec<String>,
    /// The objects of a manifest
    #[arg(short, long, value_name = "FILE", conflicts_with = "what")]
    filename: Vec<PathBuf>,
    /// Those with these labels
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "filename")]
    selector: Option<String>,
    /// All of the kind in the namespace
    #[arg(long, conflicts_with_all = ["filename", "selector"])]
    all: bool,
    /// Objects that are not there are no mistake
    #[arg(long)]
    ignore_not_found: bool,
    /// Do not wait until they are gone
    #[arg(long)]
    no_wait: bool,
}

/// An object to delete.
struct Doomed {
    resource: Resource,
    name: String,
    path: String,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let resources = Resources::load(&session.server).await?;
    let doomed = if args.filename.is_empty() {
        named(&session, &resources, &args).await?
    } else {
        in_files(&session, &resources, &args)?
    };
    let mut exit = Exit::Done;
    let mut leaving = Vec::new();
    for object in doomed {
        let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
        let word = format!("{}/{}", object.resource.display(), object.name);
        match session.server.delete(&object.path, &options).await {
            Ok(answer) => {
                printer::line(&format!("{word} deleted"))?;
                // An object in the answer instead of a Status: something has to be done before it can go.
                let uid = answer
                    .pointer("/metadata/uid")
                    .and_then(serde_json::Value::as_str)
                    .map(str::to_owned);
                leaving.push((object, uid));
            }
            Err(error) if failure::code_of(&error) == Some(404) && args.ignore_not_found => {}
            Err(error) => {
                Failure::server(format!("delete {word}"))(error).print();
                exit = Exit::Ours;
            }
        }
    }
    if !args.no_wait {
        for (object, uid) in leaving {
            gone(&session, &object, uid.as_deref()).await?;
        }
    }
    Ok(exit)
}

async fn named(session: &Session, resources: &Resources, args: &Args) -> Result<Vec<Doomed>, Failure> {
    let mut doomed = Vec::new();
    for selection in target::parse(&args.what, resources)? {
        let resource = selection.resource;
        let mut names = selection.names;
        if names.is_empty() {
            if args.selector.is_none() && !args.all {
                return Err(Failure::said(format!(
                    "which {}? Name them, or say -l LABELS or --all",
                    resource.plural
                )));
            }
            let labels = args
                .selector
                .as_deref()
                .map_or(String::new(), |l| format!("?labelSelector={}", escape(l)));
            let path = format!("{}{labels}", resource.collection(Some(&session.namespace)));
            let list = session.server.get(&path, JSON).await;
            let list = list.map_err(Failure::server(format!("list {}", resource.plural)))?;
            let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            names.extend(
                items
                    .iter()
                    .filter_map(|item| item["metadata"]["name"].as_str())
                    .map(str::to_owned),
            );
        }
        let object = |name: String| Doomed {
            path: resource.object(&session.namespace, &name),
            resource: resource.clone(),
            name,
        };
        doomed.extend(names.into_iter().map(object));
    }
    Ok(doomed)
}

fn in_files(session: &Session, resources: &Resources, args: &Args) -> Result<Vec<Doomed>, Failure> {
    let reading = manifest::read(Source::read_all(&args.filename)?);
    if !reading.complaints.is_empty() {
        Complaint::print_all(reading.complaints, session.terminal);
        return Err(Failure::Manifests("nothing was deleted".to_owned()));
    }
    let mut doomed = Vec::new();
    // What was applied last leaves first: what stands above may be what the others stand on.
    for document in reading.documents.iter().rev() {
        let known = resources.of(&document.api_version, &document.kind);
        let resource = known.ok_or_else(|| {
            Failure::said(format!(
                "the server has no {} of {}",
                document.kind, document.api_version
            ))
        })?;
        target::check_name(&document.name)?;
        let namespace = document.namespace.as_deref().unwrap_or(&session.namespace);
        let path = resource.object(namespace, &document.name);
        doomed.push(Doomed {
            resource: resource.clone(),
            name: document.name.clone(),
            path,
        });
    }
    Ok(doomed)
}

/// Waits until an object is gone, or another has its name.
async fn gone(session: &Session, object: &Doomed, uid: Option<&str>) -> Result<(), Failure> {
    let waited = async {
        loop {
            match session.server.get(&object.path, JSON).await {
                Err(error) if failure::code_of(&error) == Some(404) => return Ok(()),
                Ok(there) if uid.is_some() && there["metadata"]["uid"].as_str() != uid => return Ok(()),
                Ok(there) if there["metadata"]["deletionTimestamp"].is_null() => return Ok(()),
                Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) => return Err(Failure::server(format!("see whether {} is gone", object.name))(error)),
            }
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| {
        Err(Failure::said(format!(
            "{} is marked as deleted and still there: its finalizers are not done",
            object.name
        )))
    })
}
