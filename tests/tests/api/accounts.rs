//! What every namespace has without being asked: an account to run as, and the certificate by which the server is known.

use anyhow::{Context as _, Result};
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{Look, SOON, until};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

on_both_stores!(every_namespace_keeps_an_account_and_the_servers_certificate);

const ROOTS: &str = "kube-root-ca.crt";

async fn kept(accounts: &Api<ServiceAccount>, maps: &Api<ConfigMap>) -> Result<String> {
    until("the account and the certificate", SOON, async || {
        let account = accounts.get_opt("default").await?;
        let map = maps.get_opt(ROOTS).await?;
        let data = map.and_then(|map| map.data).unwrap_or_default();
        let only = (data.len() == 1).then(|| data.get("ca.crt").cloned()).flatten();
        Ok(Look::some(
            only.filter(|text| account.is_some() && text.starts_with("-----BEGIN")),
            || format!("account: {}, data: {data:?}", account.is_some()),
        ))
    })
    .await
}

async fn every_namespace_keeps_an_account_and_the_servers_certificate(up: &Up) -> Result<()> {
    let client = &up.cluster.client;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    up.cluster.post(&namespace).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "other");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "other");
    let first = kept(&accounts, &maps).await?;
    let default: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let there = default
        .get(ROOTS)
        .await?
        .data
        .context("the map of the first namespace is empty")?;
    assert_eq!(there["ca.crt"], first);

    maps.delete(ROOTS, &DeleteParams::default()).await?;
    accounts.delete("default", &DeleteParams::default()).await?;
    assert_eq!(kept(&accounts, &maps).await?, first);
    let changed = Patch::Merge(json!({"data": {"ca.crt": "forged", "more": "x"}}));
    maps.patch(ROOTS, &PatchParams::default(), &changed).await?;
    assert_eq!(kept(&accounts, &maps).await?, first);

    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete("other", &DeleteParams::default()).await?;
    until("the namespace is gone", SOON, async || {
        let left = namespaces.get_opt("other").await?;
        Ok(Look::some(left.is_none().then_some(()), || "it is there".to_owned()))
    })
    .await
}
