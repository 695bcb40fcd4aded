//! Events in both faces, and times that keep their microseconds.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Event as CoreEvent;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{On, TestServer, refusal};

fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn new_event(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "eventTime": "2026-01-01T00:00:00.123456Z",
        "action": "Do", "reason": "Why", "type": "Normal", "note": "words", "reportingController": "example.org/c",
        "reportingInstance": "c-1", "regarding": {"kind": "Job", "name": "j", "namespace": "default"}})
}

async fn both_faces_show_the_same(client: &kube::Client) {
    let (new, old): (Api<Event>, Api<CoreEvent>) = (
        Api::default_namespaced(client.clone()),
        Api::default_namespaced(client.clone()),
    );
    new.create(&PostParams::default(), &of(new_event("a"))).await.unwrap();
    let seen = old.get("a").await.unwrap();
    assert_eq!(
        (seen.message.as_deref(), seen.involved_object.name.as_deref()),
        (Some("words"), Some("j"))
    );
    assert_eq!(
        serde_json::to_value(&seen.event_time).unwrap(),
        "2026-01-01T00:00:00.123456Z"
    );

    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:05.000001Z"}});
    let patched = new
        .patch("a", &PatchParams::default(), &Patch::Strategic(&series))
        .await
        .unwrap();
    assert_eq!(patched.series.unwrap().count, 2);
    let series = json!({"series": {"count": 3, "lastObservedTime": "2026-01-01T00:00:06.000001Z"}});
    new.patch("a", &PatchParams::default(), &Patch::Merge(&series))
        .await
        .unwrap();
    assert_eq!(old.get("a").await.unwrap().series.unwrap().count, Some(3));
    let (code, _, message) = refusal(
        new.patch("a", &PatchParams::default(), &Patch::Merge(json!({"note": "x"})))
            .await,
    );
    assert_eq!(code, 422);
    assert!(
        message.ends_with("message: Invalid value: \"x\": field is immutable"),
        "{message}"
    );
    // The old face changes what it likes.
    let words = Patch::Strategic(json!({"message": "others", "count": 4}));
    assert_eq!(
        old.patch("a", &PatchParams::default(), &words).await.unwrap().count,
        Some(4)
    );

    for (field, count) in [
        ("involvedObject.kind=Job,reason=Why", 1),
        ("involvedObject.name!=j", 0),
        ("type=Normal", 1),
        ("reportingComponent=example.org/c", 1),
        ("source=x", 0),
    ] {
        let found = old.list(&ListParams::default().fields(field)).await.unwrap();
        assert_eq!(found.items.len(), count, "{field}");
    }
    let found = new
        .list(&ListParams::default().fields("regarding.name=j,reportingController=example.org/c"))
        .await;
    assert_eq!(found.unwrap().items.len(), 1);
    let (code, _, message) = refusal(old.list(&ListParams::default().fields("message=x")).await);
    assert_eq!((code, message.as_str()), (400, "field label not supported: message"));
}

async fn what_is_incomplete_is_refused(client: &kube::Client) {
    let (new, old): (Api<Event>, Api<CoreEvent>) = (
        Api::default_namespaced(client.clone()),
        Api::default_namespaced(client.clone()),
    );
    let mut bad = new_event("bad");
    bad["action"] = json!("");
    bad["type"] = json!("Odd");
    let (code, _, message) = refusal(new.create(&PostParams::default(), &of(bad)).await);
    assert_eq!(code, 422);
    assert!(
        message.contains("action: Required value") && message.contains("has invalid value: Odd"),
        "{message}"
    );
    let elsewhere = json!({"metadata": {"name": "b"}, "involvedObject": {"namespace": "kube-public"}});
    let (code, _, message) = refusal(old.create(&PostParams::default(), &of(elsewhere)).await);
    assert_eq!(code, 422);
    assert!(
        message.ends_with("involvedObject.namespace: Invalid value: \"kube-public\": does not match event.namespace"),
        "{message}"
    );
}

async fn a_lease_keeps_its_microseconds(client: &kube::Client) {
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    for (name, sent, kept) in [
        ("six", "2026-01-01T00:00:00.123456Z", "2026-01-01T00:00:00.123456Z"),
        ("whole", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z"),
        ("zeros", "2026-01-01T00:00:00.100000Z", "2026-01-01T00:00:00.100000Z"),
    ] {
        let new = json!({"metadata": {"name": name}, "spec": {"holderIdentity": "me", "renewTime": sent}});
        let request = http::Request::post("/apis/coordination.k8s.io/v1/namespaces/default/leases")
            .header("content-type", "application/json")
            .body(new.to_string().into_bytes())
            .unwrap();
        let made: Value = client.request(request).await.unwrap();
        assert_eq!(made["spec"]["renewTime"], kept);
    }
    let bad = of(json!({"metadata": {"name": "bad"}, "spec": {"leaseDurationSeconds": 0}}));
    let (code, _, message) = refusal(leases.create(&PostParams::default(), &bad).await);
    assert_eq!(code, 422);
    assert!(
        message.ends_with("spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_leases() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    both_faces_show_the_same(&client).await;
    what_is_incomplete_is_refused(&client).await;
    a_lease_keeps_its_microseconds(&client).await;
    server.stop().await;
}
