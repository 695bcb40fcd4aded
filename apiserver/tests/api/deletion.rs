//! Deleting: what a DELETE may say, what it answers, and what holds an object back.

use http::{Method, Request};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::harness::{On, TestServer, refusal};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn send(client: &Client, method: Method, path: &str, body: Value) -> kube::Result<Value> {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let content = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content);
    client.request(request.body(body).unwrap()).await
}

async fn delete(client: &Client, path: &str, body: Value) -> kube::Result<Value> {
    send(client, Method::DELETE, path, body).await
}

async fn make(client: &Client, name: &str, finalizers: &[&str]) -> Value {
    let body = json!({"metadata": {"name": name, "finalizers": finalizers, "labels": {"of": "deletion"}}});
    send(client, Method::POST, CONFIG_MAPS, body).await.unwrap()
}

async fn what_is_gone_is_told_with_its_uid(client: &Client) {
    let made = make(client, "gone", &[]).await;
    let path = format!("{CONFIG_MAPS}/gone");
    let options = json!({"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": -1, "unknown": true});
    let told = delete(client, &path, options).await.unwrap();
    let details = json!({"name": "gone", "kind": "configmaps", "uid": made["metadata"]["uid"]});
    assert_eq!((&told["status"], &told["details"]), (&json!("Success"), &details));

    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "told"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let told = accounts
        .delete("told", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(told.left().unwrap().name_any(), "told");
}

async fn a_policy_becomes_a_finalizer_and_the_last_word_counts(client: &Client) {
    make(client, "owner", &["example.org/x"]).await;
    let path = format!("{CONFIG_MAPS}/owner");
    let finalizers = |object: &Value| object["metadata"]["finalizers"].clone();
    let marked = delete(client, &path, json!({"propagationPolicy": "Foreground"}))
        .await
        .unwrap();
    assert_eq!(finalizers(&marked), json!(["example.org/x", "foregroundDeletion"]));
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = delete(client, &path, Value::Null).await.unwrap();
    assert_eq!(
        again["metadata"]["resourceVersion"],
        marked["metadata"]["resourceVersion"]
    );
    let orphan = delete(client, &path, json!({"orphanDependents": true})).await.unwrap();
    assert_eq!(finalizers(&orphan), json!(["example.org/x", "orphan"]));
    assert_eq!(
        orphan["metadata"]["deletionTimestamp"],
        marked["metadata"]["deletionTimestamp"]
    );
    let both = json!({"metadata": {"finalizers": ["orphan", "foregroundDeletion"]}});
    assert_eq!(refusal(send(client, Method::PATCH, &path, both).await).0, 422);
    let last = send(client, Method::PATCH, &path, json!({"metadata": {"finalizers": []}}))
        .await
        .unwrap();
    assert_eq!(last["metadata"]["name"], "owner");
    assert_eq!(refusal(send(client, Method::GET, &path, Value::Null).await).0, 404);
}

async fn what_is_not_meant_stays(client: &Client) {
    make(client, "kept", &[]).await;
    let path = format!("{CONFIG_MAPS}/kept");
    let (code, reason, message) = refusal(delete(client, &path, json!({"preconditions": {"uid": "other"}})).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.starts_with("Operation cannot be fulfilled on ConfigMap \"kept\": the UID in the precondition (other) does not match the UID in record ("), "{message}");
    assert_eq!(
        refusal(delete(client, &path, json!({"preconditions": {"resourceVersion": "1"}})).await).0,
        409
    );
    delete(client, &path, json!({"dryRun": ["All"]})).await.unwrap();
    delete(client, &format!("{path}?dryRun=All"), json!({})).await.unwrap();
    for (body, code) in [
        (json!({"propagationPolicy": "Sideways"}), 422),
        (json!({"propagationPolicy": "Orphan", "orphanDependents": false}), 422),
        (json!({"dryRun": ["Some"]}), 422),
        (json!({"gracePeriodSeconds": "soon"}), 400),
        (json!({"kind": "Pod"}), 400),
        (json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true}), 422),
    ] {
        assert_eq!(refusal(delete(client, &path, body.clone()).await).0, code, "{body}");
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    assert!(maps.get("kept").await.is_ok());
}

async fn a_collection_goes_page_by_page(client: &Client) {
    for number in 0..5 {
        make(client, &format!("many-{number}"), &[]).await;
    }
    make(client, "many-held", &["example.org/x"]).await;
    let path = format!("{CONFIG_MAPS}?labelSelector=of%3Ddeletion&fieldSelector=metadata.name!%3Dkept&limit=2");
    let first = delete(client, &path, Value::Null).await.unwrap();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert!(first["metadata"]["continue"].is_string());
    let rest = delete(client, &path.replace("&limit=2", ""), Value::Null)
        .await
        .unwrap();
    assert_eq!(rest["items"].as_array().unwrap().len(), 4);
    let left = send(client, Method::GET, &path.replace("&limit=2", ""), Value::Null)
        .await
        .unwrap();
    assert_eq!(left["items"][0]["metadata"]["name"], "many-held");
    let (code, ..) = refusal(delete(client, "/api/v1/namespaces", Value::Null).await);
    assert_eq!(code, 405, "namespaces are deleted one by one");
}

async fn objects_are_where_they_are_sent(client: &Client) {
    let body = json!({"metadata": {"name": "x", "namespace": "kube-public"}});
    let (code, _, message) = refusal(send(client, Method::POST, CONFIG_MAPS, body).await);
    let words = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!((code, message.as_str()), (400, words));
    let body = json!({"metadata": {"generateName": "made-", "namespace": "odd"}});
    let made = send(client, Method::POST, "/api/v1/namespaces", body).await.unwrap();
    assert!(made["metadata"].get("namespace").is_none());
    assert_eq!(
        made["metadata"]["labels"]["kubernetes.io/metadata.name"],
        made["metadata"]["name"]
    );
    let own = json!({"spec": {"finalizers": ["example.org/x"]}, "metadata": {"name": "extra"}});
    let made = send(client, Method::POST, "/api/v1/namespaces", own).await.unwrap();
    assert_eq!(made["spec"]["finalizers"], json!(["example.org/x", "kubernetes"]));
}

async fn all(on: On) {
    let server = TestServer::start(on).await;
    let client = server.client().await;
    what_is_gone_is_told_with_its_uid(&client).await;
    a_policy_becomes_a_finalizer_and_the_last_word_counts(&client).await;
    what_is_not_meant_stays(&client).await;
    a_collection_goes_page_by_page(&client).await;
    objects_are_where_they_are_sent(&client).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_on_the_embedded_store() {
    all(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_on_etcd() {
    all(On::Etcd).await;
}
