//! kube-rs: finalizers by its helper, streaming lists, status by server-side apply, logs by way of Pods.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;

on_both_stores!(
    a_finalizer_of_the_helper_is_set_and_taken_off,
    a_reflector_by_streaming_lists_sees_what_is_there_and_what_comes,
    a_status_applied_twice_is_written_once,
    the_log_of_a_job_is_the_log_of_its_pod,
);

fn map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    ConfigMap {
        metadata,
        ..ConfigMap::default()
    }
}

async fn a_finalizer_of_the_helper_is_set_and_taken_off(up: &Up) -> Result<()> {
    let maps: Api<ConfigMap> = up.cluster.api();
    maps.create(&PostParams::default(), &map("held")).await?;
    let reconcile = async || {
        let held = Arc::new(maps.get("held").await?);
        let act = |_: Event<ConfigMap>| async { Ok::<_, std::io::Error>(Action::await_change()) };
        finalizer(&maps, "example.org/held", held, act)
            .await
            .map_err(anyhow::Error::from)
    };
    reconcile().await?;
    ensure!(maps.get("held").await?.finalizers() == ["example.org/held"]);
    reconcile().await?;
    maps.delete("held", &DeleteParams::default()).await?;
    ensure!(maps.get("held").await?.metadata.deletion_timestamp.is_some());
    reconcile().await?;
    ensure!(maps.get_opt("held").await?.is_none());
    Ok(())
}

async fn a_reflector_by_streaming_lists_sees_what_is_there_and_what_comes(up: &Up) -> Result<()> {
    let maps: Api<ConfigMap> = up.cluster.api();
    for name in ["before-1", "before-2"] {
        maps.create(&PostParams::default(), &map(name)).await?;
    }
    let (reader, writer) = reflector::store();
    let config = watcher::Config::default().streaming_lists();
    let stream = watcher(maps.clone(), config).reflect(writer).default_backoff();
    let running = tokio::spawn(stream.for_each(|_| async {}));
    tokio::time::timeout(wait::SOON, reader.wait_until_ready())
        .await
        .context("it never was ready")??;
    let has = |name: &str| reader.state().iter().any(|map| map.name_any() == name);
    ensure!(has("before-1") && has("before-2"), "the list is whole when it is ready");
    maps.create(&PostParams::default(), &map("after")).await?;
    maps.delete("before-1", &DeleteParams::default()).await?;
    let settled = wait::until("the changes", wait::SOON, async || {
        let names = || {
            format!(
                "{:?}",
                reader.state().iter().map(|map| map.name_any()).collect::<Vec<_>>()
            )
        };
        Ok(Look::some((has("after") && !has("before-1")).then_some(()), names))
    });
    let settled = settled.await;
    running.abort();
    settled
}

const RUN: &str = r"
apiVersion: breakbulk.dev/v1
kind: PipelineRun
metadata: { name: logged }
spec: { pipelineSpec: { jobs: { speak: { run: 'echo one; echo two' } } } }
";

async fn a_status_applied_twice_is_written_once(up: &Up) -> Result<()> {
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(up.cluster.client.clone());
    let status = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "status": { "conditions": [{
            "type": "Seen", "status": "True", "reason": "Looked", "message": "by a test", "lastTransitionTime": "2026-01-01T00:00:00Z" }] },
    });
    let params = PatchParams::apply("looker").force();
    let first = namespaces
        .patch_status("default", &params, &Patch::Apply(&status))
        .await?;
    let seen = first
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_ref())
        .is_some_and(|all| all.iter().any(|c| c.type_ == "Seen"));
    ensure!(seen, "{first:?}");
    let second = namespaces
        .patch_status("default", &params, &Patch::Apply(&status))
        .await?;
    ensure!(
        second.resource_version() == first.resource_version(),
        "nothing changed, and nothing was written"
    );
    let entries = second.managed_fields();
    let own: Vec<_> = entries
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some("looker"))
        .collect();
    ensure!(
        own.len() == 1 && own[0].subresource.as_deref() == Some("status"),
        "{entries:?}"
    );
    Ok(())
}

async fn the_log_of_a_job_is_the_log_of_its_pod(up: &Up) -> Result<()> {
    up.cluster.create(RUN).await?;
    let pods: Api<Pod> = up.cluster.api();
    let pod = wait::until("a pod", wait::SOON, async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        Ok(Look::some(pods.first().map(|pod| pod.name_any()), || "none".to_owned()))
    })
    .await?;
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let stream = wait::until("its log", wait::SOON, async || {
        Ok(Look::Done(pods.log_stream(&pod, &follow).await?))
    })
    .await?;
    let lines: Vec<String> = tokio::time::timeout(wait::SOON, stream.lines().try_collect())
        .await
        .context("it does not end")??;
    ensure!(lines == ["one", "two"], "{lines:?}");
    up.cluster.succeeded("logged").await?;
    ensure!(pods.logs(&pod, &LogParams::default()).await? == "one\ntwo\n");
    let last = LogParams {
        tail_lines: Some(1),
        timestamps: true,
        ..LogParams::default()
    };
    let last = pods.logs(&pod, &last).await?;
    ensure!(last.lines().count() == 1 && last.ends_with(" two\n"), "{last:?}");
    let ended = pods.get(&pod).await?;
    ensure!(ended.status.and_then(|status| status.phase).as_deref() == Some("Succeeded"));
    Ok(())
}
