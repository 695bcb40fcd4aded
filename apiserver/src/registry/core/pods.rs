//! Jobs shown as Pods, for programs that know only those: `kubectl logs`, `kubectl get pods`, k9s, stern. A Pod here is a
//! Job's latest attempt; it can be read and watched, and its log followed, and nothing else. The Job is the truth.
//!
//! What a Pod must have and an attempt may not (an exit code) is filled with what says least; the Job never has it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::registry::conversion::{Conversion, Native};
use crate::registry::resource::{
    Accepting, Body, Field, Generation, NameRule, Resource, Selectable, Storage, Sub, SubKind, Subresource,
};
use crate::table::Columns;

/// The one container.
pub(crate) const CONTAINER: &str = "job";
/// The exit code of what has none: ended by a signal that is not known, never started, lost.
const NO_EXIT_CODE: i64 = 255;

/// Makes a field's value of a Job.
type Compute = fn(&Value) -> String;

/// What selectors may name of a Pod and a Job does not have as such. They are computed, and kept with the Job.
pub(in crate::registry) const FIELDS: [(&str, Compute); 2] = [
    // A Pod that has ended is on no node any more: whoever empties the node is done with it.
    ("spec.nodeName", |job| {
        if matches!(phase(job), Phase::Succeeded | Phase::Failed) {
            String::new()
        } else {
            node(job).to_owned()
        }
    }),
    ("status.phase", |job| phase(job).name().to_owned()),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// The row. `jobs` is where the jobs are kept.
pub(super) fn row(jobs: &Arc<Storage>) -> Resource {
    let first = jobs
        .fields
        .iter()
        .filter(|field| matches!(field, Field::Path(_)))
        .count();
    let selectable = FIELDS.iter().enumerate().map(|(index, (label, _))| Selectable {
        label: (*label).to_owned(),
        index: first + index,
    });
    Resource {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        list_kind: "PodList".to_owned(),
        plural: "pods".to_owned(),
        singular: "pod".to_owned(),
        short_names: vec!["po".to_owned()],
        categories: vec!["all".to_owned()],
        namespaced: true,
        subresources: vec![Subresource::LOG, eviction()],
        verbs: super::READ_VERBS,
        storage: jobs.clone(),
        selectable: selectable.collect(),
        names: NameRule::Subdomain,
        body: Body::Typed(super::through::<Pod>),
        rules: super::PLAIN,
        generation: Generation::None,
        accepting: Accepting::All,
        conversion: Some(Conversion::Native(Native {
            to_storage: |pod| pod,
            from_storage: |job| pod(&job),
        })),
        merge: super::merge("", "Pod"),
        columns: Arc::new(Columns::core("Pod")),
    }
}

fn eviction() -> Subresource {
    Subresource {
        what: Sub::Other("eviction"),
        kind: Some(SubKind {
            group: "policy",
            version: "v1",
            kind: "Eviction",
        }),
        verbs: &["create"],
    }
}

fn attempts(job: &Value) -> &[Value] {
    job["status"]["attempts"].as_array().map_or(&[], Vec::as_slice)
}

/// The node of the attempt that runs, or that is to be made.
fn node(job: &Value) -> &str {
    let bound = job["spec"]["nodeName"].as_str().unwrap_or("");
    if bound.is_empty() {
        attempts(job)
            .last()
            .and_then(|last| last["node"].as_str())
            .unwrap_or("")
    } else {
        bound
    }
}

fn phase(job: &Value) -> Phase {
    let conditions = job["status"]["conditions"].as_array();
    let succeeded = conditions.into_iter().flatten().find(|c| c["type"] == "Succeeded");
    match succeeded.and_then(|c| c["status"].as_str()) {
        Some("True") => Phase::Succeeded,
        Some("False") => Phase::Failed,
        _ => match attempts(job).last() {
            Some(last) if last["reason"].is_null() && !last["startTime"].is_null() => Phase::Running,
            _ => Phase::Pending,
        },
    }
}

/// A Job as a Pod.
fn pod(job: &Value) -> Value {
    let last = attempts(job).last();
    let phase = phase(job);
    let metadata = metadata(job, attempts(job).len().max(1));
    let container = json!({
        "name": CONTAINER,
        "image": "breakbulk.dev/script",
        "command": job["spec"]["shell"].as_array().cloned().unwrap_or_default(),
        "resources": {},
    });
    let mut spec = json!({"containers": [container], "restartPolicy": "Never"});
    if !node(job).is_empty() {
        spec["nodeName"] = json!(node(job));
    }
    if let Some(tolerations) = job["spec"].get("tolerations") {
        spec["tolerations"] = tolerations.clone();
    }
    let running = phase == Phase::Running;
    let mut status = json!({
        "phase": phase.name(),
        "conditions": [{"type": "Ready", "status": if running { "True" } else { "False" }}],
        "containerStatuses": [{
            "name": CONTAINER,
            "image": "breakbulk.dev/script",
            "imageID": "",
            "ready": running,
            "restartCount": attempts(job).len().saturating_sub(1),
            "state": state(job, phase, last),
        }],
    });
    if let Some(start) = job["status"].get("startTime") {
        status["startTime"] = start.clone();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
}

fn metadata(job: &Value, attempt: usize) -> Value {
    let given = &job["metadata"];
    let mut metadata = json!({
        "name": given["name"],
        "namespace": given["namespace"],
        "uid": uid(given["uid"].as_str().unwrap_or(""), attempt),
        "creationTimestamp": given["creationTimestamp"],
        "ownerReferences": [{
            "apiVersion": job["apiVersion"],
            "kind": "Job",
            "name": given["name"],
            "uid": given["uid"],
            "controller": true,
        }],
    });
    for field in [
        "resourceVersion",
        "labels",
        "annotations",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        if let Some(value) = given.get(field) {
            metadata[field] = value.clone();
        }
    }
    metadata
}

/// Each attempt is a Pod of its own to whoever waits for one to be gone.
fn uid(job: &str, attempt: usize) -> String {
    let digest = Sha256::digest(format!("{job}/{attempt}"));
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

fn state(job: &Value, phase: Phase, last: Option<&Value>) -> Value {
    match (phase, last) {
        (Phase::Running, Some(last)) => json!({"running": {"startedAt": last["startTime"]}}),
        (Phase::Succeeded | Phase::Failed, Some(last)) => terminated(last),
        (Phase::Succeeded | Phase::Failed, None) => {
            json!({"terminated": {"exitCode": NO_EXIT_CODE, "reason": "Cancelled"}})
        }
        _ => {
            let conditions = job["status"]["conditions"].as_array();
            let waiting = conditions.into_iter().flatten().find(|c| c["type"] == "Scheduled");
            let text = |field: &str, other: &str| waiting.and_then(|c| c[field].as_str()).unwrap_or(other).to_owned();
            json!({"waiting": {"reason": text("reason", "Pending"), "message": text("message", "")}})
        }
    }
}

fn terminated(last: &Value) -> Value {
    let code = last["exitCode"].as_i64();
    let signal = last["signal"].as_i64();
    let reason = match last["reason"].as_str() {
        Some("Succeeded") => "Completed",
        Some("Failed") | None => "Error",
        Some(other) => other,
    };
    let mut terminated = json!({
        "exitCode": code.or(signal.map(|signal| 128 + signal)).unwrap_or(NO_EXIT_CODE),
        "reason": reason,
        "startedAt": last["startTime"],
        "finishedAt": last["finishTime"],
    });
    if let Some(terminated) = terminated.as_object_mut() {
        terminated.retain(|_, value| !value.is_null());
        terminated.extend(signal.map(|signal| ("signal".to_owned(), json!(signal))));
        terminated.extend(
            last.get("message")
                .map(|message| ("message".to_owned(), message.clone())),
        );
    }
    json!({ "terminated": terminated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(status: &Value) -> Value {
        json!({"apiVersion": "breakbulk.dev/v1", "kind": "Job",
            "metadata": {"name": "a", "namespace": "ns", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"script": "x", "nodeName": "n1"}, "status": status})
    }

    #[test]
    fn a_job_in_any_state_is_a_pod_that_clients_can_read() {
        let running = json!({"attempts": [{"node": "n1", "startTime": "2026-01-01T00:00:01Z"}]});
        let failed = json!({"attempts": [{"node": "n1", "reason": "Failed", "exitCode": 3}],
            "conditions": [{"type": "Succeeded", "status": "False"}]});
        for (status, phase, field) in [
            (json!({}), "Pending", "n1"),
            (running, "Running", "n1"),
            (failed, "Failed", ""),
        ] {
            let job = job(&status);
            let shown = pod(&job);
            let typed: Pod = serde_json::from_value(shown.clone()).unwrap();
            assert_eq!(typed.status.unwrap().phase.as_deref(), Some(phase));
            assert_eq!(FIELDS[0].1(&job), field);
            assert_eq!(FIELDS[1].1(&job), phase);
        }
    }

    #[test]
    fn every_attempt_has_a_uid_of_its_own() {
        assert_ne!(uid("u", 1), uid("u", 2));
        assert_eq!(uid("u", 1), uid("u", 1));
    }
}
