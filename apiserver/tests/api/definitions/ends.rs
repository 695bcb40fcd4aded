//! Definitions in a fleet, their end, and kubectl with the kinds that they bring.

use serde_json::{Value, json};

use super::{CRDS, WIDGETS, ask, create, define, get, gone, redefine, spec, version, widget, widgets};
use crate::harness::{On, TestServer};
use crate::kubectl::{Kubectl, programs};
use crate::watch::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_made_at_one_server_is_served_at_the_other() {
    let one = TestServer::start(On::Etcd).await;
    let other = TestServer::start_with(On::Embedded, |config| config.store = one.store()).await;
    let (here, there) = (&one.client().await, &other.client().await);
    define(here, &widgets()).await;
    until(
        "it is served there",
        || async move { get(there, WIDGETS).await.code == 200 },
    )
    .await;
    create(there, WIDGETS, &widget("a", &json!({}))).await.with(201);
    assert_eq!(
        get(here, &format!("{WIDGETS}/a")).await.with(200)["spec"]["color"],
        "red"
    );
    ask(there, "DELETE", &format!("{CRDS}/widgets.example.com"), &Value::Null)
        .await
        .with(200);
    gone(here, WIDGETS).await;
    gone(there, WIDGETS).await;
    other.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_a_version_that_is_not_served_go_with_their_definition() {
    let server = TestServer::start(On::Embedded).await;
    let client = &server.client().await;
    define(client, &widgets()).await;
    create(client, WIDGETS, &widget("a", &json!({}))).await.with(201);
    let mut hidden = version("v1", true, &spec());
    hidden["served"] = json!(false);
    redefine(client, "widgets.example.com", &json!({"spec": {"versions": [hidden]}})).await;
    gone(client, WIDGETS).await;
    ask(client, "DELETE", &format!("{CRDS}/widgets.example.com"), &Value::Null)
        .await
        .with(200);
    gone(client, &format!("{CRDS}/widgets.example.com")).await;
    define(client, &widgets()).await;
    assert_eq!(get(client, WIDGETS).await.with(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_come_and_go_and_leave_nothing_behind() {
    let server = TestServer::start(On::Embedded).await;
    let client = &server.client().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let round = || async {
        define(client, &widgets()).await;
        create(client, WIDGETS, &widget("a", &json!({}))).await.with(201);
        ask(client, "DELETE", &format!("{CRDS}/widgets.example.com"), &Value::Null)
            .await
            .with(200);
        gone(client, &format!("{CRDS}/widgets.example.com")).await;
        gone(client, WIDGETS).await;
    };
    round().await;
    let before = tasks();
    for _ in 0..20 {
        round().await;
    }
    until("no task is left", || async { tasks() <= before + 4 }).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_works_with_kinds_that_users_bring() {
    let server = TestServer::start(On::Embedded).await;
    for program in programs() {
        let kubectl = Kubectl::new(program, &server);
        let crd = widgets().to_string();
        kubectl
            .says(&["apply", "-f", "INPUT"], &crd, "widgets.example.com created")
            .await;
        kubectl
            .says(
                &[
                    "wait",
                    "--for=condition=Established",
                    "crd/widgets.example.com",
                    "--timeout=30s",
                ],
                "",
                "condition met",
            )
            .await;
        kubectl.says(&["apply", "-f", "INPUT"], &crd, "unchanged").await;
        kubectl
            .says(&["get", "crd", "widgets.example.com"], "", "CREATED AT")
            .await;
        kubectl
            .says(&["api-resources", "--api-group=example.com"], "", "wi")
            .await;
        let one = widget("a", &json!({"color": "blue", "replicas": 1})).to_string();
        kubectl
            .says(&["create", "-f", "INPUT"], &one, "widget.example.com/a created")
            .await;
        kubectl
            .says(
                &["apply", "--server-side", "--force-conflicts", "-f", "INPUT"],
                &one,
                "serverside-applied",
            )
            .await;
        kubectl.says(&["get", "wi"], "", "COLOR").await;
        kubectl
            .says(&["get", "toys", "-o", "name"], "", "widget.example.com/a")
            .await;
        kubectl.says(&["scale", "wi/a", "--replicas=3"], "", "scaled").await;
        kubectl.says(&["explain", "widgets.spec.color"], "", "color").await;
        kubectl
            .says(
                &[
                    "patch",
                    "wi",
                    "a",
                    "--type=merge",
                    "--subresource=status",
                    "-p",
                    r#"{"status":{"replicas":3}}"#,
                ],
                "",
                "patched",
            )
            .await;
        let wrong = one.replace("color", "colour");
        kubectl
            .refuses(&["apply", "-f", "INPUT"], &wrong, r#"unknown field "spec.colour""#)
            .await;
        kubectl
            .says(&["delete", "crd", "widgets.example.com"], "", "deleted")
            .await;
        let client = &server.client().await;
        gone(client, WIDGETS).await;
        kubectl.refuses(&["get", "widgets"], "", "the server").await;
    }
    server.stop().await;
}
