//! Stock kubectl on who one is and what one may.

use crate::harness::{On, TestServer};
use crate::kubectl::{Kubectl, programs};

const TOKEN_REQUEST: &str = r#"{"kind": "TokenRequest", "spec": {"audiences": ["vault"]}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_kubectl_asks_who_it_is_and_what_it_may() {
    let server = TestServer::start(On::Embedded).await;
    // From 1.32 on kubectl sends these questions as protobuf.
    for program in programs()
        .into_iter()
        .filter(|program| !program.ends_with("kubectl.1.33"))
    {
        let kubectl = Kubectl::new(program, &server);
        let ok = |arguments: &'static [&'static str], expected: &'static str| kubectl.says(arguments, "", expected);
        ok(&["auth", "whoami"], "system:masters").await;
        ok(&["auth", "whoami", "--as", "ann", "--as-group", "people"], "people").await;
        ok(&["auth", "can-i", "delete", "jobs.breakbulk.dev"], "yes").await;
        let no: &[&str] = &["auth", "can-i", "delete", "jobs.breakbulk.dev", "--as", "ann"];
        kubectl.refuses(no, "", "no").await;
        ok(&["auth", "can-i", "--list"], "[*]").await;
        ok(
            &["auth", "can-i", "--list", "--as", "ann"],
            "selfsubjectaccessreviews.authorization.k8s.io",
        )
        .await;
        kubectl
            .refuses(
                &["get", "cm", "--as", "ann"],
                "",
                "configmaps is forbidden: User \"ann\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"",
            )
            .await;
        ok(&["create", "sa", "ci"], "serviceaccount/ci created").await;
        ok(&["create", "token", "ci", "--duration", "20m"], "ey").await;
        ok(
            &[
                "create",
                "rolebinding",
                "ci",
                "--clusterrole",
                "edit",
                "--serviceaccount",
                "default:ci",
            ],
            "rolebinding.rbac.authorization.k8s.io/ci created",
        )
        .await;
        let ci: &[&str] = &[
            "auth",
            "can-i",
            "create",
            "pipelineruns",
            "--as",
            "system:serviceaccount:default:ci",
        ];
        crate::watch::until("the binding is seen", || async { kubectl.run(ci, "").await.0 }).await;
        ok(
            &["create", "role", "reader", "--verb", "get", "--resource", "configmaps"],
            "role.rbac.authorization.k8s.io/reader created",
        )
        .await;
        ok(&["api-resources"], "subjectaccessreviews").await;
        ok(&["delete", "sa/ci", "rolebinding/ci", "role/reader"], "deleted").await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_kubectl_gets_a_token_by_a_raw_request() {
    let server = TestServer::start(On::Embedded).await;
    for program in programs() {
        let kubectl = Kubectl::new(program, &server);
        let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: ci}";
        kubectl
            .says(&["apply", "-f", "INPUT"], account, "serviceaccount/ci")
            .await;
        let path = "/api/v1/namespaces/default/serviceaccounts/ci/token";
        kubectl
            .says(
                &["create", "--raw", path, "-f", "INPUT"],
                TOKEN_REQUEST,
                "\"token\":\"ey",
            )
            .await;
    }
    server.stop().await;
}
