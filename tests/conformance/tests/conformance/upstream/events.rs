//! [sig-instrumentation] Events, in both groups.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Case, Patch, names, text};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-instrumentation] Events API should delete a collection of events" => new_collection,
    "[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed" => new_life,
    "[sig-instrumentation] Events should delete a collection of events" => core_collection,
    "[sig-instrumentation] Events should manage the lifecycle of an event" => core_life,
];

fn core_event(case: &Case, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": name, "labels": { "testevent-set": "true" } },
        "involvedObject": { "namespace": case.namespace, "kind": "ConfigMap", "name": "about" },
        "message": "This is a test event", "reason": "Test", "type": "Normal", "count": 1,
        "source": { "component": "tester" },
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
    })
}

fn new_event(case: &Case, name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": { "name": name, "labels": { "testevent-set": "true" } },
        "regarding": { "namespace": case.namespace, "kind": "ConfigMap", "name": "about" },
        "note": "This is a test event", "reason": "Test", "type": "Normal", "action": "Do",
        "eventTime": "2026-01-02T03:04:05.678901Z",
        "reportingController": "example.com/tester", "reportingInstance": "tester-1",
    })
}

async fn core_life(case: &Case) -> Result<()> {
    let events = case.core("events");
    let path = format!("{events}/life");
    case.create(&events, &core_event(case, "life")).await?;
    let everywhere = case.get("/api/v1/events?labelSelector=testevent-set%3Dtrue").await?;
    ensure!(names(&everywhere).contains(&"life".to_owned()));
    let patch = json!({ "message": "This is a test event - patched" });
    case.patch(&path, Patch::Strategic, &patch).await?;
    ensure!(text(&case.get(&path).await?, "/message").ends_with("patched"));
    let updated = case
        .edit(&path, |event| {
            event["count"] = json!(2);
            event["lastTimestamp"] = json!("2026-01-01T00:00:09Z");
        })
        .await?;
    ensure!(updated["count"] == 2, "{updated}");
    let selected = format!("{events}?fieldSelector=involvedObject.name%3Dabout,reason%3DTest");
    ensure!(names(&case.get(&selected).await?) == ["life"]);
    case.delete(&path).await?;
    case.send(Method::GET, &path, None, Vec::new())
        .await?
        .refused(404)
        .map(drop)
}

async fn collection(case: &Case, events: &str, make: impl Fn(&str) -> Value) -> Result<()> {
    for number in 1..=3 {
        case.create(events, &make(&format!("test-event-{number}"))).await?;
    }
    let selected = format!("{events}?labelSelector=testevent-set%3Dtrue");
    ensure!(names(&case.get(&selected).await?).len() == 3);
    case.delete(&selected).await?;
    ensure!(names(&case.get(&selected).await?).is_empty());
    Ok(())
}

async fn core_collection(case: &Case) -> Result<()> {
    collection(case, &case.core("events"), |name| core_event(case, name)).await
}

async fn new_collection(case: &Case) -> Result<()> {
    collection(case, &case.group("events.k8s.io/v1", "events"), |name| {
        new_event(case, name)
    })
    .await
}

async fn new_life(case: &Case) -> Result<()> {
    let events = case.group("events.k8s.io/v1", "events");
    let path = format!("{events}/life");
    let made = case.create(&events, &new_event(case, "life")).await?;
    ensure!(made["eventTime"] == "2026-01-02T03:04:05.678901Z", "{made}");
    ensure!(names(&case.get(&events).await?) == ["life"]);
    let everywhere = case
        .get("/apis/events.k8s.io/v1/events?fieldSelector=reason%3DTest")
        .await?;
    ensure!(names(&everywhere).contains(&"life".to_owned()));
    let series = json!({ "series": { "count": 2, "lastObservedTime": "2026-01-02T03:04:06.000001Z" } });
    let patched = case.patch(&path, Patch::Strategic, &series).await?;
    ensure!(patched["series"]["count"] == 2, "{patched}");
    let updated = case.edit(&path, |event| event["series"]["count"] = json!(100)).await?;
    ensure!(updated["series"]["count"] == 100, "{updated}");
    // The other group shows the same event in its own words.
    let core = case.get(&format!("{}/life", case.core("events"))).await?;
    ensure!(
        core["involvedObject"]["name"] == "about" && core["message"] == "This is a test event",
        "{core}"
    );
    ensure!(
        core["reportingComponent"] == "example.com/tester" && core["series"]["count"] == 100,
        "{core}"
    );
    let mut strange = new_event(case, "strange");
    strange["reportingController"] = json!("");
    case.try_create(&events, &strange)
        .await?
        .refused_saying(422, &["reportingController"])?;
    case.delete(&path).await?;
    ensure!(names(&case.get(&events).await?).is_empty());
    Ok(())
}
