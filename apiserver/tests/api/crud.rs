//! Creating, reading, changing, deleting.

use breakbulk_schemas::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::harness::{On, TestServer, refusal};

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("k".to_owned(), "v".to_owned())].into()),
        ..ConfigMap::default()
    }
}

pub(crate) fn job(name: &str) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "breakbulk.dev/v1", "kind": "Job",
        "metadata": {"name": name},
        "spec": {"script": "echo hi", "resources": {}},
    }))
    .unwrap()
}

async fn an_object_lives_from_create_to_delete(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let made = api.create(&PostParams::default(), &config_map("life")).await.unwrap();
    assert!(made.uid().is_some() && made.creation_timestamp().is_some());
    assert_eq!(made.namespace().as_deref(), Some("default"));
    assert_eq!(api.get("life").await.unwrap(), made);

    let (code, reason, message) = refusal(api.create(&PostParams::default(), &config_map("life")).await);
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(message, "configmaps \"life\" already exists");

    let mut newer = made.clone();
    newer.data.as_mut().unwrap().insert("k".to_owned(), "w".to_owned());
    let replaced = api.replace("life", &PostParams::default(), &newer).await.unwrap();
    assert_ne!(replaced.resource_version(), made.resource_version());
    let (code, reason, message) = refusal(api.replace("life", &PostParams::default(), &newer).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.starts_with("Operation cannot be fulfilled on configmaps \"life\": the object has been modified"));

    api.delete("life", &DeleteParams::default()).await.unwrap();
    let (code, _, message) = refusal(api.get("life").await);
    assert_eq!((code, message.as_str()), (404, "configmaps \"life\" not found"));
}

async fn a_write_that_changes_nothing_is_no_write(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let made = api.create(&PostParams::default(), &config_map("same")).await.unwrap();
    let again = api.replace("same", &PostParams::default(), &made).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version());
    let patch = Patch::Merge(json!({"data": {"k": "v"}}));
    let again = api.patch("same", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version());
}

async fn status_and_spec_are_written_apart(client: &Client) {
    let api: Api<Job> = Api::default_namespaced(client.clone());
    let made = api.create(&PostParams::default(), &job("apart")).await.unwrap();
    assert_eq!((made.metadata.generation, made.status.is_none()), (Some(1), true));
    let status = json!({"status": {"observedGeneration": 1}, "spec": {"nodeName": "sneaky"}});
    let patched = api
        .patch_status("apart", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    assert_eq!(patched.spec.node_name, None);
    assert_eq!(patched.status.as_ref().unwrap().observed_generation, Some(1));
    assert_eq!(patched.metadata.generation, Some(1));
    let spec = json!({"spec": {"nodeName": "n1"}, "status": {"observedGeneration": 9}});
    let bound = api
        .patch("apart", &PatchParams::default(), &Patch::Merge(&spec))
        .await
        .unwrap();
    assert_eq!(bound.metadata.generation, Some(2));
    assert_eq!(bound.status.unwrap().observed_generation, Some(1));
    let selected = api
        .list(&ListParams::default().fields("spec.nodeName=n1"))
        .await
        .unwrap();
    assert_eq!(selected.items.len(), 1);
}

async fn a_finalizer_holds_an_object_until_it_is_taken_off(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &config_map("held")).await.unwrap();
    // As kube-rs's finalizer() does it, with a test for a member that is not there.
    let add = serde_json::from_value(json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.org/x"]},
    ]))
    .unwrap();
    api.patch("held", &PatchParams::default(), &Patch::Json::<()>(add))
        .await
        .unwrap();
    let deleted = api.delete("held", &DeleteParams::default()).await.unwrap();
    assert!(deleted.left().unwrap().metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["example.org/x", "example.org/y"]}}));
    assert_eq!(refusal(api.patch("held", &PatchParams::default(), &more).await).0, 422);
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("held", &PatchParams::default(), &none).await.unwrap();
    assert_eq!(refusal(api.get("held").await).0, 404);

    api.create(&PostParams::default(), &config_map("parent")).await.unwrap();
    let foreground = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    let marked = api.delete("parent", &foreground).await.unwrap().left().unwrap();
    assert_eq!(marked.finalizers(), ["foregroundDeletion"]);
}

