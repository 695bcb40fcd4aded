//! Roles and bindings at work: what they allow, what nobody may give away, and for whom one may speak.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{On, TestServer, refusal};
use crate::watch::until;

const RBAC: &str = "rbac.authorization.k8s.io";

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn binding<T: serde::de::DeserializeOwned>(name: &str, kind: &str, role: &str, subject: &Value) -> T {
    typed(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [subject],
    }))
}

fn user(name: &str) -> Value {
    json!({"apiGroup": RBAC, "kind": "User", "name": name})
}

async fn may(client: &kube::Client, attributes: Value) -> Value {
    let question = json!({"spec": {"resourceAttributes": attributes}});
    post(
        client,
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        &question,
    )
    .await
    .unwrap()["status"]
        .clone()
}

async fn post(client: &kube::Client, path: &str, body: &Value) -> kube::Result<Value> {
    let request = http::Request::post(path).body(body.to_string().into_bytes()).unwrap();
    client.request(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_in_a_namespace_opens_that_namespace_and_says_so() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    let ann = server.client_of("ann", &["people"]).await;
    let bindings: Api<RoleBinding> = Api::default_namespaced(admin.clone());
    let views = binding("ann-views", "ClusterRole", "view", &user("ann"));
    bindings.create(&PostParams::default(), &views).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(ann.clone());
    until("the role is filled and bound", || async {
        maps.list(&ListParams::default()).await.is_ok()
    })
    .await;
    let elsewhere: Api<ConfigMap> = Api::namespaced(ann.clone(), "kube-system");
    assert_eq!(refusal(elsewhere.list(&ListParams::default()).await).0, 403);
    let secrets: Api<Secret> = Api::default_namespaced(ann.clone());
    assert_eq!(refusal(secrets.list(&ListParams::default()).await).0, 403);

    let get =
        |resource: &str| json!({"namespace": "default", "verb": "get", "resource": resource, "group": "breakbulk.dev"});
    let status = may(&ann, get("jobs")).await;
    assert_eq!(
        status,
        json!({
            "allowed": true,
            "reason": "RBAC: allowed by RoleBinding \"ann-views/default\" of ClusterRole \"view\" to User \"ann\"",
        })
    );
    assert_eq!(may(&ann, get("nodes")).await, json!({"allowed": false}));

    let rules = post(
        &ann,
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        &json!({"spec": {"namespace": "default"}}),
    )
    .await
    .unwrap();
    let rules = rules["status"]["resourceRules"].as_array().unwrap().clone();
    assert!(
        rules
            .iter()
            .any(|rule| rule["resources"].as_array().unwrap().contains(&json!("jobs/log"))),
        "{rules:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_away_what_they_do_not_have() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    let ann = server.client_of("ann", &[]).await;
    let bindings: Api<RoleBinding> = Api::default_namespaced(admin.clone());
    let administers = binding("ann", "ClusterRole", "admin", &user("ann"));
    bindings.create(&PostParams::default(), &administers).await.unwrap();
    let roles: Api<Role> = Api::default_namespaced(ann.clone());
    let fine: Role = typed(json!({
        "metadata": {"name": "fine"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}],
    }));
    until("ann administers", || async {
        roles.create(&PostParams::default(), &fine).await.is_ok()
    })
    .await;

    let mut too_much = fine.clone();
    too_much.metadata.name = Some("too-much".to_owned());
    too_much.rules = typed(json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["nodes"]}]));
    let (code, reason, message) = refusal(roles.create(&PostParams::default(), &too_much).await);
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "roles.rbac.authorization.k8s.io \"too-much\" is forbidden: user \"ann\" (groups=[\"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], \
         Verbs:[\"get\" \"list\"]}"
    );
    let widen = Patch::Merge(json!({"rules": too_much.rules}));
    assert_eq!(
        refusal(roles.patch("fine", &PatchParams::default(), &widen).await).0,
        403
    );
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    roles.patch("fine", &PatchParams::default(), &label).await.unwrap();

    let own: Api<RoleBinding> = Api::default_namespaced(ann.clone());
    let views = binding("bob-views", "ClusterRole", "view", &user("bob"));
    own.create(&PostParams::default(), &views).await.unwrap();
    let all: RoleBinding = binding("bob", "ClusterRole", "cluster-admin", &user("bob"));
    let (code, _, message) = refusal(own.create(&PostParams::default(), &all).await);
    assert_eq!(code, 403);
    assert!(
        message.ends_with(
            "{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"
        ),
        "{message}"
    );
    let missing: RoleBinding = binding("bob", "ClusterRole", "missing", &user("bob"));
    assert_eq!(refusal(own.create(&PostParams::default(), &missing).await).0, 404);

    // Who may bind a role may do so without holding what it allows.
    let cluster_roles: Api<ClusterRole> = Api::all(admin.clone());
    let binder: ClusterRole = typed(json!({
        "metadata": {"name": "binder"},
        "rules": [{"verbs": ["bind"], "apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["cluster-admin"]}],
    }));
    cluster_roles.create(&PostParams::default(), &binder).await.unwrap();
    let cluster_bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    let binds = binding("ann-binds", "ClusterRole", "binder", &user("ann"));
    cluster_bindings.create(&PostParams::default(), &binds).await.unwrap();
    until("ann may bind", || async {
        own.create(&PostParams::default(), &all).await.is_ok()
    })
    .await;

    let other_role = Patch::Merge(json!({"roleRef": {"name": "view"}}));
    let (code, reason, message) = refusal(bindings.patch("ann", &PatchParams::default(), &other_role).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.contains("cannot change roleRef"), "{message}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_roles_are_made_and_completed_and_what_people_add_stays() {
    let mut server = TestServer::start(On::Embedded).await;
    let roles: Api<ClusterRole> = Api::all(server.client().await);
    until("admin is filled from edit and view", || async {
        let admin = roles.get("admin").await.unwrap();
        let of_view = |rule: &k8s_openapi::api::rbac::v1::PolicyRule| {
            rule.resources
                .as_ref()
                .is_some_and(|all| all.contains(&"jobs/log".to_owned()))
        };
        admin.rules.unwrap_or_default().iter().any(of_view)
    })
    .await;
    let extra = json!({"verbs": ["get"], "apiGroups": ["acme.com"], "resources": ["anvils"]});
    let patch = |rules: Value| Patch::Merge(json!({"rules": rules}));
    let params = PatchParams::default();
    roles
        .patch("system:basic-user", &params, &patch(json!([extra])))
        .await
        .unwrap();
    let frozen = json!({
        "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}},
        "rules": [],
    });
    roles
        .patch("system:discovery", &params, &Patch::Merge(frozen))
        .await
        .unwrap();
    server.restart().await;
    let roles: Api<ClusterRole> = Api::all(server.client().await);
    let completed = roles.get("system:basic-user").await.unwrap().rules.unwrap();
    assert_eq!(completed.len(), 4, "{completed:?}");
    assert_eq!(serde_json::to_value(&completed[0]).unwrap(), extra);
    let frozen = roles.get("system:discovery").await.unwrap();
    assert_eq!(frozen.rules.unwrap_or_default(), []);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_speak_for_somebody_is_that_one_and_no_more() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let ask = |headers: &[(&'static str, &'static str)]| {
        let mut request = http::Request::post(whoami);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(b"{}".to_vec()).unwrap()
    };
    let me: Value = admin.request(ask(&[])).await.unwrap();
    assert_eq!(me["status"]["userInfo"]["username"], "admin");
    assert_eq!(
        me["status"]["userInfo"]["groups"],
        json!(["system:masters", "system:authenticated"])
    );
    let other: Value = admin
        .request(ask(&[
            ("Impersonate-User", "bob"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Extra-Reason", "test"),
        ]))
        .await
        .unwrap();
    assert_eq!(
        other["status"]["userInfo"],
        json!({
            "username": "bob",
            "groups": ["dev", "system:authenticated"],
            "extra": {"reason": ["test"]},
        })
    );

    let ann = server.client_of("ann", &[]).await;
    let refused = refusal(ann.request::<Value>(ask(&[("Impersonate-User", "bob")])).await);
    assert_eq!(
        refused.2,
        "users \"bob\" is forbidden: User \"ann\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let speaker: ClusterRole = typed(json!({
        "metadata": {"name": "speaker"},
        "rules": [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"]}],
    }));
    roles.create(&PostParams::default(), &speaker).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    let speaks = binding("ann-speaks", "ClusterRole", "speaker", &user("ann"));
    bindings.create(&PostParams::default(), &speaks).await.unwrap();
    until("ann may speak for bob", || async {
        ann.request::<Value>(ask(&[("Impersonate-User", "bob")])).await.is_ok()
    })
    .await;
    let masters = ask(&[("Impersonate-User", "bob"), ("Impersonate-Group", "system:masters")]);
    assert_eq!(refusal(ann.request::<Value>(masters).await).0, 403);
    assert_eq!(
        refusal(ann.request::<Value>(ask(&[("Impersonate-User", "eve")])).await).0,
        403
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_answer_what_is_asked_and_refuse_what_is_no_question() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    let subject = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let attributes = |namespace: &str| json!({"namespace": namespace, "verb": "list", "resource": "secrets"});
    let somebody = |namespace: &str| json!({"spec": {"user": "bob", "groups": ["system:masters"], "resourceAttributes": attributes(namespace)}});
    for path in [subject, local] {
        let answer = post(&admin, path, &somebody("default")).await.unwrap();
        assert_eq!(answer["status"], json!({"allowed": true}), "{path}");
        assert_eq!(answer["spec"]["user"], "bob");
    }
    assert_eq!(refusal(post(&admin, local, &somebody("kube-system")).await).0, 400);
    let nobody = json!({"spec": {"resourceAttributes": attributes("default")}});
    assert_eq!(refusal(post(&admin, subject, &nobody).await).0, 422);
    let nothing = json!({"spec": {"user": "bob"}});
    assert_eq!(refusal(post(&admin, subject, &nothing).await).0, 422);
    let path = json!({"spec": {"user": "bob", "nonResourceAttributes": {"verb": "get", "path": "/healthz"}}});
    assert_eq!(post(&admin, subject, &path).await.unwrap()["status"]["allowed"], true);
    let node = json!({"spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": {
        "group": "breakbulk.dev", "resource": "jobs", "verb": "list",
        "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]},
    }}});
    assert_eq!(post(&admin, subject, &node).await.unwrap()["status"]["allowed"], true);

    let request = |method: &str, accept: &str| {
        let request = http::Request::builder()
            .method(method)
            .uri(subject)
            .header("accept", accept);
        request.body(somebody("default").to_string().into_bytes()).unwrap()
    };
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    let code = |answer: kube::Result<Value>| refusal(answer).0;
    assert_eq!(code(admin.request(request("POST", table)).await), 406);
    let either = format!("{table}, application/json");
    admin.request::<Value>(request("POST", &either)).await.unwrap();
    assert_eq!(code(admin.request(request("GET", "*/*")).await), 405);
    let stranger = server.client_of("ann", &[]).await;
    assert_eq!(refusal(post(&stranger, subject, &somebody("default")).await).0, 403);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_is_strange_enough_for_a_fault_of_ours() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    let names: Vec<String> = (0..2000).map(|n| format!("r{n}")).collect();
    let huge = json!([{"verbs": names, "apiGroups": names, "resources": names}]);
    let bodies = [
        json!(null),
        json!([]),
        json!({"spec": 5}),
        json!({"metadata": 7, "spec": {"token": "a.b.c", "namespace": "x", "user": "u"}}),
        json!({"kind": "Other", "spec": {}}),
        json!({"spec": {"resourceAttributes": {"fieldSelector": {"rawSelector": "((,"}}}}),
        json!({"spec": {"resourceAttributes": {"fieldSelector": {"requirements": [{"key": "", "operator": ""}]}}}}),
        json!({"spec": {"audiences": 1, "expirationSeconds": "x", "boundObjectRef": []}}),
        json!({"spec": {"expirationSeconds": i64::MAX}}),
        json!({"metadata": {"name": "r"}, "rules": huge, "roleRef": {"kind": "ClusterRole", "name": "x"}}),
        json!({"metadata": {"name": "r"}, "rules": [7], "roleRef": 7, "subjects": {}}),
        json!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"": "((("}}]}}),
    ];
    let paths = [
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles?dryRun=All",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings?dryRun=All",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles?dryRun=All",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings?dryRun=All",
    ];
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::default_namespaced(admin.clone());
    let account = typed(json!({"metadata": {"name": "default"}}));
    accounts.create(&PostParams::default(), &account).await.unwrap();
    // One who may write roles but holds nothing: everything in them is compared.
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let writer: ClusterRole = typed(json!({
        "metadata": {"name": "writer"},
        "rules": [{"verbs": ["create"], "apiGroups": ["*"], "resources": ["*"]}],
    }));
    roles.create(&PostParams::default(), &writer).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    let writes = binding("ann-writes", "ClusterRole", "writer", &user("ann"));
    bindings.create(&PostParams::default(), &writes).await.unwrap();
    let ann = server.client_of("ann", &[]).await;
    until("ann may write", || async {
        let question = json!({"verb": "create", "resource": "roles", "group": RBAC});
        may(&ann, question).await["allowed"] == true
    })
    .await;
    for client in [&admin, &ann] {
        for path in paths {
            for body in &bodies {
                match post(client, path, body).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) => {
                        assert!(status.code < 500, "{path} {body:.200}: {status:?}");
                    }
                    Err(other) => panic!("{path}: {other}"),
                }
            }
        }
    }
    server.stop().await;
}
