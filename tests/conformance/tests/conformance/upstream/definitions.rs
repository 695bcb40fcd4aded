//! [sig-api-machinery] CustomResourceDefinition Watch and resources, and CustomResourceFieldSelectors.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Case, Patch, SOON, names, text};
use breakbulk_conformance::definition::{DEFINITIONS, Definition, Storage, anything, version};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::wait::{self, Look};
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch on custom resource definition objects" => watched,
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition creating/deleting custom resource definition objects works" => created_and_deleted,
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works" => status,
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition listing custom resource definition objects works" => listed,
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting for requests and from storage works" => defaulted,
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource definition resources in discovery documents" => discovered,
    "[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector" => selected_by_fields,
];

fn simple(case: &Case) -> Definition {
    Definition::new(case, "Simple", &json!([version("v1", Storage::Yes, &anything())]))
}

async fn watched(case: &Case) -> Result<()> {
    let definition = simple(case);
    definition.install(case).await?;
    let objects = definition.objects(case, "v1");
    let mut watch = case.watch(&objects).await?;
    for name in ["first", "second"] {
        case.create(&objects, &definition.object("v1", name)).await?;
        watch.expect("ADDED", name).await?;
    }
    for name in ["first", "second"] {
        let path = format!("{objects}/{name}");
        case.patch(&path, Patch::Merge, &json!({ "dummy": "test" })).await?;
        let seen = watch.expect("MODIFIED", name).await?;
        ensure!(seen["dummy"] == "test" && seen["kind"] == "Simple", "{seen}");
        case.delete(&path).await?;
        watch.expect("DELETED", name).await?;
    }
    definition.remove(case).await
}

async fn created_and_deleted(case: &Case) -> Result<()> {
    let definition = simple(case);
    definition.install(case).await?;
    definition.remove(case).await?;
    case.until_gone(&definition.path()).await
}

async fn listed(case: &Case) -> Result<()> {
    let label = case.unique("list");
    let mut definitions = Vec::new();
    for _ in 0..10 {
        let mut definition = simple(case);
        definition.object["metadata"]["labels"] = json!({ "e2e-list": label });
        definition.install(case).await?;
        definitions.push(definition);
    }
    let selected = format!("{DEFINITIONS}?labelSelector=e2e-list%3D{label}");
    ensure!(names(&case.get(&selected).await?).len() == 10);
    let other = simple(case);
    other.install(case).await?;
    case.delete(&selected).await?;
    for definition in &definitions {
        case.until_gone(&definition.path()).await?;
    }
    case.get(&other.path()).await?;
    other.remove(case).await
}

async fn status(case: &Case) -> Result<()> {
    let definition = simple(case);
    definition.install(case).await?;
    let path = format!("{}/status", definition.path());
    let condition = |reason: &str| {
        json!({ "type": "StatusUpdate", "status": "True", "reason": reason, "message": "Set from a test",
            "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    let has = |object: &Value, reason: &str| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|c| c["type"] == "StatusUpdate" && c["reason"] == reason)
    };
    let read = case.get(&path).await?;
    ensure!(read["status"]["acceptedNames"]["kind"] == "Simple", "{read}");
    let updated = case
        .edit(&path, |object| {
            if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
                conditions.push(condition("E2E"));
            }
        })
        .await?;
    ensure!(has(&updated, "E2E"), "{updated}");
    let mut conditions = updated["status"]["conditions"].clone();
    for entry in conditions.as_array_mut().into_iter().flatten() {
        if entry["type"] == "StatusUpdate" {
            *entry = condition("Patched");
        }
    }
    let patched = case
        .patch(&path, Patch::Merge, &json!({ "status": { "conditions": conditions } }))
        .await?;
    ensure!(has(&patched, "Patched"), "{patched}");
    ensure!(
        has(&case.get(&definition.path()).await?, "Patched"),
        "the status is the object's"
    );
    definition.remove(case).await
}

fn with_default(field: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": { "a": { "type": "string" }, "b": { "type": "string" }, "c": { "type": "string" } },
    });
    schema["properties"][field]["default"] = json!(field.to_uppercase());
    schema
}

