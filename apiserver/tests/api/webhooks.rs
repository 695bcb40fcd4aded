//! Admission webhooks, as upstream's conformance tests `[sig-api-machinery] AdmissionWebhook` see them: each test that needs
//! no pod, under its name. Where upstream makes a definition for its custom resources, Jobs are the custom resources here.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::crud::job;
use crate::harness::{On, TestServer, refusal};
use crate::hook::{Hook, Reply, no, patched, yes};

pub(crate) type Mutating = MutatingWebhookConfiguration;
pub(crate) type Validating = ValidatingWebhookConfiguration;

/// A webhook about some resources of one group.
pub(crate) fn webhook(config: &Value, group: &str, resources: &[&str]) -> Value {
    json!({
        "name": "hook.example.com",
        "clientConfig": config,
        "rules": [{"operations": ["*"], "apiGroups": [group], "apiVersions": ["v1"], "resources": resources}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 10,
        "namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]},
        ]},
    })
}

pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Configures webhooks; when this returns they are asked.
pub(crate) async fn configure<K>(client: &Client, name: &str, webhooks: Value) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + Clone
        + DeserializeOwned
        + serde::Serialize
        + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let configuration = typed(json!({"metadata": {"name": name}, "webhooks": webhooks}));
    api.create(&PostParams::default(), &configuration).await.unwrap();
    // A read waits until the caches have what was written before.
    api.get(name).await.unwrap();
    api
}

pub(crate) fn config_map(name: &str, data: &Value) -> ConfigMap {
    typed(json!({"metadata": {"name": name}, "data": data}))
}

pub(crate) async fn create(client: &Client, name: &str, data: Value) -> kube::Result<ConfigMap> {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &config_map(name, &data)).await
}

/// What upstream's test image answers at its paths.
async fn hook() -> Hook {
    Hook::start(|path, asked| {
        let request = &asked["request"];
        let object = if request["object"].is_null() {
            &request["oldObject"]
        } else {
            &request["object"]
        };
        let stage = |key: &str| object["data"][key] == "yes";
        match path {
            "/configmaps" if object["data"]["webhook-e2e-test"] == "webhook-disallow" => {
                no(asked, "the configmap contains unwanted key and value")
            }
            "/custom-resource" if object["metadata"]["labels"]["webhook-e2e-test"] == "webhook-disallow" => {
                no(asked, "the custom resource contains unwanted data")
            }
            "/crd" => no(asked, "the crd contains unwanted label"),
            "/mutating-configmaps" if stage("mutation-start") && !stage("mutation-stage-1") => patched(
                asked,
                &json!([{"op": "add", "path": "/data/mutation-stage-1", "value": "yes"}]),
            ),
            "/mutating-configmaps-2" if stage("mutation-stage-1") => patched(
                asked,
                &json!([{"op": "add", "path": "/data/mutation-stage-2", "value": "yes"}]),
            ),
            "/mutating-custom-resource" => patched(
                asked,
                &json!([
                    {"op": "add", "path": "/spec/env", "value": [{"name": "STAGE", "value": "1"}]},
                    {"op": "add", "path": "/spec/unknown", "value": true},
                ]),
            ),
            "/always-deny" => no(asked, "this webhook denies all requests"),
            "/add-label" => patched(
                asked,
                &json!([{"op": "add", "path": "/metadata/labels", "value": {"added": "yes"}}]),
            ),
            _ => yes(asked),
        }
    })
    .await
}

