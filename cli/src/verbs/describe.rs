//! `bulk describe`: one object for people: what it is, what it wants, how it stands, what happened to it.

use serde_json::Value;

use crate::args::Global;
use crate::discovery::{Resource, Resources};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::printer::colour::Style;
use crate::printer::table::Table;
use crate::printer::{self, Terminal, object, text};
use crate::server::JSON;
use crate::session::Session;
use crate::target;
use crate::verbs::get::escape;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What: `run/NAME…`, `job NAME…`
    #[arg(required = true, value_name = "KIND/NAME")]
    what: Vec<String>,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let resources = Resources::load(&session.server).await?;
    let mut shown = false;
    for selection in target::parse(&args.what, &resources)? {
        let resource = &selection.resource;
        let mut names = selection.names;
        if names.is_empty() {
            let list = session
                .server
                .get(&resource.collection(Some(&session.namespace)), JSON)
                .await;
            let list = list.map_err(Failure::server(format!("list {}", resource.plural)))?;
            let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            names.extend(
                items
                    .iter()
                    .filter_map(|item| item["metadata"]["name"].as_str())
                    .map(str::to_owned),
            );
        }
        for name in names {
            let path = resource.object(&session.namespace, &name);
            let object = session.server.get(&path, JSON).await;
            let object = object.map_err(Failure::server(format!("describe {}/{name}", resource.display())))?;
            let events = events(&session, &object).await;
            let gap = if std::mem::replace(&mut shown, true) {
                "\n\n"
            } else {
                ""
            };
            printer::out(&format!("{gap}{}", page(&object, resource, &events, session.terminal)?))?;
        }
    }
    Ok(Exit::Done)
}

