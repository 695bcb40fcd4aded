//! `bulk wait`: until runs or jobs have ended, a condition holds, or objects are gone.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::args::Global;
use crate::discovery::Resources;
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::printer;
use crate::server::{JSON, Server};
use crate::session::Session;
use crate::target;
use crate::verbs::get::escape;

/// The wait before a broken watch is taken up again.
const PAUSE: Duration = Duration::from_millis(200);

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What: `run/NAME…`, `job NAME…`
    #[arg(required = true, value_name = "KIND/NAME")]
    what: Vec<String>,
    /// For what: `end`, `delete`, `condition=TYPE` or `condition=TYPE=STATUS`
    #[arg(long = "for", value_name = "WHAT", default_value = "end")]
    until: Until,
    /// How long at most, for example 10m. Default: without end
    #[arg(long, value_name = "DURATION")]
    timeout: Option<breakbulk_schemas::Duration>,
}

/// `--for`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Until {
    /// The condition `Succeeded` is `True` or `False`.
    End,
    Delete,
    Condition {
        kind: String,
        status: String,
    },
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = |text: &str| !text.is_empty() && !text.contains('=');
        match text.split_once('=') {
            None if text == "end" => Ok(Self::End),
            None if text == "delete" => Ok(Self::Delete),
            Some(("condition", rest)) => match rest.split_once('=') {
                None if word(rest) => Ok(Self::Condition {
                    kind: rest.to_owned(),
                    status: "True".to_owned(),
                }),
                Some((kind, status)) if word(kind) && word(status) => Ok(Self::Condition {
                    kind: kind.to_owned(),
                    status: status.to_owned(),
                }),
                _ => Err("a condition is written `condition=TYPE` or `condition=TYPE=STATUS`".to_owned()),
            },
            _ => Err("`end`, `delete` or `condition=TYPE` is expected".to_owned()),
        }
    }
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let resources = Resources::load(&session.server).await?;
    let mut all = Vec::new();
    for selection in target::parse(&args.what, &resources)? {
        if selection.names.is_empty() {
            return Err(Failure::said(format!(
                "wait for which {}? Name them",
                selection.resource.plural
            )));
        }
        for name in selection.names {
            let word = format!("{}/{name}", selection.resource.display());
            all.push((word, selection.resource.collection(Some(&session.namespace)), name));
        }
    }
    let waited = async {
        let mut exit = Exit::Done;
        for (word, collection, name) in &all {
            let outcome = wait(&session.server, collection, name, &args.until).await?;
            printer::line(&format!("{word} {}", outcome.words()))?;
            exit = worst(exit, outcome.exit());
        }
        Ok(exit)
    };
    match args.timeout {
        None => waited.await,
        Some(timeout) => tokio::time::timeout(timeout.into(), waited).await.unwrap_or_else(|_| {
            eprintln!("bulk: {timeout} are over");
            Ok(Exit::TimedOut)
        }),
    }
}

/// What the waiting ended with.
enum Outcome {
    Met,
    Gone,
    /// The object has ended as it did; the reason says how.
    Ended {
        well: bool,
        reason: String,
    },
}

impl Outcome {
    fn words(&self) -> String {
        match self {
            Self::Met => "is as asked".to_owned(),
            Self::Gone => "is gone".to_owned(),
            Self::Ended { well: true, .. } => "succeeded".to_owned(),
            Self::Ended { reason, .. } => format!("ended: {reason}"),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Met | Self::Gone | Self::Ended { well: true, .. } => Exit::Done,
            Self::Ended { reason, .. } if reason == "Cancelled" || reason == "Superseded" => Exit::Cancelled,
            Self::Ended { .. } => Exit::Failed,
        }
    }
}

