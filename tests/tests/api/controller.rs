//! A third party's controller, with kube-rs and nothing else: owned children, a finalizer, a watch that goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

on_both_stores!(
    a_controller_makes_children_and_cleans_up_behind_its_finalizer,
    a_writer_with_an_old_version_is_told_of_the_conflict,
);

const FINALIZER: &str = "example.org/copies";

#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

fn failed(error: impl std::fmt::Debug) -> Failed {
    Failed(format!("{error:?}"))
}

/// For each ConfigMap labelled `copy=yes`: a Secret with the same data, owned by it.
async fn reconcile(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, Failed> {
    let namespace = map.namespace().unwrap_or_default();
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), &namespace);
    let secrets: Api<Secret> = Api::namespaced((*client).clone(), &namespace);
    let act = |event| async move {
        match event {
            Event::Apply(map) => copy(&secrets, &map).await,
            Event::Cleanup(map) => match secrets.delete(&map.name_any(), &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Action::await_change()),
                Err(error) => Err(failed(error)),
                Ok(_) => Ok(Action::await_change()),
            },
        }
    };
    finalizer(&maps, FINALIZER, map, act).await.map_err(failed)
}

async fn copy(secrets: &Api<Secret>, map: &ConfigMap) -> Result<Action, Failed> {
    let secret = Secret {
        metadata: ObjectMeta {
            name: map.metadata.name.clone(),
            owner_references: map.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        string_data: map.data.clone(),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Action::await_change()),
        Err(error) => Err(failed(error)),
        Ok(_) => Ok(Action::await_change()),
    }
}

async fn a_controller_makes_children_and_cleans_up_behind_its_finalizer(up: &Up) -> Result<()> {
    let maps: Api<ConfigMap> = up.cluster.api();
    let secrets: Api<Secret> = up.cluster.api();
    let again = |_, _: &Failed, _| Action::requeue(Duration::from_millis(100));
    let controller = Controller::new(maps.clone(), watcher::Config::default().labels("copy=yes"));
    let controller = controller.owns(secrets.clone(), watcher::Config::default());
    let client = Arc::new(up.cluster.client.clone());
    let running = tokio::spawn(controller.run(reconcile, again, client).for_each(|_| async {}));
    add_map(up, "settings", "yes").await?;
    add_map(up, "other", "no").await?;
    let first = another_copy(&secrets, None).await?;
    assert_eq!(first.data.unwrap_or_default()["key"].0, b"value");
    // A child that somebody deletes comes back: its owner is reconciled.
    secrets.delete("settings", &DeleteParams::default()).await?;
    another_copy(&secrets, first.metadata.uid).await?;
    maps.delete("settings", &DeleteParams::default()).await?;
    wait::until("both to be gone", wait::SOON, async || {
        let left = (
            maps.get_opt("settings").await?.is_some(),
            secrets.get_opt("settings").await?.is_some(),
        );
        Ok(Look::some((left == (false, false)).then_some(()), || {
            format!("map, secret: {left:?}")
        }))
    })
    .await?;
    assert!(
        secrets.get_opt("other").await?.is_none(),
        "what the selector leaves out is left alone"
    );
    running.abort();
    Ok(())
}

async fn add_map(up: &Up, name: &str, copied: &str) -> Result<()> {
    let one = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: one("copy", copied),
        ..ObjectMeta::default()
    };
    let map = ConfigMap {
        metadata,
        data: one("key", "value"),
        ..ConfigMap::default()
    };
    up.cluster.add(&map).await.map(drop)
}

/// Waits for a copy that is not the one with this uid.
async fn another_copy(secrets: &Api<Secret>, than: Option<String>) -> Result<Secret> {
    wait::until("a copy", wait::SOON, async || {
        let secret = secrets.get_opt("settings").await?;
        Ok(Look::some(secret.filter(|s| s.metadata.uid != than), || {
            "none, or the old one".to_owned()
        }))
    })
    .await
}

async fn a_writer_with_an_old_version_is_told_of_the_conflict(up: &Up) -> Result<()> {
    let maps: Api<ConfigMap> = up.cluster.api();
    let metadata = ObjectMeta {
        name: Some("contended".to_owned()),
        ..ObjectMeta::default()
    };
    let old = up
        .cluster
        .add(&ConfigMap {
            metadata,
            ..ConfigMap::default()
        })
        .await?;
    let patch = Patch::Merge(json!({ "data": { "who": "first" } }));
    maps.patch("contended", &PatchParams::default(), &patch).await?;
    let stale = ConfigMap {
        data: Some(BTreeMap::from([("who".to_owned(), "second".to_owned())])),
        ..old
    };
    let refused = maps.replace("contended", &PostParams::default(), &stale).await;
    let Err(kube::Error::Api(status)) = refused else {
        panic!("it was not refused: {refused:?}")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let now = maps.get("contended").await?.data.context("it has data")?;
    assert_eq!(now["who"], "first");
    Ok(())
}
