//! [sig-api-machinery] Garbage collector. Owners and dependents are ConfigMaps here: what makes upstream's dependents
//! (controllers of Deployments and ReplicationControllers) plays no part in how they are collected.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Case, Patch, SOON, config_map, text};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::wait::{self, Look};
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning" => a_chain_goes,
    "[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning" => dependents_go,
    "[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so" => foreground,
    "[sig-api-machinery] Garbage collector should not be blocked by dependency circle" => circle,
    "[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted" => two_owners,
    "[sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan" => a_chain_is_orphaned,
    "[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so" => dependents_are_orphaned,
];

/// Whether an owner that waits for its dependents waits for this one.
#[derive(Clone, Copy)]
enum Blocks {
    Yes,
    No,
}

fn reference(owner: &Value, blocks: Blocks) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "blockOwnerDeletion": matches!(blocks, Blocks::Yes),
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    })
}

async fn add(case: &Case, name: &str, owners: &[Value]) -> Result<Value> {
    let mut map = config_map(name, "k", "v");
    map["metadata"]["ownerReferences"] = owners.into();
    case.create(&case.core("configmaps"), &map).await
}

fn path(case: &Case, name: &str) -> String {
    format!("{}/{name}", case.core("configmaps"))
}

/// Once this owner's dependent is gone, the collector has looked at everything before it.
async fn barrier(case: &Case) -> Result<()> {
    let owner = add(case, "barrier-owner", &[]).await?;
    add(case, "barrier", &[reference(&owner, Blocks::No)]).await?;
    case.delete(&path(case, "barrier-owner")).await?;
    case.until_gone(&path(case, "barrier")).await
}

async fn dependents_go(case: &Case) -> Result<()> {
    let owner = add(case, "owner", &[]).await?;
    for number in 0..20 {
        add(case, &format!("dependent-{number}"), &[reference(&owner, Blocks::Yes)]).await?;
    }
    case.delete_with(&path(case, "owner"), "Background").await?;
    for number in 0..20 {
        case.until_gone(&path(case, &format!("dependent-{number}"))).await?;
    }
    Ok(())
}

async fn a_chain_goes(case: &Case) -> Result<()> {
    let owner = add(case, "owner", &[]).await?;
    let middle = add(case, "middle", &[reference(&owner, Blocks::Yes)]).await?;
    add(case, "leaf", &[reference(&middle, Blocks::Yes)]).await?;
    case.delete_with(&path(case, "owner"), "Background").await?;
    case.until_gone(&path(case, "middle")).await?;
    case.until_gone(&path(case, "leaf")).await
}

async fn dependents_are_orphaned(case: &Case) -> Result<()> {
    let owner = add(case, "owner", &[]).await?;
    for number in 0..20 {
        add(case, &format!("dependent-{number}"), &[reference(&owner, Blocks::Yes)]).await?;
    }
    case.delete_with(&path(case, "owner"), "Orphan").await?;
    case.until_gone(&path(case, "owner")).await?;
    barrier(case).await?;
    for number in 0..20 {
        let left = case.get(&path(case, &format!("dependent-{number}"))).await?;
        ensure!(
            left["metadata"]["ownerReferences"].is_null(),
            "an orphan names no owner: {left}"
        );
    }
    Ok(())
}

async fn a_chain_is_orphaned(case: &Case) -> Result<()> {
    let owner = add(case, "owner", &[]).await?;
    let middle = add(case, "middle", &[reference(&owner, Blocks::Yes)]).await?;
    add(case, "leaf", &[reference(&middle, Blocks::Yes)]).await?;
    case.delete_with(&path(case, "owner"), "Orphan").await?;
    case.until_gone(&path(case, "owner")).await?;
    barrier(case).await?;
    ensure!(case.get(&path(case, "middle")).await?["metadata"]["ownerReferences"].is_null());
    let leaf = case.get(&path(case, "leaf")).await?;
    ensure!(
        leaf["metadata"]["ownerReferences"][0]["uid"] == middle["metadata"]["uid"],
        "{leaf}"
    );
    Ok(())
}

async fn foreground(case: &Case) -> Result<()> {
    let owner = add(case, "owner", &[]).await?;
    let mut held = config_map("held", "k", "v");
    held["metadata"]["ownerReferences"] = json!([reference(&owner, Blocks::Yes)]);
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    case.create(&case.core("configmaps"), &held).await?;
    add(case, "free", &[reference(&owner, Blocks::Yes)]).await?;
    let marked = case.delete_with(&path(case, "owner"), "Foreground").await?;
    ensure!(
        marked["metadata"]["finalizers"] == json!(["foregroundDeletion"]),
        "{marked}"
    );
    case.until_gone(&path(case, "free")).await?;
    case.until(&path(case, "held"), "to be deleted", |map| {
        map["metadata"]["deletionTimestamp"].is_string()
    })
    .await?;
    barrier(case).await?;
    let owner = case.get(&path(case, "owner")).await?;
    ensure!(
        !text(&owner, "/metadata/deletionTimestamp").is_empty(),
        "the owner is there as long as a dependent is"
    );
    case.patch(
        &path(case, "held"),
        Patch::Merge,
        &json!({ "metadata": { "finalizers": null } }),
    )
    .await?;
    case.until_gone(&path(case, "held")).await?;
    case.until_gone(&path(case, "owner")).await
}

async fn circle(case: &Case) -> Result<()> {
    let mut made = Vec::new();
    for name in ["one", "two", "three"] {
        made.push(add(case, name, &[]).await?);
    }
    for (name, owner) in [("one", 2), ("two", 0), ("three", 1)] {
        let owners = json!({ "metadata": { "ownerReferences": [reference(&made[owner], Blocks::Yes)] } });
        case.patch(&path(case, name), Patch::Merge, &owners).await?;
    }
    case.delete_with(&path(case, "one"), "Foreground").await?;
    for name in ["one", "two", "three"] {
        case.until_gone(&path(case, name)).await?;
    }
    Ok(())
}

async fn two_owners(case: &Case) -> Result<()> {
    let (going, staying) = (add(case, "going", &[]).await?, add(case, "staying", &[]).await?);
    for number in 0..5 {
        add(case, &format!("only-{number}"), &[reference(&going, Blocks::Yes)]).await?;
        let both = [reference(&going, Blocks::Yes), reference(&staying, Blocks::Yes)];
        add(case, &format!("both-{number}"), &both).await?;
    }
    case.delete_with(&path(case, "going"), "Foreground").await?;
    case.until_gone(&path(case, "going")).await?;
    for number in 0..5 {
        let gone = case
            .send(Method::GET, &path(case, &format!("only-{number}")), None, Vec::new())
            .await?;
        gone.refused(404)?;
        let name = path(case, &format!("both-{number}"));
        let left = wait::until("the gone owner to be forgotten", SOON, async || {
            let left = case.get(&name).await?;
            let one = left["metadata"]["ownerReferences"]
                .as_array()
                .is_some_and(|all| all.len() == 1);
            Ok(if one {
                Look::Done(left)
            } else {
                Look::NotYet(left.to_string())
            })
        })
        .await?;
        ensure!(left["metadata"]["deletionTimestamp"].is_null(), "{left}");
        ensure!(left["metadata"]["ownerReferences"][0]["name"] == "staying", "{left}");
    }
    Ok(())
}
