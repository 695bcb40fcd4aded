//! Quotas and priorities at the door: what would be too much is refused, whoever is first.

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::crud::job;
use crate::harness::{On, TestServer, refusal};

fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn config_map(name: &str) -> ConfigMap {
    of(json!({"metadata": {"name": name}}))
}

/// A quota whose use is known: here nobody counts.
async fn quota(client: &Client, name: &str, hard: Value, used: Value) -> Api<ResourceQuota> {
    let quotas: Api<ResourceQuota> = Api::default_namespaced(client.clone());
    let new = of(json!({"metadata": {"name": name}, "spec": {"hard": hard}}));
    quotas.create(&PostParams::default(), &new).await.unwrap();
    if !used.is_null() {
        let status = Patch::Merge(json!({"status": {"hard": hard, "used": used}}));
        quotas
            .patch_status(name, &PatchParams::default(), &status)
            .await
            .unwrap();
    }
    quotas
}

async fn many_at_once_never_take_more_than_there_is(client: &Client) {
    let quotas = quota(
        client,
        "few",
        json!({"count/configmaps": "5"}),
        json!({"count/configmaps": "0"}),
    )
    .await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&dry, &config_map("tried")).await.unwrap();
    let params = PostParams::default();
    let objects: Vec<ConfigMap> = (0..40).map(|number| config_map(&format!("m-{number}"))).collect();
    let made = join_all(objects.iter().map(|object| maps.create(&params, object))).await;
    let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (5, 35));
    for refused in bad {
        let (code, _, message) = refusal(refused);
        assert_eq!(code, 403, "{message}");
        let words =
            "exceeded quota: few, requested: count/configmaps=1, used: count/configmaps=5, limited: count/configmaps=5";
        assert!(message.ends_with(words), "{message}");
    }
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 5);
    let used = quotas.get("few").await.unwrap().status.unwrap().used.unwrap();
    assert_eq!(used["count/configmaps"].0, "5");
    quotas.delete("few", &DeleteParams::default()).await.unwrap();
    maps.create(&params, &config_map("free")).await.unwrap();
}

async fn jobs_are_charged_what_they_take(client: &Client) {
    let hard = json!({"requests.cpu": "500m", "count/jobs.breakbulk.dev": "9"});
    let none = json!({"requests.cpu": "0", "count/jobs.breakbulk.dev": "0"});
    let quotas = quota(client, "cpu", hard, none).await;
    let jobs: Api<breakbulk_schemas::Job> = Api::default_namespaced(client.clone());
    let mut large = job("large");
    large.spec.resources.cpu = Some("400m".into());
    jobs.create(&PostParams::default(), &large).await.unwrap();
    jobs.create(&PostParams::default(), &job("small")).await.unwrap();
    let (code, _, message) = refusal(jobs.create(&PostParams::default(), &job("late")).await);
    assert_eq!(code, 403);
    assert!(
        message.ends_with(
            "exceeded quota: cpu, requested: requests.cpu=100m, used: requests.cpu=500m, limited: requests.cpu=500m"
        ),
        "{message}"
    );
    quotas.delete("cpu", &DeleteParams::default()).await.unwrap();
}

async fn what_is_not_counted_yet_is_not_given_out(client: &Client) {
    let quotas = quota(client, "new", json!({"secrets": "1"}), Value::Null).await;
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::default_namespaced(client.clone());
    let secret = of(json!({"metadata": {"name": "s"}}));
    let (code, _, message) = refusal(secrets.create(&PostParams::default(), &secret).await);
    assert_eq!(code, 403);
    assert!(
        message.ends_with("status unknown for quota: new, resources: secrets"),
        "{message}"
    );
    let bad: ResourceQuota = of(json!({"metadata": {"name": "bad"}, "spec": {"hard": {"bananas": "1"}}}));
    let (code, _, message) = refusal(quotas.create(&PostParams::default(), &bad).await);
    assert_eq!(code, 422);
    assert!(
        message.ends_with("spec.hard[bananas]: Invalid value: \"bananas\": must be a standard resource for quota"),
        "{message}"
    );
    quotas.delete("new", &DeleteParams::default()).await.unwrap();
}

async fn one_priority_is_the_default(client: &Client) {
    let classes: Api<PriorityClass> = Api::all(client.clone());
    let class =
        |name: &str| of::<PriorityClass>(json!({"metadata": {"name": name}, "value": 7, "globalDefault": true}));
    let made = classes.create(&PostParams::default(), &class("first")).await.unwrap();
    assert_eq!(made.preemption_policy.as_deref(), Some("PreemptLowerPriority"));
    let (code, _, message) = refusal(classes.create(&PostParams::default(), &class("second")).await);
    assert_eq!(code, 403);
    assert!(
        message.ends_with("PriorityClass first is already marked as default. Only one default can exist"),
        "{message}"
    );
    let other = Patch::Merge(json!({"value": 8}));
    let (code, _, message) = refusal(classes.patch("first", &PatchParams::default(), &other).await);
    assert_eq!(code, 422);
    assert!(
        message.ends_with("value: Forbidden: may not be changed in an update."),
        "{message}"
    );
}

async fn the_priorities_of_the_system_are_there_and_stay(client: &Client) {
    let classes: Api<PriorityClass> = Api::all(client.clone());
    for (name, value) in [
        ("system-node-critical", 2_000_001_000),
        ("system-cluster-critical", 2_000_000_000),
    ] {
        assert_eq!(classes.get(name).await.unwrap().value, value);
        let (code, _, message) = refusal(classes.delete(name, &DeleteParams::default()).await);
        assert_eq!(code, 403);
        assert!(
            message.ends_with("this is a system priority class and cannot be deleted"),
            "{message}"
        );
    }
}

async fn all(on: On) {
    let server = TestServer::start(on).await;
    let client = server.client().await;
    many_at_once_never_take_more_than_there_is(&client).await;
    jobs_are_charged_what_they_take(&client).await;
    what_is_not_counted_yet_is_not_given_out(&client).await;
    one_priority_is_the_default(&client).await;
    the_priorities_of_the_system_are_there_and_stay(&client).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_on_the_embedded_store() {
    all(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_on_etcd() {
    all(On::Etcd).await;
}
