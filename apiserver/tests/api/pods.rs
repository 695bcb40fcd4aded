//! Jobs as Pods: what programs that know only Pods are told of their logs.

use breakbulk_schemas::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::crud::job;
use crate::harness::{On, TestServer, refusal};

fn of_container(container: &str, previous: bool) -> LogParams {
    LogParams {
        container: Some(container.to_owned()),
        previous,
        ..LogParams::default()
    }
}

async fn a_log_that_is_not_there_is_not_an_empty_one(client: &Client) {
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let mut attempted = job("attempted");
    attempted.spec.node_name = Some("n".to_owned());
    jobs.create(&PostParams::default(), &attempted).await.unwrap();
    for attempts in 0..=2 {
        if attempts > 1 {
            let next = Patch::Merge(json!({"spec": {"attempt": attempts}}));
            jobs.patch("attempted", &PatchParams::default(), &next).await.unwrap();
        }
        let tried: Vec<_> = (1..=attempts).map(attempt).collect();
        let status = Patch::Merge(json!({"status": {"attempts": tried}}));
        jobs.patch_status("attempted", &PatchParams::default(), &status)
            .await
            .unwrap();
        let log = pods.logs("attempted", &of_container("job", true)).await;
        if attempts > 1 {
            assert_eq!(log.unwrap(), "");
            continue;
        }
        let (code, reason, message) = refusal(log);
        assert_eq!((code, reason.as_str()), (400, "BadRequest"));
        assert_eq!(
            message,
            "previous terminated container \"job\" in pod \"attempted\" not found"
        );
    }
    let (code, _, message) = refusal(pods.logs("attempted", &of_container("main", false)).await);
    assert_eq!(
        (code, message.as_str()),
        (400, "container main is not valid for pod attempted")
    );
}

fn attempt(number: u32) -> serde_json::Value {
    json!({
        "number": number, "node": "n", "token": format!("t{number}"), "bootId": "b",
        "claimTime": "2026-01-01T00:00:00.000000Z", "finishTime": "2026-01-01T00:00:01.000000Z", "reason": "NodeLost",
    })
}

async fn all(on: On) {
    let server = TestServer::start(on).await;
    let client = server.client().await;
    a_log_that_is_not_there_is_not_an_empty_one(&client).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_show_jobs_on_the_embedded_store() {
    all(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_show_jobs_on_etcd() {
    all(On::Etcd).await;
}
