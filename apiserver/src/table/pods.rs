//! The columns of Pods, as upstream's printer has them: kubectl's users read them without looking.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::core::Row;
use super::core::Shown::{Always, Wide};
use super::core::{created, text};

pub(super) const ROWS: &[Row] = &[
    ("Ready", Always, ready),
    ("Status", Always, status),
    ("Restarts", Always, restarts),
    ("Age", Always, created),
    ("IP", Wide, |pod, _| or_none(text(pod, "/status/podIP"))),
    ("Node", Wide, |pod, _| or_none(text(pod, "/spec/nodeName"))),
    ("Nominated Node", Wide, |pod, _| {
        or_none(text(pod, "/status/nominatedNodeName"))
    }),
    ("Readiness Gates", Wide, |_, _| json!("<none>")),
];

fn or_none(text: Value) -> Value {
    if text == json!("") { json!("<none>") } else { text }
}

fn containers(pod: &Value) -> &[Value] {
    let containers = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
    containers.map_or(&[], Vec::as_slice)
}

/// `ready/all`.
fn ready(pod: &Value, _: Timestamp) -> Value {
    let ready = containers(pod)
        .iter()
        .filter(|container| container["ready"] == json!(true));
    Value::String(format!("{}/{}", ready.count(), containers(pod).len()))
}

/// The phase, or what a container says more exactly: why it waits, or how it ended.
fn status(pod: &Value, _: Timestamp) -> Value {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return json!("Terminating");
    }
    let said = containers(pod).iter().find_map(|container| {
        let state = &container["state"];
        let reason = |which: &str| state[which]["reason"].as_str().filter(|reason| !reason.is_empty());
        reason("waiting").or_else(|| reason("terminated")).map(str::to_owned)
    });
    said.map_or_else(|| text(pod, "/status/phase"), Value::String)
}

fn restarts(pod: &Value, _: Timestamp) -> Value {
    let restarts = containers(pod)
        .iter()
        .filter_map(|container| container["restartCount"].as_u64());
    Value::String(restarts.sum::<u64>().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_ended_says_how() {
        let pod = |state: Value| {
            json!({"metadata": {}, "spec": {}, "status": {"phase": "Running", "containerStatuses": [
                {"ready": false, "restartCount": 2, "state": state}]}})
        };
        let at = Timestamp::UNIX_EPOCH;
        let ended = pod(json!({"terminated": {"reason": "Completed"}}));
        assert_eq!(status(&ended, at), "Completed");
        assert_eq!((ready(&ended, at), restarts(&ended, at)), (json!("0/1"), json!("2")));
        assert_eq!(status(&pod(json!({"running": {}})), at), "Running");
    }
}