async fn defaulted(case: &Case) -> Result<()> {
    let plain = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definition = Definition::new(case, "Defaulted", &json!([version("v1", Storage::Yes, &plain)]));
    definition.install(case).await?;
    let objects = definition.objects(case, "v1");
    let old = format!("{objects}/old");
    case.create(&objects, &definition.object("v1", "old")).await?;
    let schema_is = |schema: Value| json!([{ "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema }]);
    case.patch(&definition.path(), Patch::Json, &schema_is(with_default("a")))
        .await?;
    case.until(&old, "to be defaulted as it is read", |object| object["a"] == "A")
        .await?;
    let new = case.create(&objects, &definition.object("v1", "new")).await?;
    ensure!(new["a"] == "A", "a new object is defaulted: {new}");
    case.patch(&definition.path(), Patch::Json, &schema_is(with_default("b")))
        .await?;
    let read = case
        .until(&format!("{objects}/new"), "the other default", |object| {
            object["b"] == "B"
        })
        .await?;
    ensure!(
        read["a"] == "A",
        "what was stored with the old default keeps it: {read}"
    );
    let read = case.get(&old).await?;
    ensure!(
        read["a"].is_null() && read["b"] == "B",
        "what was never stored is not kept: {read}"
    );
    definition.remove(case).await
}

async fn discovered(case: &Case) -> Result<()> {
    let groups = case.get("/apis").await?;
    let group = groups["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|g| g["name"] == "apiextensions.k8s.io")
        .cloned();
    let group = group.unwrap_or_default();
    let expected = json!({ "groupVersion": "apiextensions.k8s.io/v1", "version": "v1" });
    ensure!(
        group["versions"].as_array().is_some_and(|all| all.contains(&expected)),
        "{group}"
    );
    let own = case.get("/apis/apiextensions.k8s.io").await?;
    ensure!(
        own["kind"] == "APIGroup" && own["versions"].as_array().is_some_and(|all| all.contains(&expected)),
        "{own}"
    );
    let resources = case.get("/apis/apiextensions.k8s.io/v1").await?;
    let found = resources["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|r| r["name"] == "customresourcedefinitions");
    let found = found.cloned().unwrap_or_default();
    ensure!(
        found["kind"] == "CustomResourceDefinition" && found["namespaced"] == false,
        "{resources}"
    );
    Ok(())
}

async fn selected_by_fields(case: &Case) -> Result<()> {
    let fields = |host: &str| {
        json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": {
            host: { "type": "string" }, "port": { "type": "string" } } } } })
    };
    let mut served = version("v1", Storage::Yes, &fields("host"));
    served["selectableFields"] = json!([{ "jsonPath": ".spec.host" }, { "jsonPath": ".spec.port" }]);
    let definition = Definition::new(case, "Endpoint", &json!([served]));
    definition.install(case).await?;
    let objects = definition.objects(case, "v1");
    let endpoint = |name: &str, host: &str, port: &str| {
        let mut object = definition.object("v1", name);
        object["spec"] = json!({ "host": host, "port": port });
        object
    };
    let selected = format!("{objects}?fieldSelector=spec.host%3Dhost1,spec.port%3D80");
    let mut watch = case.watch(&selected).await?;
    for (name, host, port) in [
        ("one", "host1", "80"),
        ("two", "host1", "8080"),
        ("three", "host2", "80"),
    ] {
        case.create(&objects, &endpoint(name, host, port)).await?;
    }
    let at = async |selector: &str| {
        Ok::<_, anyhow::Error>(names(&case.get(&format!("{objects}?fieldSelector={selector}")).await?))
    };
    ensure!(at("spec.host%3Dhost1").await? == ["one", "two"]);
    ensure!(at("spec.host%3Dhost1,spec.port%3D80").await? == ["one"]);
    ensure!(at("spec.host!%3Dhost1").await? == ["three"]);
    watch.expect("ADDED", "one").await?;
    let two = format!("{objects}/two");
    case.patch(&two, Patch::Merge, &json!({ "spec": { "port": "80" } }))
        .await?;
    watch.expect("ADDED", "two").await?;
    case.patch(&two, Patch::Merge, &json!({ "spec": { "host": "host9" } }))
        .await?;
    watch.expect("DELETED", "two").await?;
    let wrong = case
        .send(
            Method::GET,
            &format!("{objects}?fieldSelector=spec.other%3Dx"),
            None,
            Vec::new(),
        )
        .await?;
    wrong.refused_saying(400, &["field label not supported: spec.other"])?;
    case.delete(&selected).await?;
    wait::until("the selected ones to be gone", SOON, async || {
        let left = names(&case.get(&objects).await?);
        Ok(if left == ["three", "two"] {
            Look::Done(())
        } else {
            Look::NotYet(format!("{left:?}"))
        })
    })
    .await?;
    ensure!(!text(&case.get(&two).await?, "/metadata/uid").is_empty());
    definition.remove(case).await
}
