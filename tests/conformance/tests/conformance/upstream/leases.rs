//! [sig-node] Lease.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Case, Patch, names, text};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use http::Method;
use serde_json::json;

pub(crate) const TESTS: &[Test] = tests![
    "[sig-node] Lease lease API should be available" => available,
];

async fn available(case: &Case) -> Result<()> {
    let leases = case.group("coordination.k8s.io/v1", "leases");
    let spec = json!({
        "holderIdentity": "holder", "leaseDurationSeconds": 30, "leaseTransitions": 0,
        "acquireTime": "2026-01-02T03:04:05.000001Z", "renewTime": "2026-01-02T03:04:05.678900Z",
    });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "lease", "labels": { "t": "lease" } }, "spec": spec,
    });
    let made = case.create(&leases, &lease).await?;
    ensure!(made["spec"] == spec, "every microsecond is kept: {made}");
    let path = format!("{leases}/lease");
    ensure!(case.get(&path).await?["spec"] == spec);
    let updated = case
        .edit(&path, |lease| {
            lease["spec"]["holderIdentity"] = json!("other");
            lease["spec"]["leaseTransitions"] = json!(1);
        })
        .await?;
    ensure!(updated["spec"]["holderIdentity"] == "other", "{updated}");
    // Who has an older version loses the race for the lease.
    case.try_replace(&path, &made).await?.refused(409)?;
    let patched = case
        .patch(&path, Patch::Merge, &json!({ "spec": { "leaseDurationSeconds": 60 } }))
        .await?;
    ensure!(
        patched["spec"]["leaseDurationSeconds"] == 60 && patched["spec"]["holderIdentity"] == "other",
        "{patched}"
    );
    let mut second = lease.clone();
    second["metadata"] = json!({ "name": "second", "labels": { "t": "lease" } });
    case.create(&leases, &second).await?;
    ensure!(names(&case.get(&leases).await?) == ["lease", "second"]);
    let selected = format!("{leases}?labelSelector=t%3Dlease");
    case.delete(&selected).await?;
    ensure!(names(&case.get(&selected).await?).is_empty());
    let gone = case.send(Method::GET, &path, None, Vec::new()).await?.refused(404)?;
    ensure!(
        text(&gone, "/message") == "leases.coordination.k8s.io \"lease\" not found",
        "{gone}"
    );
    Ok(())
}
