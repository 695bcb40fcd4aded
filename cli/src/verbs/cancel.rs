//! `bulk cancel`: asks for a run or a job to be stopped. That it has stopped is seen later, and waited for with
//! `--wait`.

use breakbulk_client::runs;
use serde_json::json;

use crate::args::Global;
use crate::discovery::Resources;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::printer;
use crate::session::Session;
use crate::target::Subject;
use crate::verbs::logs::either;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to stop: `run/NAME`, `job/NAME`, or the name of either
    #[arg(required = true, value_name = "NAME")]
    subjects: Vec<Subject>,
    /// Wait until it has stopped
    #[arg(short, long)]
    wait: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let resources = Resources::load(&session.server).await?;
    for subject in args.subjects {
        let subject = match subject {
            Subject::Either(name) => either(&session, &name).await?,
            named => named,
        };
        let (kind, name) = match &subject {
            Subject::Run(name) | Subject::Either(name) => ("pipelineruns", name),
            Subject::Job(name) => ("jobs", name),
        };
        let path = resources
            .find(&format!("{kind}.{}", breakbulk_schemas::GROUP))?
            .object(&session.namespace, name);
        let doing = format!("cancel {name}");
        let object = session
            .server
            .get(&path, crate::server::JSON)
            .await
            .map_err(Failure::server(doing.clone()))?;
        let short = if kind == "jobs" { "job" } else { "run" };
        if let Some(reason) = ended(&object) {
            printer::line(&format!("{short}/{name} has ended already ({reason})"))?;
            continue;
        }
        let patch = json!({ "spec": { "cancel": true } });
        session
            .server
            .merge(&format!("{path}?fieldManager=bulk"), &patch)
            .await
            .map_err(Failure::server(doing))?;
        printer::line(&format!("{short}/{name} is being cancelled"))?;
        if args.wait {
            wait(&session, &subject).await?;
        }
    }
    Ok(Exit::Done)
}

/// The reason of an end that is there already.
fn ended(object: &serde_json::Value) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let succeeded = conditions.iter().find(|condition| condition["type"] == "Succeeded")?;
    let over = succeeded["status"] == "True" || succeeded["status"] == "False";
    over.then(|| succeeded["reason"].as_str().unwrap_or_default().to_owned())
}

async fn wait(session: &Session, subject: &Subject) -> Result<(), Failure> {
    let (client, namespace) = (session.server.client(), &session.namespace);
    match subject {
        Subject::Run(name) | Subject::Either(name) => {
            runs::wait_for_end(client, namespace, name, |_| {})
                .await
                .map_err(Failure::Run)?;
        }
        Subject::Job(name) => {
            runs::wait_for_job_end(client, namespace, name, |_| {})
                .await
                .map_err(Failure::Run)?;
        }
    }
    Ok(())
}