/// A server, a client and a webhook.
async fn setup() -> (TestServer, Client, Hook) {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    (server, client, hook().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn deny_pod_and_configmap_creation() {
    let (server, client, hook) = setup().await;
    let config = hook.client_config("/configmaps");
    let configurations: Api<Validating> =
        configure(&client, "deny", json!([webhook(&config, "", &["pods", "configmaps"])])).await;
    let bad = json!({"webhook-e2e-test": "webhook-disallow"});
    let (code, reason, message) = refusal(create(&client, "bad", bad.clone()).await);
    assert_eq!(code, 400);
    assert_eq!(reason, "the configmap contains unwanted key and value");
    assert_eq!(
        message,
        "admission webhook \"hook.example.com\" denied the request: the configmap contains unwanted key and value"
    );
    create(&client, "good", json!({"a": "b"})).await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let put = api
        .replace("good", &PostParams::default(), &config_map("good", &bad))
        .await;
    assert!(refusal(put).2.contains("unwanted key"));
    let patch = Patch::Merge(json!({"data": bad}));
    let patch = api.patch("good", &PatchParams::default(), &patch).await;
    assert!(refusal(patch).2.contains("unwanted key"));

    let asked = hook.asked();
    let request = &asked[1]["request"];
    assert_eq!(request["operation"], "CREATE");
    assert_eq!(
        request["kind"],
        json!({"group": "", "version": "v1", "kind": "ConfigMap"})
    );
    assert_eq!(
        request["resource"],
        json!({"group": "", "version": "v1", "resource": "configmaps"})
    );
    assert_eq!(
        (&request["name"], &request["namespace"]),
        (&json!("good"), &json!("default"))
    );
    assert_eq!(
        (&request["oldObject"], &request["dryRun"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!(request["options"]["kind"], "CreateOptions");
    assert_eq!(request["object"]["data"]["a"], "b");

    // A namespace that the webhook does not look at.
    let elsewhere: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let looked_away = config_map("bad", &json!({"webhook-e2e-test": "webhook-disallow"}));
    elsewhere.create(&PostParams::default(), &looked_away).await.unwrap();
    configurations.delete("deny", &DeleteParams::default()).await.unwrap();
    let _ = configurations.list(&ListParams::default()).await.unwrap();
    create(&client, "bad", json!({"webhook-e2e-test": "webhook-disallow"}))
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deny_custom_resource_creation_update_and_deletion() {
    let (server, client, hook) = setup().await;
    let config = hook.client_config("/custom-resource");
    let hooks = json!([webhook(&config, "breakbulk.dev", &["jobs"])]);
    let _: Api<Validating> = configure(&client, "deny-cr", hooks).await;
    let api: Api<breakbulk_schemas::Job> = Api::default_namespaced(client.clone());
    let mut bad = job("bad");
    bad.metadata.labels = Some([("webhook-e2e-test".to_owned(), "webhook-disallow".to_owned())].into());
    let denied = refusal(api.create(&PostParams::default(), &bad).await);
    assert!(denied.2.contains("the custom resource contains unwanted data"));
    api.create(&PostParams::default(), &job("good")).await.unwrap();
    let label = Patch::Merge(json!({"metadata": {"labels": {"webhook-e2e-test": "webhook-disallow"}}}));
    let denied = refusal(api.patch("good", &PatchParams::default(), &label).await);
    assert!(denied.2.contains("the custom resource contains unwanted data"));

    // What goes is the old object; the label came while nobody looked.
    let configurations: Api<Validating> = Api::all(client.clone());
    let other = Patch::Merge(json!({"webhooks": [webhook(&hook.client_config("/yes"), "breakbulk.dev", &["jobs"])]}));
    configurations
        .patch("deny-cr", &PatchParams::default(), &other)
        .await
        .unwrap();
    configurations.get("deny-cr").await.unwrap();
    api.patch("good", &PatchParams::default(), &label).await.unwrap();
    let back = Patch::Merge(json!({"webhooks": [webhook(&config, "breakbulk.dev", &["jobs"])]}));
    configurations
        .patch("deny-cr", &PatchParams::default(), &back)
        .await
        .unwrap();
    configurations.get("deny-cr").await.unwrap();
    let denied = refusal(api.delete("good", &DeleteParams::default()).await.map(|_| ()));
    assert!(denied.2.contains("the custom resource contains unwanted data"));
    let last = hook.asked().pop().unwrap();
    assert_eq!(last["request"]["operation"], "DELETE");
    assert!(last["request"]["object"].is_null() && last["request"]["oldObject"].is_object());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_deny_crd_creation() {
    let (server, client, hook) = setup().await;
    let rules = webhook(
        &hook.client_config("/crd"),
        "apiextensions.k8s.io",
        &["customresourcedefinitions"],
    );
    let _: Api<Validating> = configure(&client, "deny-crd", json!([rules])).await;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = typed(json!({
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    }));
    let denied = refusal(api.create(&PostParams::default(), &definition).await);
    assert!(denied.2.contains("the crd contains unwanted label"), "{denied:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_unconditionally_reject_operations_on_fail_closed_webhook() {
    let (server, client, hook) = setup().await;
    // Nobody has signed its certificate as far as this bundle goes.
    let other = Hook::start(|_, asked| yes(asked)).await;
    let mut config = hook.client_config("/yes");
    config["caBundle"] = other.client_config("/")["caBundle"].clone();
    let mut closed = webhook(&config, "", &["configmaps"]);
    closed["namespaceSelector"] = json!({"matchLabels": {"closed": "yes"}});
    let _: Api<Validating> = configure(&client, "closed", json!([closed])).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = typed(json!({"metadata": {"name": "shut", "labels": {"closed": "yes"}}}));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    namespaces.get("shut").await.unwrap();
    let inside: Api<ConfigMap> = Api::namespaced(client.clone(), "shut");
    let (code, reason, message) = refusal(
        inside
            .create(&PostParams::default(), &config_map("a", &json!({})))
            .await,
    );
    assert_eq!((code, reason.as_str()), (500, "InternalError"));
    let begin = "Internal error occurred: failed calling webhook \"hook.example.com\": failed to call webhook: Post \"https://127.0.0.1:";
    assert!(message.starts_with(begin), "{message}");
    create(&client, "a", json!({})).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_mutate_configmap_and_ask_again_what_wishes_it() {
    let (server, client, hook) = setup().await;
    let one = |path: &str, name: &str| {
        let mut one = webhook(&hook.client_config(path), "", &["configmaps"]);
        one["name"] = json!(name);
        one
    };
    let in_order = json!([
        one("/mutating-configmaps", "a.x.y"),
        one("/mutating-configmaps-2", "b.x.y")
    ]);
    let configurations: Api<Mutating> = configure(&client, "mutate", in_order).await;
    let start = json!({"mutation-start": "yes"});
    let made = create(&client, "one", start.clone()).await.unwrap();
    let keys: Vec<String> = made.data.unwrap().into_keys().collect();
    assert_eq!(keys, ["mutation-stage-1", "mutation-stage-2", "mutation-start"]);

    // In the other order the second stage comes only to one that is asked again.
    configurations.delete("mutate", &DeleteParams::default()).await.unwrap();
    for (policy, expected) in [("Never", 2), ("IfNeeded", 3)] {
        let mut first = one("/mutating-configmaps-2", "a.x.y");
        first["reinvocationPolicy"] = json!(policy);
        let name = policy.to_lowercase();
        let _: Api<Mutating> = configure(&client, &name, json!([first, one("/mutating-configmaps", "b.x.y")])).await;
        let made = create(&client, &name, start.clone()).await.unwrap();
        assert_eq!(made.data.unwrap().len(), expected, "{policy}");
        configurations.delete(&name, &DeleteParams::default()).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_mutate_custom_resource_with_pruning() {
    let (server, client, hook) = setup().await;
    let hooks = json!([webhook(
        &hook.client_config("/mutating-custom-resource"),
        "breakbulk.dev",
        &["jobs"]
    )]);
    let _: Api<Mutating> = configure(&client, "mutate-cr", hooks).await;
    let api: Api<kube::core::DynamicObject> = {
        let kind = kube::core::ApiResource::erase::<breakbulk_schemas::Job>(&());
        Api::default_namespaced_with(client.clone(), &kind)
    };
    let given = serde_json::to_value(job("mutated")).unwrap();
    let made = api.create(&PostParams::default(), &typed(given)).await.unwrap();
    assert_eq!(made.data["spec"]["env"][0]["name"], "STAGE");
    assert!(made.data["spec"].get("unknown").is_none(), "{}", made.data["spec"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_mutate_everything_except_skip_me_configmaps() {
    let (server, client, hook) = setup().await;
    let mut all = webhook(&hook.client_config("/add-label"), "*", &["*/*"]);
    all["matchConditions"] = json!([
        {"name": "configmaps-only", "expression": "request.resource.resource == \"configmaps\" && request.operation != 'DELETE'"},
        {"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"},
    ]);
    let _: Api<Mutating> = configure(&client, "everything", json!([all])).await;
    let skipped = create(&client, "skip-me", json!({})).await.unwrap();
    assert!(skipped.labels().is_empty());
    let changed = create(&client, "not-me", json!({})).await.unwrap();
    assert_eq!(changed.labels()["added"], "yes");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_not_be_able_to_mutate_or_prevent_deletion_of_webhook_configuration_objects() {
    let (server, client, hook) = setup().await;
    let about = |path: &str| webhook(&hook.client_config(path), "*", &["*/*"]);
    let _: Api<Mutating> = configure(&client, "mutate-configurations", json!([about("/add-label")])).await;
    let _: Api<Validating> = configure(&client, "keep-configurations", json!([about("/always-deny")])).await;
    let other = json!([webhook(&hook.client_config("/yes"), "", &["configmaps"])]);
    let validating: Api<Validating> = configure(&client, "other", other.clone()).await;
    assert!(validating.get("other").await.unwrap().labels().is_empty());
    let mutating: Api<Mutating> = configure(&client, "other", other).await;
    assert!(mutating.get("other").await.unwrap().labels().is_empty());
    for name in ["other", "keep-configurations"] {
        validating.delete(name, &DeleteParams::default()).await.unwrap();
    }
    mutating.delete("other", &DeleteParams::default()).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_honor_timeout() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let hook = Hook::start(|path, asked| if path == "/never" { Reply::Nothing } else { yes(asked) }).await;
    let mut slow = webhook(&hook.client_config("/never"), "", &["configmaps"]);
    slow["timeoutSeconds"] = json!(1);
    let configurations: Api<Validating> = configure(&client, "slow", json!([slow])).await;
    let (code, _, message) = refusal(create(&client, "a", json!({})).await);
    assert_eq!(code, 500);
    assert!(
        message.ends_with("/never?timeout=1s\": context deadline exceeded"),
        "{message}"
    );
    // Open: the request goes on without it.
    slow["failurePolicy"] = json!("Ignore");
    let open = Patch::Merge(json!({"webhooks": [slow]}));
    configurations
        .patch("slow", &PatchParams::default(), &open)
        .await
        .unwrap();
    configurations.get("slow").await.unwrap();
    create(&client, "a", json!({})).await.unwrap();
    // In time: asked, and heard.
    let quick = Patch::Merge(json!({"webhooks": [webhook(&hook.client_config("/yes"), "", &["configmaps"])]}));
    configurations
        .patch("slow", &PatchParams::default(), &quick)
        .await
        .unwrap();
    configurations.get("slow").await.unwrap();
    create(&client, "b", json!({})).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_include_webhook_resources_in_discovery_documents() {
    let (server, client, _hook) = setup().await;
    let groups = client.list_api_groups().await.unwrap().groups;
    assert!(groups.iter().any(|group| group.name == "admissionregistration.k8s.io"));
    let resources = client
        .list_api_group_resources("admissionregistration.k8s.io/v1")
        .await
        .unwrap();
    for name in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        assert!(
            resources.resources.iter().any(|resource| resource.name == name),
            "{name}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_patching_and_updating_webhooks_should_work() {
    let (server, client, hook) = setup().await;
    let hooks = json!([webhook(&hook.client_config("/configmaps"), "", &["configmaps"])]);
    let api: Api<Validating> = Api::all(client.clone());
    for number in 0..3 {
        let given: Validating = typed(json!({
            "metadata": {"name": format!("listed-{number}"), "labels": {"list": "me"}}, "webhooks": hooks,
        }));
        api.create(&PostParams::default(), &given).await.unwrap();
    }
    let bad = json!({"webhook-e2e-test": "webhook-disallow"});
    assert_eq!(
        api.list(&ListParams::default().labels("list=me"))
            .await
            .unwrap()
            .items
            .len(),
        3
    );
    assert!(create(&client, "a", bad.clone()).await.is_err());

    // Defaults are written out.
    let mut one = api.get("listed-0").await.unwrap();
    let written = one.webhooks.as_mut().unwrap();
    assert_eq!(written[0].failure_policy.as_deref(), Some("Fail"));
    assert_eq!(written[0].match_policy.as_deref(), Some("Equivalent"));
    assert_eq!(written[0].rules.as_ref().unwrap()[0].scope.as_deref(), Some("*"));

    // Without CREATE it does not look any more; with it, it does again.
    let everything = ListParams::default().labels("list=me");
    api.delete_collection(&DeleteParams::default(), &everything)
        .await
        .unwrap();
    let api: Api<Validating> = configure(&client, "one", hooks.clone()).await;
    let mut one = api.get("one").await.unwrap();
    one.webhooks.as_mut().unwrap()[0].rules.as_mut().unwrap()[0].operations = Some(vec!["UPDATE".to_owned()]);
    api.replace("one", &PostParams::default(), &one).await.unwrap();
    api.get("one").await.unwrap();
    create(&client, "a", bad.clone()).await.unwrap();
    let back = json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]);
    let back: Patch<()> = Patch::Json(typed(back));
    api.patch("one", &PatchParams::default(), &back).await.unwrap();
    api.get("one").await.unwrap();
    assert!(create(&client, "b", bad).await.is_err());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_with_match_conditions_are_accepted_and_with_invalid_ones_refused() {
    let (server, client, hook) = setup().await;
    let with = |conditions: Value| {
        let mut with = webhook(&hook.client_config("/yes"), "", &["configmaps"]);
        with["matchConditions"] = conditions;
        json!([with])
    };
    let fine = json!([{"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}]);
    let validating: Api<Validating> = configure(&client, "fine", with(fine.clone())).await;
    let mutating: Api<Mutating> = configure(&client, "fine", with(fine)).await;
    let more = json!([{"name": "expression-1", "expression": "true"}, {"name": "expression-2", "expression": "!has(object.spec)"}]);
    let patch = Patch::Merge(json!({"webhooks": with(more)}));
    validating.patch("fine", &PatchParams::default(), &patch).await.unwrap();
    mutating.patch("fine", &PatchParams::default(), &patch).await.unwrap();

    let bad = json!([{"name": "invalid", "expression": "... [] bad expression"}]);
    let given: Validating = typed(json!({"metadata": {"name": "bad"}, "webhooks": with(bad.clone())}));
    let (code, _, message) = refusal(validating.create(&PostParams::default(), &given).await);
    assert_eq!(code, 422);
    assert!(message.contains("compilation failed"), "{message}");
    let given: Mutating = typed(json!({"metadata": {"name": "bad"}, "webhooks": with(bad)}));
    let (_, _, message) = refusal(mutating.create(&PostParams::default(), &given).await);
    assert!(
        message.contains("webhooks[0].matchConditions[0].expression: Invalid value"),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_objects_in_the_version_that_its_rule_names() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let hook =
        Hook::start(|_, asked| patched(asked, &json!([{"op": "replace", "path": "/note", "value": "changed"}]))).await;
    let mut equivalent = webhook(&hook.client_config("/"), "events.k8s.io", &["events"]);
    let configurations: Api<Mutating> = configure(&client, "events", json!([equivalent])).await;
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client.clone());
    let event = |name: &str| {
        typed(json!({
            "metadata": {"name": name, "namespace": "default"}, "message": "first", "reason": "R", "type": "Normal",
            "involvedObject": {"namespace": "default"},
        }))
    };
    let made = events.create(&PostParams::default(), &event("a")).await.unwrap();
    assert_eq!(made.message.as_deref(), Some("changed"));
    let request = hook.asked().pop().unwrap()["request"].clone();
    assert_eq!(
        (&request["kind"]["group"], &request["requestKind"]["group"]),
        (&json!("events.k8s.io"), &json!(""))
    );
    assert_eq!(
        (&request["object"]["apiVersion"], &request["object"]["note"]),
        (&json!("events.k8s.io/v1"), &json!("first"))
    );

    // By the letter it is not meant.
    equivalent["matchPolicy"] = json!("Exact");
    let exact = Patch::Merge(json!({"webhooks": [equivalent]}));
    configurations
        .patch("events", &PatchParams::default(), &exact)
        .await
        .unwrap();
    configurations.get("events").await.unwrap();
    let made = events.create(&PostParams::default(), &event("b")).await.unwrap();
    assert_eq!(made.message.as_deref(), Some("first"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_selected_by_the_labels_they_have_or_had_and_subresources_by_their_name() {
    let (server, client, hook) = setup().await;
    let mut labelled = webhook(
        &hook.client_config("/always-deny"),
        "breakbulk.dev",
        &["jobs", "jobs/status"],
    );
    labelled["objectSelector"] = json!({"matchExpressions": [{"key": "seen", "operator": "Exists"}]});
    labelled["rules"][0]["operations"] = json!(["UPDATE"]);
    let _: Api<Validating> = configure(&client, "labelled", json!([labelled])).await;
    let api: Api<breakbulk_schemas::Job> = Api::default_namespaced(client.clone());
    let mut seen = job("seen");
    seen.metadata.labels = Some([("seen".to_owned(), String::new())].into());
    api.create(&PostParams::default(), &seen).await.unwrap();
    api.create(&PostParams::default(), &job("unseen")).await.unwrap();
    let status = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    let denied = refusal(api.patch_status("seen", &PatchParams::default(), &status).await);
    assert!(denied.2.contains("this webhook denies all requests"));
    assert_eq!(hook.asked().pop().unwrap()["request"]["subResource"], "status");
    let bare = Patch::Merge(json!({"metadata": {"labels": {"seen": null}}}));
    assert!(
        refusal(api.patch("seen", &PatchParams::default(), &bare).await)
            .2
            .contains("denies all")
    );
    api.patch_status("unseen", &PatchParams::default(), &status)
        .await
        .unwrap();
    server.stop().await;
}
