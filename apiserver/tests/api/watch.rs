//! Watches, as kube-rs and its controllers use them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use breakbulk_schemas::Job;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event as Finalizing, finalizer};
use kube::runtime::{Controller, WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::crud::job;
use crate::harness::{On, TestServer};

const PATIENCE: Duration = Duration::from_secs(20);

fn labelled(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"l": value}}})).unwrap()
}

fn kind_and_name(event: &WatchEvent<ConfigMap>) -> (&'static str, String) {
    match event {
        WatchEvent::Added(o) => ("ADDED", o.name_any()),
        WatchEvent::Modified(o) => ("MODIFIED", o.name_any()),
        WatchEvent::Deleted(o) => ("DELETED", o.name_any()),
        WatchEvent::Bookmark(_) => ("BOOKMARK", String::new()),
        WatchEvent::Error(e) => ("ERROR", format!("{} {}", e.code, e.reason)),
    }
}

async fn changes_come_in_order_and_selectors_are_followed(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let start = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    api.create(&PostParams::default(), &labelled("w", "no")).await.unwrap();
    for value in ["yes", "yes2", "yes", "no"] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"l": value}}}));
        api.patch("w", &PatchParams::default(), &patch).await.unwrap();
    }
    api.delete("w", &DeleteParams::default()).await.unwrap();
    let selected = WatchParams::default().labels("l in (yes,yes2)").timeout(10);
    let events: Vec<_> = api
        .watch(&selected, &start)
        .await
        .unwrap()
        .take(4)
        .try_collect()
        .await
        .unwrap();
    let kinds: Vec<_> = events.iter().map(|e| kind_and_name(e).0).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]);
    let all = WatchParams::default().timeout(10);
    let events: Vec<_> = api
        .watch(&all, &start)
        .await
        .unwrap()
        .take(6)
        .try_collect()
        .await
        .unwrap();
    let kinds: Vec<_> = events.iter().map(|e| kind_and_name(e).0).collect();
    assert_eq!(
        kinds,
        ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    );
    let versions: Vec<u64> = events
        .iter()
        .map(|e| match e {
            WatchEvent::Added(o) | WatchEvent::Modified(o) | WatchEvent::Deleted(o) => {
                o.resource_version().unwrap().parse().unwrap()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

async fn a_revision_that_is_gone_is_an_error_event(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let events: Vec<_> = api
        .watch(&WatchParams::default().timeout(10), "1")
        .await
        .unwrap()
        .take(1)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(kind_and_name(&events[0]), ("ERROR", "410 Expired".to_owned()));
}

async fn a_streaming_list_ends_with_its_bookmark(client: &Client) {
    let api: Api<Job> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &job("streamed")).await.unwrap();
    let config = watcher::Config::default().streaming_lists();
    let mut stream = std::pin::pin!(watcher(api.clone(), config).default_backoff());
    let mut seen = Vec::new();
    let ready = async {
        while let Some(event) = stream.next().await {
            match event.unwrap() {
                watcher::Event::InitApply(job) => seen.push(job.name_any()),
                watcher::Event::InitDone => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
    assert_eq!(seen, ["streamed"]);
}

/// A controller with a finalizer: makes a ConfigMap for each Job, and takes it away with it.
async fn a_kube_rs_controller_works(client: &Client) {
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let context = Arc::new((jobs.clone(), maps.clone()));
    let reconcile = |job: Arc<Job>, context: Arc<(Api<Job>, Api<ConfigMap>)>| async move {
        let (jobs, maps) = &*context;
        let maps = maps.clone();
        finalizer(jobs, "example.org/child", job, |event| async move {
            match event {
                Finalizing::Apply(job) => {
                    let made = maps
                        .create(&PostParams::default(), &labelled(&job.name_any(), "child"))
                        .await;
                    match made {
                        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Action::await_change()),
                        other => other.map(|_| Action::await_change()),
                    }
                }
                Finalizing::Cleanup(job) => maps
                    .delete(&job.name_any(), &DeleteParams::default())
                    .await
                    .map(|_| Action::await_change()),
            }
        })
        .await
    };
    let running = tokio::spawn(
        Controller::new(jobs.clone(), watcher::Config::default())
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(50)), context)
            .for_each(|_| async {}),
    );
    jobs.create(&PostParams::default(), &job("owned")).await.unwrap();
    until("the child is made", || async {
        maps.get_opt("owned").await.unwrap().is_some()
    })
    .await;
    jobs.delete("owned", &DeleteParams::default()).await.unwrap();
    until("both are gone", || async {
        jobs.get_opt("owned").await.unwrap().is_none() && maps.get_opt("owned").await.unwrap().is_none()
    })
    .await;
    running.abort();
}

pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"));
}

async fn all(on: On) {
    let mut server = TestServer::start(on).await;
    let client = server.client().await;
    changes_come_in_order_and_selectors_are_followed(&client).await;
    a_streaming_list_ends_with_its_bookmark(&client).await;
    a_kube_rs_controller_works(&client).await;
    // A server that has just started knows no history.
    server.restart().await;
    a_revision_that_is_gone_is_an_error_event(&server.client().await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_every_change_once_and_in_order_on_the_embedded_store() {
    all(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_every_change_once_and_in_order_on_etcd() {
    all(On::Etcd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_and_a_reflector_end_with_the_same_state() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let writers = (0..8).map(|writer| {
        let api = api.clone();
        tokio::spawn(async move {
            for round in 0..40 {
                let name = format!("m-{}", (writer * 7 + round) % 12);
                let value = format!("{writer}-{round}");
                if round % 5 == 4 {
                    let _ = api.delete(&name, &DeleteParams::default()).await;
                } else if api.get_opt(&name).await.unwrap().is_none() {
                    let _ = api.create(&PostParams::default(), &labelled(&name, &value)).await;
                } else {
                    let patch = Patch::Merge(json!({"metadata": {"labels": {"l": value}}}));
                    let _ = api.patch(&name, &PatchParams::default(), &patch).await;
                }
            }
        })
    });
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut last = 0;
    // Opened before anything is written: what there is at the start is told by name and not by version.
    let mut stream = api
        .watch(&WatchParams::default().timeout(120), "0")
        .await
        .unwrap()
        .boxed();
    let writers: Vec<_> = writers.collect();
    let done = futures::future::join_all(writers);
    let mut done = std::pin::pin!(done);
    let mut target: Option<u64> = None;
    loop {
        if target.is_some_and(|t| last >= t) {
            break;
        }
        tokio::select! {
            results = &mut done, if target.is_none() => {
                assert!(results.iter().all(Result::is_ok));
                let list = api.list(&ListParams::default()).await.unwrap();
                // The revision of a last write that everything before it is older than.
                api.create(&PostParams::default(), &labelled("z-end", "end")).await.unwrap();
                let end = api.get("z-end").await.unwrap().resource_version().unwrap();
                assert!(!list.items.is_empty());
                target = Some(end.parse().unwrap());
            }
            event = stream.next() => {
                match event.unwrap().unwrap() {
                    WatchEvent::Added(o) | WatchEvent::Modified(o) => {
                        let version: u64 = o.resource_version().unwrap().parse().unwrap();
                        assert!(version > last);
                        last = version;
                        seen.insert(o.name_any(), o.resource_version().unwrap());
                    }
                    WatchEvent::Deleted(o) => {
                        last = o.resource_version().unwrap().parse().unwrap();
                        assert!(seen.remove(&o.name_any()).is_some());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    let listed: BTreeMap<String, String> = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|o| (o.name_any(), o.resource_version().unwrap()))
        .collect();
    assert_eq!(seen, listed);
    server.stop().await;
}