fn worst(a: Exit, b: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Cancelled => 1,
        _ => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// Watches one object until it is as asked.
async fn wait(server: &Server, collection: &str, name: &str, until: &Until) -> Result<Outcome, Failure> {
    let only = format!("fieldSelector={}", escape(&format!("metadata.name={name}")));
    let failed = || Failure::server(format!("wait for {name}"));
    loop {
        let list = match server.get(&format!("{collection}?{only}"), JSON).await {
            Ok(list) => list,
            // A server that is away comes back; one that refuses does not change its mind.
            Err(error) if failure::code_of(&error).is_some_and(|code| code < 500) => return Err(failed()(error)),
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match list["items"].as_array().and_then(|items| items.first()) {
            None if *until == Until::Delete => return Ok(Outcome::Gone),
            None => return Err(Failure::said(format!("there is no {name} to wait for"))),
            Some(object) => {
                if let Some(outcome) = judge(object, until) {
                    return Ok(outcome);
                }
            }
        }
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let path = format!("{collection}?watch=true&{only}&resourceVersion={version}");
        if let Ok(mut lines) = server.lines(&path, JSON).await {
            while let Ok(Some(line)) = lines.next().await {
                let Ok(event) = serde_json::from_slice::<Value>(&line) else {
                    break;
                };
                match event["type"].as_str() {
                    Some("DELETED") if *until == Until::Delete => return Ok(Outcome::Gone),
                    Some("DELETED") => return Err(Failure::said(format!("{name} was deleted meanwhile"))),
                    Some("ADDED" | "MODIFIED") => {
                        if let Some(outcome) = judge(&event["object"], until) {
                            return Ok(outcome);
                        }
                    }
                    Some("BOOKMARK") => {}
                    _ => break,
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether an object is as asked; none while it may yet become so.
fn judge(object: &Value, until: &Until) -> Option<Outcome> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let find = |kind: &str| {
        let same = |c: &&Value| c["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(kind));
        conditions.into_iter().flatten().find(same)
    };
    let end = || {
        let succeeded = find("Succeeded")?;
        let reason = succeeded["reason"].as_str().unwrap_or_default().to_owned();
        match succeeded["status"].as_str() {
            Some("True") => Some(Outcome::Ended { well: true, reason }),
            Some("False") => Some(Outcome::Ended { well: false, reason }),
            _ => None,
        }
    };
    match until {
        Until::Delete => None,
        Until::End => end(),
        Until::Condition { kind, status } => {
            let met = find(kind)
                .and_then(|c| c["status"].as_str())
                .is_some_and(|s| s.eq_ignore_ascii_case(status));
            if met {
                return Some(Outcome::Met);
            }
            // What has ended otherwise will never be as asked: waiting on would be waiting for nothing.
            end().filter(|_| kind.eq_ignore_ascii_case("Succeeded"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_wait_for_is_read_as_kubectl_writes_it() {
        let condition = |kind: &str, status: &str| Until::Condition {
            kind: kind.into(),
            status: status.into(),
        };
        assert_eq!("condition=Succeeded".parse(), Ok(condition("Succeeded", "True")));
        assert_eq!("condition=Ready=False".parse(), Ok(condition("Ready", "False")));
        assert_eq!("delete".parse(), Ok(Until::Delete));
        for text in ["", "condition", "condition=", "condition=a=", "gone", "condition=a=b=c"] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_failed_run_ends_the_wait_for_its_success() {
        let run = |status: &str, reason: &str| serde_json::json!({"status": {"conditions": [{"type": "Succeeded", "status": status, "reason": reason}]}});
        let until: Until = "condition=Succeeded".parse().unwrap();
        assert_eq!(judge(&run("False", "Failed"), &until).unwrap().exit(), Exit::Failed);
        assert_eq!(
            judge(&run("False", "Cancelled"), &until).unwrap().exit(),
            Exit::Cancelled
        );
        assert_eq!(judge(&run("True", "Succeeded"), &until).unwrap().exit(), Exit::Done);
        assert!(judge(&run("Unknown", "Running"), &until).is_none());
    }
}
