//! What one write costs: `cargo run --release -p breakbulk-structured-merge --example merge_bench`.
//!
//! Prints the time of an update and an apply of an object of about 1 KB with a few managers.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use breakbulk_structured_merge::{Endpoint, FieldSet, Force, Schema, Unconverted, Writer};
use jiff::Timestamp;
use serde_json::{Value, json};

const BATCHES: u32 = 400;
const BATCH: u32 = 25;

fn schema() -> Schema {
    let condition = json!({"type": "object", "properties": {
        "type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"},
        "message": {"type": "string"}, "lastTransitionTime": {"type": "string"}}});
    let step = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "image": {"type": "string"},
        "command": {"type": "array", "items": {"type": "string"}},
        "env": {"type": "object", "additionalProperties": {"type": "string"}}}});
    let keyed = |key: &str, items: Value| json!({"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]});
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "queue": {"type": "string"}, "priority": {"type": "integer"}, "steps": keyed("name", step)}},
        "status": {"type": "object", "properties": {
            "phase": {"type": "string"}, "startedAt": {"type": "string"}, "conditions": keyed("type", condition)}}}});
    Schema::of_object(&schema, &|_| None)
}

fn object() -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Job",
        "metadata": {"name": "build-42", "namespace": "team-a", "uid": "0b4c8f0e", "resourceVersion": "1234",
            "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "build", "team": "a", "tier": "ci"}, "annotations": {"example.com/note": "a note"},
            "finalizers": ["example.com/cleanup"],
            "ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Run", "name": "run-1", "uid": "77aa"}]},
        "spec": {"queue": "default", "priority": 10, "steps": [
            {"name": "checkout", "image": "git", "command": ["git", "clone", "repo"], "env": {"DEPTH": "1"}},
            {"name": "build", "image": "rust", "command": ["cargo", "build"], "env": {"RUSTFLAGS": "-D warnings"}},
            {"name": "test", "image": "rust", "command": ["cargo", "test"], "env": {"RUST_BACKTRACE": "1"}}]},
        "status": {"phase": "Running", "startedAt": "2026-01-01T00:00:05Z", "conditions": [
            {"type": "Ready", "status": "False", "reason": "Running", "message": "on its way",
                "lastTransitionTime": "2026-01-01T00:00:05Z"},
            {"type": "Scheduled", "status": "True", "reason": "Placed", "message": "on node-1",
                "lastTransitionTime": "2026-01-01T00:00:04Z"}]}
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let versions = Unconverted::one("example.com/v1", schema());
    let nothing = FieldSet::new();
    let status = FieldSet::from_fields_v1(&json!({"f:status": {}}))?;
    let main = Endpoint {
        api_version: "example.com/v1",
        kind: "Job",
        subresource: "",
        reset_fields: &status,
        versions: &versions,
    };
    let status = Endpoint {
        subresource: "status",
        reset_fields: &nothing,
        ..main
    };
    let mut created = object();
    let mut unfinished = created.clone();
    if let Some(map) = unfinished.as_object_mut() {
        map.remove("status");
    }
    main.update(None, &mut unfinished, &writer("kubectl-create"))?;
    created["metadata"]["managedFields"] = unfinished["metadata"]["managedFields"].clone();
    status.update(Some(&unfinished), &mut created, &writer("controller"))?;
    let mut live = created.clone();
    live["metadata"]["labels"]["node"] = "node-1".into();
    main.update(Some(&created), &mut live, &writer("scheduler"))?;
    println!(
        "object: {} bytes without managed fields, {} with",
        object().to_string().len(),
        live.to_string().len()
    );

    updates(&main, &status, &live)?;
    applies(&main, &live)
}

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        now: Timestamp::from_second(1_767_225_610).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

fn updates(main: &Endpoint<'_>, status: &Endpoint<'_>, live: &Value) -> Result<(), Box<dyn Error>> {
    let mut phase = live.clone();
    phase["status"]["phase"] = "Succeeded".into();
    phase["status"]["conditions"][0]["status"] = "True".into();
    run("create", || {
        let mut new = object();
        let started = Instant::now();
        main.update(None, &mut new, &writer("kubectl-create"))?;
        black_box(new);
        Ok(started.elapsed())
    })?;
    run("update of the status", || {
        let mut new = phase.clone();
        let started = Instant::now();
        status.update(Some(live), &mut new, &writer("controller"))?;
        black_box(new);
        Ok(started.elapsed())
    })?;
    run("update that changes nothing", || {
        let mut new = live.clone();
        let started = Instant::now();
        main.update(Some(live), &mut new, &writer("kubectl-edit"))?;
        black_box(new);
        Ok(started.elapsed())
    })
}

fn applies(main: &Endpoint<'_>, live: &Value) -> Result<(), Box<dyn Error>> {
    let config = json!({"apiVersion": "example.com/v1", "kind": "Job", "metadata": {"name": "build-42"},
        "spec": {"priority": 20, "steps": [{"name": "build", "image": "rust:2"}]}});
    let applied = main.apply(Some(live), &config, &writer("applier"), Force::Yes)?.object;
    run("apply that changes something", || {
        let started = Instant::now();
        black_box(main.apply(Some(live), &config, &writer("applier"), Force::Yes)?);
        Ok(started.elapsed())
    })?;
    run("apply that changes nothing", || {
        let started = Instant::now();
        black_box(main.apply(Some(&applied), &config, &writer("applier"), Force::No)?);
        Ok(started.elapsed())
    })
}

type Timed = Result<std::time::Duration, Box<dyn Error>>;

/// Other work on the machine only ever adds to a time, so the best of many batches is closest to the truth.
fn run(what: &str, mut once: impl FnMut() -> Timed) -> Result<(), Box<dyn Error>> {
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let mut total = std::time::Duration::ZERO;
        for _ in 0..BATCH {
            total += once()?;
        }
        best = best.min(total.as_secs_f64() * 1e6 / f64::from(BATCH));
    }
    println!("{what}: {best:.1} us");
    Ok(())
}
