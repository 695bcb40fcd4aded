//! Admission policies, as upstream's conformance tests `[sig-api-machinery] ValidatingAdmissionPolicy` see them, and the
//! rest of what they can do. Where upstream validates Deployments, Jobs and ConfigMaps are validated here.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use crate::crud::job;
use crate::harness::{On, TestServer, refusal};
use crate::webhooks::{create, typed};

type Policy = ValidatingAdmissionPolicy;
type Binding = ValidatingAdmissionPolicyBinding;

fn about(group: &str, resource: &str) -> Value {
    json!({"resourceRules": [
        {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]},
    ]})
}

/// Puts a policy about ConfigMaps in force; when this returns it is.
async fn enforce(client: &Client, name: &str, policy: Value, binding: Value) {
    let mut spec = json!({"matchConstraints": about("", "configmaps")});
    merge(&mut spec, policy);
    let policies: Api<Policy> = Api::all(client.clone());
    let given = typed(json!({"metadata": {"name": name}, "spec": spec}));
    policies.create(&PostParams::default(), &given).await.unwrap();
    let mut spec = json!({"policyName": name, "validationActions": ["Deny"]});
    merge(&mut spec, binding);
    let bindings: Api<Binding> = Api::all(client.clone());
    let given = typed(json!({"metadata": {"name": format!("{name}-binding")}, "spec": spec}));
    bindings.create(&PostParams::default(), &given).await.unwrap();
    // A read waits until the caches have what was written before.
    bindings.get(&format!("{name}-binding")).await.unwrap();
}

fn merge(into: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        into.as_object_mut().unwrap().extend(more);
    }
}

