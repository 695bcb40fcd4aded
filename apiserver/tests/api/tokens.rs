//! Bearer tokens of ServiceAccounts, from the request for one to the account's end.

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{On, TestServer, refusal};
use crate::watch::until;

const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEW: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

async fn post(client: &kube::Client, path: &str, body: &Value) -> kube::Result<Value> {
    let request = http::Request::post(path).body(body.to_string().into_bytes()).unwrap();
    client.request(request).await
}

async fn account(client: &kube::Client, name: &str) -> ServiceAccount {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    accounts.create(&PostParams::default(), &object).await.unwrap()
}

async fn token(client: &kube::Client, name: &str, spec: Value) -> kube::Result<Value> {
    let path = format!("/api/v1/namespaces/default/serviceaccounts/{name}/token");
    post(client, &path, &json!({"spec": spec})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lives_as_long_as_its_account() {
    let mut server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    let made = account(&admin, "ci").await;
    let answer = token(&admin, "ci", json!({})).await.unwrap();
    assert_eq!(
        (answer["kind"].as_str(), answer["apiVersion"].as_str()),
        (Some("TokenRequest"), Some("authentication.k8s.io/v1"))
    );
    assert_eq!(answer["spec"]["expirationSeconds"], 3600);
    let bearer = answer["status"]["token"].as_str().unwrap().to_owned();

    let ci = server.client_with_token(&bearer).await;
    let me = post(&ci, WHOAMI, &json!({})).await.unwrap();
    let info = &me["status"]["userInfo"];
    assert_eq!(info["username"], "system:serviceaccount:default:ci");
    assert_eq!(info["uid"].as_str(), made.metadata.uid.as_deref());
    assert_eq!(
        info["groups"],
        json!([
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ])
    );
    let credential = info["extra"]["authentication.kubernetes.io/credential-id"][0].as_str();
    assert!(credential.unwrap().starts_with("JTI="));
    let maps: Api<ConfigMap> = Api::default_namespaced(ci.clone());
    assert_eq!(refusal(maps.list(&ListParams::default()).await).0, 403);

    let review = post(&admin, REVIEW, &json!({"spec": {"token": bearer}})).await.unwrap();
    assert_eq!(review["status"]["authenticated"], true);
    assert_eq!(review["status"]["user"]["username"], info["username"]);
    assert_eq!(review["status"]["audiences"], json!(["https://kubernetes.default.svc"]));

    // The key outlives the server.
    server.restart().await;
    let ci = server.client_with_token(&bearer).await;
    post(&ci, WHOAMI, &json!({})).await.unwrap();

    let admin = server.client().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    accounts.delete("ci", &DeleteParams::default()).await.unwrap();
    until("the token is worth nothing", || async {
        post(&ci, WHOAMI, &json!({})).await.is_err()
    })
    .await;
    let (code, reason, message) = refusal(post(&ci, WHOAMI, &json!({})).await);
    assert_eq!(
        (code, reason.as_str(), message.as_str()),
        (401, "Unauthorized", "Unauthorized")
    );
    account(&admin, "ci").await;
    assert_eq!(
        refusal(post(&ci, WHOAMI, &json!({})).await).0,
        401,
        "another account of that name"
    );
    let review = post(&admin, REVIEW, &json!({"spec": {"token": bearer}})).await.unwrap();
    assert_eq!(
        review["status"],
        json!({"authenticated": false, "user": {}, "error": "invalid bearer token"})
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_others_is_none_for_this_server() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    account(&admin, "ci").await;
    let spec = json!({"audiences": ["vault", "registry"]});
    let answer = token(&admin, "ci", spec).await.unwrap();
    let bearer = answer["status"]["token"].as_str().unwrap();
    let ci = server.client_with_token(bearer).await;
    assert_eq!(refusal(post(&ci, WHOAMI, &json!({})).await).0, 401);
    let ask = |audiences: Value| json!({"spec": {"token": bearer, "audiences": audiences}});
    let theirs = post(&admin, REVIEW, &ask(json!(["other", "vault"]))).await.unwrap();
    assert_eq!(theirs["status"]["audiences"], json!(["vault"]));
    let ours = post(&admin, REVIEW, &ask(json!([]))).await.unwrap();
    assert_eq!(ours["status"]["authenticated"], false);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_token_goes_with_what_it_is_bound_to() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    account(&admin, "ci").await;
    let secrets: Api<Secret> = Api::default_namespaced(admin.clone());
    let secret = serde_json::from_value(json!({"metadata": {"name": "s"}})).unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let bound = |name: &str, uid: &str| {
        let reference = json!({"apiVersion": "v1", "kind": "Secret", "name": name, "uid": uid});
        json!({"boundObjectRef": reference, "expirationSeconds": 600})
    };
    let answer = token(&admin, "ci", bound("s", "")).await.unwrap();
    let ci = server
        .client_with_token(answer["status"]["token"].as_str().unwrap())
        .await;
    post(&ci, WHOAMI, &json!({})).await.unwrap();
    secrets.delete("s", &DeleteParams::default()).await.unwrap();
    until("the token goes with the secret", || async {
        post(&ci, WHOAMI, &json!({})).await.is_err()
    })
    .await;

    assert_eq!(refusal(token(&admin, "ci", bound("s", "")).await).0, 404);
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(refusal(token(&admin, "ci", bound("s", "other")).await).0, 409);
    let map = json!({"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "s"}});
    assert_eq!(refusal(token(&admin, "ci", map).await).0, 400);
    assert_eq!(refusal(token(&admin, "nobody", json!({})).await).0, 404);
    let (code, _, message) = refusal(token(&admin, "ci", json!({"expirationSeconds": 599})).await);
    assert_eq!(code, 422);
    assert!(
        message.contains("may not specify a duration less than 10 minutes"),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_token_is_refused_everywhere_and_no_token_reaches_health_alone() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    account(&admin, "ci").await;
    let answer = token(&admin, "ci", json!({})).await.unwrap();
    let good = answer["status"]["token"].as_str().unwrap().to_owned();
    let (signed, _) = good.rsplit_once('.').unwrap();
    for bad in ["abc", "a.b.c", &format!("{signed}.AAAA"), &"x".repeat(20_000)] {
        let client = server.client_with_token(bad).await;
        for path in [
            "/version",
            "/livez",
            "/api/v1/namespaces",
            "/apis/breakbulk.dev/v1/jobs?watch=true",
        ] {
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            let (code, reason, _) = refusal(client.request::<Value>(request).await);
            assert_eq!((code, reason.as_str()), (401, "Unauthorized"), "{path}");
        }
    }
    let nobody = server.client_without_credentials().await;
    assert_eq!(nobody.apiserver_version().await.unwrap().minor, "33");
    let request = http::Request::get("/livez").body(Vec::new()).unwrap();
    assert_eq!(nobody.request_text(request).await.unwrap(), "ok");
    for path in ["/api", "/apis", "/metrics", "/openapi/v3", "/openid/v1/jwks"] {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let (code, _, message) = refusal(nobody.request::<Value>(request).await);
        assert_eq!(code, 403);
        assert_eq!(
            message,
            format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\"")
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_can_check_our_tokens_themselves() {
    let server = TestServer::start(On::Embedded).await;
    let admin = server.client().await;
    account(&admin, "ci").await;
    let answer = token(&admin, "ci", json!({})).await.unwrap();
    let ci = server
        .client_with_token(answer["status"]["token"].as_str().unwrap())
        .await;
    let get = |path: &str| http::Request::get(path).body(Vec::new()).unwrap();
    let configuration: Value = ci.request(get("/.well-known/openid-configuration")).await.unwrap();
    assert_eq!(configuration["issuer"], "https://kubernetes.default.svc");
    assert_eq!(configuration["jwks_uri"], format!("{}/openid/v1/jwks", server.url));
    let keys: Value = ci.request(get("/openid/v1/jwks")).await.unwrap();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    server.stop().await;
}

/// The public keys, by their ids, that a server gives to those who check tokens themselves.
async fn key_ids(client: &kube::Client) -> Vec<String> {
    let request = http::Request::get("/openid/v1/jwks").body(Vec::new()).unwrap();
    let set: Value = client.request(request).await.unwrap();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_taken_up_by_all_servers_and_tokens_of_the_old_one_stay_good() {
    let mut first = TestServer::start(On::Etcd).await;
    let second = TestServer::start_with(On::Embedded, |config| {
        config.store = first.store();
        config.pki_dir = first.pki_dir();
    })
    .await;
    let admin = first.client().await;
    account(&admin, "ci").await;
    let bearer = |answer: Value| answer["status"]["token"].as_str().unwrap().to_owned();
    let old = bearer(token(&admin, "ci", json!({})).await.unwrap());
    let before = key_ids(&admin).await;

    let kept = breakbulk_apiserver::pki::rotate_service_account_key(&first.pki_dir()).unwrap();
    first.restart().await;
    let admin = first.client().await;
    let after = key_ids(&admin).await;
    assert_eq!((after.len(), &after[1]), (2, &before[0]));
    let new = bearer(token(&admin, "ci", json!({})).await.unwrap());
    // The second server has not begun anew: a key that it does not know is looked for, though not at any time.
    let reviewer = second.client().await;
    let known = || async {
        let review = post(&reviewer, REVIEW, &json!({"spec": {"token": new}})).await.unwrap();
        review["status"]["authenticated"] == true
    };
    until("the second server knows the new key", known).await;
    for bearer in [&old, &new] {
        let client = first.client_with_token(bearer).await;
        assert!(post(&client, WHOAMI, &json!({})).await.is_ok());
    }

    std::fs::remove_file(kept).unwrap();
    first.restart().await;
    let client = first.client_with_token(&old).await;
    assert_eq!(refusal(post(&client, WHOAMI, &json!({})).await).0, 401);
    first.stop().await;
    second.stop().await;
}
