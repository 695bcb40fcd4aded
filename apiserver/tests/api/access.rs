//! Who may do what.

use breakbulk_schemas::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::crud::job;
use crate::harness::{On, TestServer, refusal};
use crate::watch::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nodes_agent_reaches_its_own_jobs_and_what_they_name() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    let node = server.client_of("system:node:n1", &["system:nodes"]).await;

    let secrets: Api<Secret> = Api::default_namespaced(admin.clone());
    for name in ["named", "other"] {
        let secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"k": "v"}})).unwrap();
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }
    let jobs: Api<Job> = Api::default_namespaced(admin.clone());
    let mut mine = job("mine");
    mine.spec.secrets = serde_json::from_value(json!([{"name": "named", "key": "k", "env": "K"}])).unwrap();
    jobs.create(&PostParams::default(), &mine).await.unwrap();
    jobs.create(&PostParams::default(), &job("theirs")).await.unwrap();
    let bind = Patch::Merge(json!({"spec": {"nodeName": "n1"}}));
    jobs.patch("mine", &PatchParams::default(), &bind).await.unwrap();

    let own_jobs: Api<Job> = Api::default_namespaced(node.clone());
    until("the binding is seen", || async { own_jobs.get("mine").await.is_ok() }).await;
    assert_eq!(refusal(own_jobs.get("theirs").await).0, 403);
    let (code, _, message) = refusal(own_jobs.list(&ListParams::default()).await);
    assert_eq!(code, 403);
    assert!(
        message.contains("User \"system:node:n1\" cannot list resource \"jobs\""),
        "{message}"
    );
    let selected = own_jobs
        .list(&ListParams::default().fields("spec.nodeName=n1"))
        .await
        .unwrap();
    assert_eq!(selected.items.len(), 1);
    assert_eq!(
        refusal(own_jobs.list(&ListParams::default().fields("spec.nodeName=n2")).await).0,
        403
    );

    let own_secrets: Api<Secret> = Api::default_namespaced(node.clone());
    own_secrets.get("named").await.unwrap();
    assert_eq!(refusal(own_secrets.get("other").await).0, 403);
    assert_eq!(refusal(own_secrets.list(&ListParams::default()).await).0, 403);

    let nodes: Api<Node> = Api::all(node.clone());
    let named = |name: &str| serde_json::from_value::<Node>(json!({"metadata": {"name": name}})).unwrap();
    nodes.create(&PostParams::default(), &named("n1")).await.unwrap();
    assert_eq!(refusal(nodes.create(&PostParams::default(), &named("n2")).await).0, 403);
    let leases: Api<Lease> = Api::namespaced(node.clone(), "kube-node-lease");
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "n1"},
        "spec": {"holderIdentity": "n1", "renewTime": "2026-01-02T03:04:05.678901Z"},
    }))
    .unwrap();
    let made = leases.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(made.spec.unwrap().renew_time, lease.spec.unwrap().renew_time);
    let maps: Api<ConfigMap> = Api::default_namespaced(node);
    assert_eq!(refusal(maps.list(&ListParams::default()).await).0, 403);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_with_a_certificate_may_only_look_at_what_is_served() {
    let server = TestServer::start(On::Embedded).await;
    let stranger = server.client_of("ann", &["people"]).await;
    assert_eq!(stranger.apiserver_version().await.unwrap().minor, "33");
    assert!(
        stranger
            .list_api_groups()
            .await
            .unwrap()
            .groups
            .iter()
            .any(|g| g.name == "breakbulk.dev")
    );
    let maps: Api<ConfigMap> = Api::default_namespaced(stranger);
    let (code, reason, message) = refusal(maps.list(&ListParams::default()).await);
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "configmaps is forbidden: User \"ann\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    server.stop().await;
}