async fn withdraw(client: &Client, name: &str) {
    let bindings: Api<Binding> = Api::all(client.clone());
    bindings
        .delete(&format!("{name}-binding"), &DeleteParams::default())
        .await
        .unwrap();
    let policies: Api<Policy> = Api::all(client.clone());
    policies.delete(name, &DeleteParams::default()).await.unwrap();
    policies.list(&ListParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn should_allow_expressions_to_refer_variables() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let policy = json!({
        "matchConstraints": about("breakbulk.dev", "jobs"),
        "variables": [
            {"name": "name", "expression": "object.metadata.name"},
            {"name": "oddName", "expression": "variables.name.size() % 2 == 1"},
        ],
        "validations": [
            {"expression": "variables.oddName"},
            {"expression": "variables.name.startsWith('a')", "message": "must begin with a", "reason": "Forbidden"},
            {"expression": "variables.name != 'abc'", "messageExpression": "variables.name + ' is taken'"},
        ],
    });
    enforce(&client, "names", policy, json!({})).await;
    let api: Api<breakbulk_schemas::Job> = Api::default_namespaced(client.clone());
    let made = |name: &str| {
        let (api, job) = (api.clone(), job(name));
        async move { api.create(&PostParams::default(), &job).await }
    };
    made("abz").await.unwrap();
    let says = "is forbidden: ValidatingAdmissionPolicy 'names' with binding 'names-binding' denied request:";
    let (code, reason, message) = refusal(made("ab").await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert_eq!(
        message,
        format!("jobs.breakbulk.dev \"ab\" {says} failed expression: variables.oddName")
    );
    let (code, reason, message) = refusal(made("xyz").await);
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(message, format!("jobs.breakbulk.dev \"xyz\" {says} must begin with a"));
    let (_, _, message) = refusal(made("abc").await);
    assert_eq!(message, format!("jobs.breakbulk.dev \"abc\" {says} abc is taken"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn params_come_by_name_or_selector_and_their_lack_has_its_own_action() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let policy = || {
        json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConditions": [{"name": "others", "expression": "!object.metadata.name.startsWith('limit')"}],
            "validations": [{
                "expression": "object.data.size() <= int(params.data.max)",
                "messageExpression": "'at most ' + params.data.max + ' in ' + namespaceObject.metadata.name",
            }],
        })
    };
    let labelled: ConfigMap =
        typed(json!({"metadata": {"name": "limit", "labels": {"limit": "yes"}}, "data": {"max": "1"}}));
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &labelled).await.unwrap();
    for (name, reference) in [
        (
            "by-name",
            json!({"name": "limit", "namespace": "default", "parameterNotFoundAction": "Deny"}),
        ),
        (
            "by-label",
            json!({"selector": {"matchLabels": {"limit": "yes"}}, "parameterNotFoundAction": "Deny"}),
        ),
    ] {
        enforce(&client, name, policy(), json!({"paramRef": reference})).await;
        create(&client, name, json!({"a": "b"})).await.unwrap();
        let (_, _, message) = refusal(create(&client, "more", json!({"a": "b", "c": "d"})).await);
        assert!(message.ends_with("denied request: at most 1 in default"), "{message}");
        withdraw(&client, name).await;
    }
    let missing = |action: &str| json!({"paramRef": {"name": "none", "parameterNotFoundAction": action}});
    enforce(&client, "allow", policy(), missing("Allow")).await;
    create(&client, "allowed", json!({"a": "b", "c": "d"})).await.unwrap();
    withdraw(&client, "allow").await;
    enforce(&client, "deny", policy(), missing("Deny")).await;
    let (_, _, message) = refusal(create(&client, "denied", json!({})).await);
    let words = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    assert!(message.ends_with(words), "{message}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_warns_where_the_binding_says_so_and_stops_nothing() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let policy = json!({"validations": [{"expression": "false", "message": "never"}]});
    enforce(&client, "warn", policy, json!({"validationActions": ["Warn", "Audit"]})).await;
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("content-type", "application/json")
        .body(kube::client::Body::from(
            json!({"metadata": {"name": "a"}}).to_string().into_bytes(),
        ))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(
        answer.headers()["warning"],
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'warn' with binding 'warn-binding': never\""
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_value_follows_the_failure_policy() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let policy =
        |failure: &str| json!({"failurePolicy": failure, "validations": [{"expression": "object.data.none == 'x'"}]});
    enforce(&client, "fail", policy("Fail"), json!({})).await;
    let (code, _, message) = refusal(create(&client, "a", json!({"b": "c"})).await);
    assert_eq!(code, 422);
    let words = "expression 'object.data.none == 'x'' resulted in error: no such key: none";
    assert!(message.ends_with(words), "{message}");
    withdraw(&client, "fail").await;
    enforce(&client, "ignore", policy("Ignore"), json!({})).await;
    create(&client, "a", json!({"b": "c"})).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_ask_what_the_client_may_and_see_what_was() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let policy = json!({"validations": [
        {"expression": "authorizer.group('').resource('secrets').namespace('default').check('list').allowed()"},
        {"expression": "authorizer.requestResource.check('delete').allowed()"},
        {"expression": "request.operation == 'CREATE' ? oldObject == null : oldObject.data.a == object.data.a", "message": "a stays"},
        {"expression": "request.userInfo.username == 'admin' && !request.dryRun"},
    ]});
    enforce(&client, "asks", policy, json!({})).await;
    create(&client, "a", json!({"a": "1"})).await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let patch = |value: &str| Patch::Merge(json!({"data": {"a": value, "b": "x"}}));
    api.patch("a", &PatchParams::default(), &patch("1")).await.unwrap();
    let (_, _, message) = refusal(api.patch("a", &PatchParams::default(), &patch("2")).await);
    assert!(message.ends_with("denied request: a stays"), "{message}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_expressions_that_do_not_fit_the_kind() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let policies: Api<Policy> = Api::all(client.clone());
    let jobs = ("breakbulk.dev", "jobs");
    let maps = ("", "configmaps");
    for (name, (group, plural), expression, warning) in [
        ("fits", jobs, "object.spec.script != ''", ""),
        ("has-labels", jobs, "object.metadata.labels['a'] == ''", ""),
        (
            "does-not",
            jobs,
            "object.spec.replicas > 1",
            "breakbulk.dev/v1, Kind=Job: ERROR: <input>:1:12: undefined field 'replicas'",
        ),
        ("map-fits", maps, "object.data.a == 'x' && object.immutable", ""),
        (
            "map-does-not",
            maps,
            "object.spec.replicas > 1",
            "/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'spec'",
        ),
        (
            "wrong-type",
            ("", "nodes"),
            "object.spec.taints.exists(t, t.effect > 1)",
            "/v1, Kind=Node: ERROR: <input>:1:39: found no matching overload for '_>_' applied to '(string, int)'",
        ),
        ("unknown", ("", "endpoints"), "object.no.such > 1", ""),
    ] {
        let spec = json!({"matchConstraints": about(group, plural), "validations": [{"expression": expression}]});
        let given = typed(json!({"metadata": {"name": name}, "spec": spec}));
        policies.create(&PostParams::default(), &given).await.unwrap();
        let observed = |policy: Option<&Policy>| {
            policy
                .and_then(|p| p.status.as_ref())
                .and_then(|s| s.observed_generation)
                == Some(1)
        };
        let policy = await_condition(policies.clone(), name, observed)
            .await
            .unwrap()
            .unwrap();
        let warnings = policy
            .status
            .unwrap()
            .type_checking
            .and_then(|check| check.expression_warnings);
        let warnings = warnings.unwrap_or_default();
        assert_eq!(warnings.is_empty(), warning.is_empty(), "{name}: {warnings:?}");
        for found in &warnings {
            assert_eq!(found.field_ref, "spec.validations[0].expression");
            assert!(found.warning.starts_with(warning), "{}", found.warning);
            assert!(found.warning.ends_with("^\n"), "{:?}", found.warning);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validating_admission_policy_and_binding_api_operations() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let group = client
        .list_api_group_resources("admissionregistration.k8s.io/v1")
        .await
        .unwrap();
    for name in [
        "validatingadmissionpolicies",
        "validatingadmissionpolicies/status",
        "validatingadmissionpolicybindings",
    ] {
        assert!(group.resources.iter().any(|resource| resource.name == name), "{name}");
    }
    let policies: Api<Policy> = Api::all(client.clone());
    let given: Policy = typed(json!({"metadata": {"name": "p", "labels": {"x": "y"}}, "spec": {
        "matchConstraints": about("", "configmaps"), "validations": [{"expression": "true"}],
    }}));
    let made = policies.create(&PostParams::default(), &given).await.unwrap();
    let constraints = made.spec.unwrap().match_constraints.unwrap();
    assert_eq!(constraints.match_policy.as_deref(), Some("Equivalent"));
    assert!(constraints.namespace_selector.is_some() && constraints.object_selector.is_some());
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"patched": "true"}}}));
    policies.patch("p", &PatchParams::default(), &patch).await.unwrap();
    let status = Patch::Merge(json!({"status": {"conditions": [{
        "type": "StatusPatched", "status": "True", "reason": "E2E", "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z",
    }]}}));
    let patched = policies
        .patch_status("p", &PatchParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(patched.status.unwrap().conditions.unwrap()[0].type_, "StatusPatched");
    let all = ListParams::default().labels("x=y");
    assert_eq!(policies.list(&all).await.unwrap().items.len(), 1);
    policies
        .delete_collection(&DeleteParams::default(), &all)
        .await
        .unwrap();
    assert!(policies.list(&all).await.unwrap().items.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_policy_is_told_when_it_is_written() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let policies: Api<Policy> = Api::all(client.clone());
    let given = typed(json!({"metadata": {"name": "bad"}, "spec": {
        "paramKind": {"apiVersion": "a/b/c", "kind": ""},
        "matchConstraints": {"resourceRules": []},
        "variables": [{"name": "a-b", "expression": "1 +"}],
        "validations": [
            {"expression": "'text'", "reason": "Whim"},
            {"expression": "true", "messageExpression": "authorizer.path('/x').check('get').reason()"},
        ],
        "auditAnnotations": [{"key": "k", "valueExpression": "1"}],
    }}));
    let (code, _, message) = refusal(policies.create(&PostParams::default(), &given).await);
    assert_eq!(code, 422);
    for words in [
        "spec.paramKind.apiVersion: Invalid value: \"a/b/c\"",
        "spec.paramKind.kind: Required value",
        "spec.matchConstraints.resourceRules: Required value",
        "spec.variables[0].name: Invalid value: \"a-b\": name is not a valid CEL identifier",
        "spec.variables[0].expression: Invalid value: \"1 +\": compilation failed: ERROR: <input>:1:",
        "spec.validations[0].expression: Invalid value: \"'text'\": must evaluate to bool",
        "spec.validations[0].reason: Unsupported value: \"Whim\": supported values: \"Forbidden\", \"Invalid\"",
        "spec.validations[1].messageExpression: Invalid value",
        "undeclared reference to 'authorizer'",
        "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null",
    ] {
        assert!(message.contains(words), "{words} in {message}");
    }
    let bindings: Api<Binding> = Api::all(client.clone());
    let given = typed(json!({"metadata": {"name": "bad"}, "spec": {
        "paramRef": {"name": "a", "selector": {}}, "validationActions": ["Deny", "Warn", "Deny"],
    }}));
    let (_, _, message) = refusal(bindings.create(&PostParams::default(), &given).await);
    for words in [
        "spec.policyName: Required value",
        "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
        "spec.paramRef.parameterNotFoundAction: Required value",
        "spec.validationActions[2]: Duplicate value: \"Deny\"",
        "must not contain both Deny and Warn",
    ] {
        assert!(message.contains(words), "{words} in {message}");
    }
    server.stop().await;
}
