//! [sig-api-machinery] ResourceQuota, for what can be counted without pods.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Case, Patch, config_map, names};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status" => status,
    "[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota." => update_and_delete,
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap." => config_maps,
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret." => secrets,
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated." => promptly,
    "[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota" => lifecycle,
];

fn quota(name: &str, hard: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": name, "labels": { "q": name } }, "spec": { "hard": hard } })
}

async fn used(case: &Case, name: &str, what: &str, count: &str) -> Result<Value> {
    let path = format!("{}/{name}", case.core("resourcequotas"));
    case.until(&path, &format!("{count} {what}"), |quota| {
        quota["status"]["used"][what] == count
    })
    .await
}

async fn promptly(case: &Case) -> Result<()> {
    let hard = json!({ "count/configmaps": "10", "configmaps": "10", "secrets": "10", "resourcequotas": "1" });
    case.create(&case.core("resourcequotas"), &quota("prompt", &hard))
        .await?;
    let calculated = used(case, "prompt", "resourcequotas", "1").await?;
    ensure!(
        calculated["status"]["hard"] == calculated["spec"]["hard"],
        "{calculated}"
    );
    Ok(())
}

/// The life of an object of a counted kind.
async fn life(case: &Case, plural: &str, object: &Value) -> Result<()> {
    let path = case.core(plural);
    let before = names(&case.get(&path).await?).len();
    let hard = (before + 1).to_string();
    case.create(&case.core("resourcequotas"), &quota("life", &json!({ plural: hard })))
        .await?;
    used(case, "life", plural, &before.to_string()).await?;
    case.create(&path, object).await?;
    used(case, "life", plural, &hard).await?;
    let mut second = object.clone();
    second["metadata"]["name"] = json!("one-too-many");
    let refused = case.try_create(&path, &second).await?;
    let text = format!("exceeded quota: life, requested: {plural}=1, used: {plural}={hard}, limited: {plural}={hard}");
    refused.refused_saying(403, &["is forbidden", &text])?;
    case.delete(&format!("{path}/counted")).await?;
    used(case, "life", plural, &before.to_string()).await?;
    case.create(&path, &second).await.map(drop)
}

async fn config_maps(case: &Case) -> Result<()> {
    // What the controllers keep in each namespace is there before it is counted.
    case.until(&case.core("configmaps"), "the certificate", |list| {
        names(list).iter().any(|n| n == "kube-root-ca.crt")
    })
    .await?;
    life(case, "configmaps", &config_map("counted", "k", "v")).await
}

async fn secrets(case: &Case) -> Result<()> {
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "counted" }, "data": { "k": "dg==" } });
    life(case, "secrets", &secret).await
}

async fn update_and_delete(case: &Case) -> Result<()> {
    let path = format!("{}/limits", case.core("resourcequotas"));
    let hard = json!({ "cpu": "1", "memory": "500Mi" });
    let made = case
        .create(&case.core("resourcequotas"), &quota("limits", &hard))
        .await?;
    ensure!(made["spec"]["hard"] == hard, "{made}");
    let updated = case
        .edit(&path, |quota| {
            quota["spec"]["hard"] = json!({ "cpu": "2", "memory": "1Gi" });
        })
        .await?;
    ensure!(
        updated["spec"]["hard"] == json!({ "cpu": "2", "memory": "1Gi" }),
        "{updated}"
    );
    case.delete(&path).await?;
    case.send(Method::GET, &path, None, Vec::new())
        .await?
        .refused(404)
        .map(drop)
}

async fn lifecycle(case: &Case) -> Result<()> {
    let quotas = case.core("resourcequotas");
    let path = format!("{quotas}/cycle");
    case.create(&quotas, &quota("cycle", &json!({ "cpu": "1", "memory": "500Mi" })))
        .await?;
    ensure!(names(&case.get("/api/v1/resourcequotas?labelSelector=q%3Dcycle").await?).contains(&"cycle".to_owned()));
    let patch = json!({ "metadata": { "labels": { "more": "patched" } }, "spec": { "hard": { "memory": "750Mi" } } });
    let patched = case.patch(&path, Patch::Strategic, &patch).await?;
    ensure!(
        patched["spec"]["hard"]["memory"] == "750Mi" && patched["metadata"]["labels"]["more"] == "patched",
        "{patched}"
    );
    case.delete(&format!("{quotas}?labelSelector=more%3Dpatched")).await?;
    case.until_gone(&path).await
}

async fn status(case: &Case) -> Result<()> {
    let path = format!("{}/status", case.core("resourcequotas"));
    let own = path.replace("/status", "/states");
    let status = format!("{own}/status");
    let hard = json!({ "cpu": "500m", "memory": "500Mi" });
    case.create(&case.core("resourcequotas"), &quota("states", &hard))
        .await?;
    case.until(&own, "its limits in its status", |quota| {
        quota["status"]["hard"] == hard
    })
    .await?;
    let patched = case
        .patch(
            &own,
            Patch::Strategic,
            &json!({ "spec": { "hard": { "cpu": "1", "memory": "1Gi" } } }),
        )
        .await?;
    ensure!(
        patched["spec"]["hard"] == json!({ "cpu": "1", "memory": "1Gi" }),
        "{patched}"
    );
    case.until(&own, "the new limits in its status", |quota| {
        quota["status"]["hard"] == quota["spec"]["hard"]
    })
    .await?;
    let body = json!({ "status": { "hard": { "cpu": "2" } }, "spec": { "hard": { "cpu": "9" } } });
    let by_status = case.patch(&status, Patch::Strategic, &body).await?;
    ensure!(
        by_status["spec"]["hard"]["cpu"] == "1",
        "the spec is not changed by way of the status: {by_status}"
    );
    ensure!(by_status["status"]["hard"]["cpu"] == "2", "{by_status}");
    // Its controller puts it right.
    case.until(&status, "its own limits again", |quota| {
        quota["status"]["hard"]["cpu"] == "1"
    })
    .await
    .map(drop)
}
