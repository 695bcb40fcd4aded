//! [sig-api-machinery] Namespaces. Where upstream looks at Services, these look at ConfigMaps.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Case, Patch, config_map, names, text};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace" => finalizer,
    "[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace" => update,
    "[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status" => status,
    "[sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted" => contents_go,
    "[sig-api-machinery] Namespaces [Serial] should patch a Namespace" => patch,
];

async fn another(case: &Case) -> Result<(String, Value)> {
    let name = case.unique("nsdelete");
    let made = case
        .create("/api/v1/namespaces", &json!({ "metadata": { "name": name } }))
        .await?;
    Ok((name, made))
}

async fn finalizer(case: &Case) -> Result<()> {
    const FAKE: &str = "e2e.example.com/fakeFinalizer";
    let (name, made) = another(case).await?;
    let path = format!("/api/v1/namespaces/{name}");
    ensure!(made["spec"]["finalizers"] == json!(["kubernetes"]), "{made}");
    let finalize = format!("{path}/finalize");
    let set = async |finalizers: Value| {
        let mut namespace = case.get(&path).await?;
        namespace["spec"]["finalizers"] = finalizers;
        case.replace(&finalize, &namespace).await
    };
    let with = set(json!(["kubernetes", FAKE])).await?;
    ensure!(with["spec"]["finalizers"] == json!(["kubernetes", FAKE]), "{with}");
    let without = set(json!(["kubernetes"])).await?;
    ensure!(without["spec"]["finalizers"] == json!(["kubernetes"]), "{without}");
    // A finalizer of the namespace's own holds it as it holds any object.
    set(json!(["kubernetes", FAKE])).await?;
    case.delete(&path).await?;
    case.until(&path, "to be emptied", |namespace| {
        namespace["spec"]["finalizers"] == json!([FAKE])
    })
    .await?;
    set(json!([])).await?;
    case.until_gone(&path).await
}

async fn update(case: &Case) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}", case.namespace);
    let updated = case
        .edit(&path, |namespace| {
            namespace["metadata"]["labels"]["case"] = json!("updated");
        })
        .await?;
    ensure!(updated["metadata"]["labels"]["case"] == "updated", "{updated}");
    ensure!(
        updated["metadata"]["labels"]["kubernetes.io/metadata.name"] == case.namespace.as_str(),
        "{updated}"
    );
    ensure!(updated["status"]["phase"] == "Active", "{updated}");
    Ok(())
}

async fn patch(case: &Case) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}", case.namespace);
    let labels = json!({ "metadata": { "labels": { "testLabel": "testValue" } } });
    case.patch(&path, Patch::Strategic, &labels).await?;
    let read = case.get(&path).await?;
    ensure!(read["metadata"]["labels"]["testLabel"] == "testValue", "{read}");
    Ok(())
}

async fn status(case: &Case) -> Result<()> {
    let (name, _) = another(case).await?;
    let path = format!("/api/v1/namespaces/{name}");
    let status = format!("{path}/status");
    ensure!(case.get(&status).await?["status"]["phase"] == "Active");
    let condition = |kind: &str| {
        json!({ "type": kind, "status": "False", "reason": "E2E", "message": "Set from a test",
            "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    let has = |object: &Value, kind: &str| {
        object["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|c| c["type"] == kind))
    };
    let body = json!({ "metadata": { "annotations": { "e2e-patched-ns-status": name } },
        "status": { "conditions": [condition("StatusPatch")] } });
    let patched = case.patch(&status, Patch::Merge, &body).await?;
    ensure!(has(&patched, "StatusPatch"), "{patched}");
    // What is written through the status of a namespace may carry metadata.
    ensure!(
        patched["metadata"]["annotations"]["e2e-patched-ns-status"] == name,
        "{patched}"
    );
    let updated = case
        .edit(&status, |object| {
            if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
                conditions.push(condition("StatusUpdate"));
            }
        })
        .await?;
    ensure!(
        has(&updated, "StatusUpdate") && has(&updated, "StatusPatch"),
        "{updated}"
    );
    ensure!(updated["status"]["phase"] == "Active", "{updated}");
    case.delete(&path).await.map(drop)
}

async fn contents_go(case: &Case) -> Result<()> {
    let (name, _) = another(case).await?;
    let path = format!("/api/v1/namespaces/{name}");
    let maps = format!("{path}/configmaps");
    for number in 0..5 {
        case.create(&maps, &config_map(&format!("content-{number}"), "k", "v"))
            .await?;
    }
    let lease = json!({ "metadata": { "name": "content" }, "spec": { "holderIdentity": "x" } });
    case.create(
        &format!("/apis/coordination.k8s.io/v1/namespaces/{name}/leases"),
        &lease,
    )
    .await?;
    let mut held = config_map("held", "k", "v");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    case.create(&maps, &held).await?;
    let going = case.delete(&path).await?;
    ensure!(
        going["status"]["phase"] == "Terminating" && !text(&going, "/metadata/deletionTimestamp").is_empty(),
        "{going}"
    );
    let late = case.try_create(&maps, &config_map("late", "k", "v")).await?;
    let late = late.refused_saying(403, &["because it is being terminated"])?;
    ensure!(
        late["details"]["causes"][0]["reason"] == "NamespaceTerminating",
        "{late}"
    );
    let remaining = |namespace: &Value| {
        let conditions = namespace["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions
            .iter()
            .any(|c| c["type"] == "NamespaceFinalizersRemaining" && c["status"] == "True")
    };
    case.until(&path, "to say what holds it", remaining).await?;
    case.patch(
        &format!("{maps}/held"),
        Patch::Merge,
        &json!({ "metadata": { "finalizers": null } }),
    )
    .await?;
    case.until_gone(&path).await?;
    // Who makes a namespace of the name again finds it empty.
    case.create("/api/v1/namespaces", &json!({ "metadata": { "name": name } }))
        .await?;
    let left = names(&case.get(&maps).await?);
    ensure!(left.iter().all(|name| name == "kube-root-ca.crt"), "{left:?}");
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{name}/leases/content");
    case.send(Method::GET, &lease, None, Vec::new()).await?.refused(404)?;
    case.delete(&path).await.map(drop)
}