/// The events about an object, oldest first. That they cannot be had is no reason to show nothing.
async fn events(session: &Session, object: &Value) -> Vec<Value> {
    let Some(uid) = object["metadata"]["uid"].as_str() else {
        return Vec::new();
    };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let selector = escape(&format!("involvedObject.uid={uid}"));
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector={selector}");
    let mut events = match session.server.get(&path, JSON).await {
        Ok(mut list) => list["items"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    events.sort_by_key(|event| event_time(event).map(str::to_owned));
    events
}

fn event_time(event: &Value) -> Option<&str> {
    ["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .iter()
        .find_map(|p| event.pointer(p)?.as_str())
}

fn page(object: &Value, resource: &Resource, events: &[Value], terminal: Terminal) -> Result<String, Failure> {
    let mut page = String::new();
    let metadata = &object["metadata"];
    let mut facts = vec![("Name", word(&metadata["name"])), ("Kind", resource.kind.clone())];
    if let Some(namespace) = metadata["namespace"].as_str() {
        facts.push(("Namespace", text::cell(namespace)));
    }
    facts.push(("Created", word(&metadata["creationTimestamp"])));
    if !metadata["deletionTimestamp"].is_null() {
        facts.push((
            "Deleted",
            format!(
                "{}, waits for {}",
                word(&metadata["deletionTimestamp"]),
                join(&metadata["finalizers"])
            ),
        ));
    }
    for (title, field) in [("Labels", "labels"), ("Annotations", "annotations")] {
        let pairs: Vec<_> = pairs(&metadata[field]);
        if !pairs.is_empty() {
            facts.push((title, pairs.join("\n")));
        }
    }
    for owner in metadata["ownerReferences"].as_array().into_iter().flatten() {
        facts.push(("Owner", format!("{}/{}", word(&owner["kind"]), word(&owner["name"]))));
    }
    for (title, value) in facts {
        page.push_str(&fact(title, &value, terminal));
    }
    page.push_str(&section("Spec", &spec(object)?, terminal));
    page.push_str(&section("Attempts", &attempts(&object["status"], terminal), terminal));
    page.push_str(&section("Jobs", &jobs(&object["status"], terminal), terminal));
    page.push_str(&section("Status", &rest_of_status(object)?, terminal));
    page.push_str(&section(
        "Conditions",
        &conditions(&object["status"], terminal),
        terminal,
    ));
    page.push_str(&section("Events", &event_table(events, terminal), terminal));
    Ok(page)
}

fn fact(title: &str, value: &str, terminal: Terminal) -> String {
    let mut lines = value.lines();
    let head = terminal.paint(Style::Bold, &format!("{:<12}", format!("{title}:")));
    let mut text = format!("{head} {}\n", lines.next().unwrap_or_default());
    for line in lines {
        text.push_str(&format!("{:12} {line}\n", ""));
    }
    text
}

fn section(title: &str, body: &str, terminal: Terminal) -> String {
    if body.trim().is_empty() {
        return String::new();
    }
    let lines: String = body.lines().map(|line| format!("  {line}\n")).collect();
    format!("{}\n{lines}", terminal.paint(Style::Bold, &format!("{title}:")))
}

/// The spec as YAML; a Secret's and a ConfigMap's data as keys with their sizes, since values are not for the screen.
fn spec(object: &Value) -> Result<String, Failure> {
    if let Some(data) = object["data"].as_object() {
        let line = |(key, value): (&String, &Value)| {
            format!(
                "{}: {} characters\n",
                text::cell(key),
                value.as_str().map_or(0, str::len)
            )
        };
        return Ok(data.iter().map(line).collect());
    }
    if object["spec"].is_null() {
        return Ok(String::new());
    }
    yaml(object["spec"].clone())
}

/// What of the status has no section of its own.
fn rest_of_status(object: &Value) -> Result<String, Failure> {
    let mut status = object["status"].clone();
    if let Some(fields) = status.as_object_mut() {
        for shown in ["conditions", "attempts", "jobs", "pipelineSpec", "observedGeneration"] {
            fields.remove(shown);
        }
        if !fields.is_empty() {
            return yaml(status);
        }
    }
    Ok(String::new())
}

fn yaml(value: Value) -> Result<String, Failure> {
    let text = object::render(value, object::Form::Yaml)?;
    Ok(text::clean(&text, text::Sgr::Strip))
}

fn conditions(status: &Value, terminal: Terminal) -> String {
    let mut table = Table::with(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let fields = ["type", "status", "reason", "lastTransitionTime", "message"];
        table.push(fields.map(|field| word(&condition[field])).to_vec());
    }
    if table.is_empty() {
        String::new()
    } else {
        table.render(terminal)
    }
}

fn attempts(status: &Value, terminal: Terminal) -> String {
    let mut table = Table::with(&[
        "ATTEMPT", "NODE", "CLAIMED", "ENDED", "RESULT", "EXIT", "LOG", "MESSAGE",
    ]);
    for attempt in status["attempts"].as_array().into_iter().flatten() {
        let exit = match (attempt["exitCode"].as_i64(), attempt["signal"].as_i64()) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "-".to_owned(),
        };
        let log = attempt["log"]["length"]
            .as_u64()
            .map_or("-".to_owned(), |length| format!("{length} B"));
        let result = attempt["reason"].as_str().map_or("Running".to_owned(), text::cell);
        let [number, node, claimed, ended, message] =
            ["number", "node", "claimTime", "finishTime", "message"].map(|field| word(&attempt[field]));
        table.push(vec![number, node, claimed, ended, result, exit, log, message]);
    }
    if table.is_empty() {
        String::new()
    } else {
        table.render(terminal)
    }
}

fn jobs(status: &Value, terminal: Terminal) -> String {
    let mut table = Table::with(&[
        "JOB", "STATE", "REASON", "NODE", "EXIT", "ATTEMPTS", "OBJECT", "MESSAGE",
    ]);
    for job in status["jobs"].as_array().into_iter().flatten() {
        let fields = [
            "name", "state", "reason", "node", "exitCode", "attempts", "jobRef", "message",
        ];
        table.push(fields.map(|field| word(&job[field])).to_vec());
    }
    if table.is_empty() {
        String::new()
    } else {
        table.render(terminal)
    }
}

fn event_table(events: &[Value], terminal: Terminal) -> String {
    let mut table = Table::with(&["WHEN", "TYPE", "REASON", "FROM", "MESSAGE"]);
    for event in events {
        let from = [&event["source"]["component"], &event["reportingComponent"]];
        let from = from
            .into_iter()
            .map(word)
            .find(|from| from != "-" && !from.is_empty())
            .unwrap_or_default();
        let times = event["count"].as_u64().filter(|count| *count > 1);
        let message = times.map_or_else(
            || word(&event["message"]),
            |n| format!("{} (x{n})", word(&event["message"])),
        );
        let when = text::cell(event_time(event).unwrap_or("-"));
        table.push(vec![when, word(&event["type"]), word(&event["reason"]), from, message]);
    }
    if table.is_empty() {
        String::new()
    } else {
        table.render(terminal)
    }
}

fn pairs(map: &Value) -> Vec<String> {
    let shown = |(key, _): &(&String, &Value)| !key.starts_with("kubectl.kubernetes.io/");
    let pair = |(key, value): (&String, &Value)| format!("{}={}", text::cell(key), word(value));
    map.as_object().into_iter().flatten().filter(shown).map(pair).collect()
}

fn join(list: &Value) -> String {
    list.as_array()
        .into_iter()
        .flatten()
        .map(word)
        .collect::<Vec<_>>()
        .join(", ")
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(words) => text::cell(words),
        other => text::cell(&other.to_string()),
    }
}