async fn everything_wrong_is_said_and_nothing_changes(client: &Client) {
    let api: Api<Job> = Api::default_namespaced(client.clone());
    let mut bad = job("Not_A_Name");
    bad.spec.script = String::new();
    bad.spec.attempt = 5000;
    let error = api.create(&PostParams::default(), &bad).await.unwrap_err();
    let kube::Error::Api(status) = error else {
        panic!("{error}")
    };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let fields: Vec<String> = status
        .details
        .as_ref()
        .unwrap()
        .causes
        .iter()
        .map(|c| c.field.clone())
        .collect();
    for field in ["metadata.name", "spec.script", "spec.attempt"] {
        assert!(fields.iter().any(|f| f == field), "{field} in {fields:?}");
    }
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    api.create(&dry, &job("only-tried")).await.unwrap();
    assert_eq!(refusal(api.get("only-tried").await).0, 404);
}

async fn namespaces_and_secrets_follow_their_rules(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let names: Vec<String> = namespaces
        .list(&ListParams::default())
        .await
        .unwrap()
        .iter()
        .map(|n| n.name_any())
        .collect();
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        assert!(names.iter().any(|n| n == name));
    }
    assert_eq!(
        refusal(namespaces.delete("default", &DeleteParams::default()).await).0,
        403
    );

    let new: Namespace = serde_json::from_value(json!({"metadata": {"name": "going"}})).unwrap();
    let made = namespaces.create(&PostParams::default(), &new).await.unwrap();
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Active"));
    namespaces.delete("going", &DeleteParams::default()).await.unwrap();
    let inside: Api<ConfigMap> = Api::namespaced(client.clone(), "going");
    let (code, _, message) = refusal(inside.create(&PostParams::default(), &config_map("late")).await);
    assert_eq!(code, 403, "{message}");
    let nowhere: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
    let (code, _, message) = refusal(nowhere.create(&PostParams::default(), &config_map("x")).await);
    assert_eq!((code, message.as_str()), (404, "namespaces \"nowhere\" not found"));

    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"generateName": "s-"}, "stringData": {"p": "q"}})).unwrap();
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert!(made.name_any().starts_with("s-") && made.name_any().len() == 7);
    assert_eq!(made.type_.as_deref(), Some("Opaque"));
    assert_eq!(made.data.unwrap()["p"].0, b"q");
}

async fn a_list_in_chunks_is_of_one_moment(client: &Client) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    for number in 0..7 {
        let mut map = config_map(&format!("chunk-{number}"));
        map.metadata.labels = Some([("even".to_owned(), (number % 2 == 0).to_string())].into());
        api.create(&PostParams::default(), &map).await.unwrap();
    }
    let mut params = ListParams::default().limit(3);
    let first = api.list(&params).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(4));
    api.create(&PostParams::default(), &config_map("chunk-9"))
        .await
        .unwrap();
    api.delete("chunk-5", &DeleteParams::default()).await.unwrap();
    let mut names: Vec<String> = first.iter().map(|m| m.name_any()).collect();
    params.continue_token = first.metadata.continue_.clone();
    while let Some(token) = params.continue_token.clone().filter(|t| !t.is_empty()) {
        params.continue_token = Some(token);
        let page = api.list(&params).await.unwrap();
        assert_eq!(page.metadata.resource_version, first.metadata.resource_version);
        names.extend(page.iter().map(|m| m.name_any()));
        params.continue_token = page.metadata.continue_;
    }
    assert_eq!(names, (0..7).map(|n| format!("chunk-{n}")).collect::<Vec<_>>());
    let even = api
        .list(&ListParams::default().labels("even in (true),!odd"))
        .await
        .unwrap();
    assert_eq!(even.items.len(), 4);
    let gone = api
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .unwrap();
    assert!(gone.is_left());
    assert!(api.list(&ListParams::default()).await.unwrap().items.is_empty());
}

async fn all(on: On) {
    let server = TestServer::start(on).await;
    let client = server.client().await;
    an_object_lives_from_create_to_delete(&client).await;
    a_write_that_changes_nothing_is_no_write(&client).await;
    status_and_spec_are_written_apart(&client).await;
    a_finalizer_holds_an_object_until_it_is_taken_off(&client).await;
    everything_wrong_is_said_and_nothing_changes(&client).await;
    namespaces_and_secrets_follow_their_rules(&client).await;
    a_list_in_chunks_is_of_one_moment(&client).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_kept_as_kubernetes_keeps_them_on_the_embedded_store() {
    all(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_kept_as_kubernetes_keeps_them_on_etcd() {
    all(On::Etcd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_knows_what_it_knew_and_who_knew_it() {
    let mut server = TestServer::start(On::Embedded).await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    let made = api.create(&PostParams::default(), &config_map("stays")).await.unwrap();
    let old = std::fs::read(&server.kubeconfig).unwrap();
    server.restart().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    assert_eq!(api.get("stays").await.unwrap(), made);
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items, [made]);
    assert!(!old.is_empty());
    server.stop().await;
}
