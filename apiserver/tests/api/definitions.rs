//! CustomResourceDefinitions, from their creation to their end, as clients see them.

mod ends;
mod rules;

use futures::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};

use crate::harness::{On, TestServer};
use crate::watch::until;

pub(crate) const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// An answer: its code, its body and its warnings.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    warnings: Vec<String>,
}

pub(crate) async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let kind = match method {
        "PATCH" => "application/merge-patch+json",
        "APPLY" => "application/apply-patch+yaml",
        _ => "application/json",
    };
    let method = if method == "APPLY" { "PATCH" } else { method };
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = client
        .send(request.body(body.into_bytes().into()).unwrap())
        .await
        .unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let warnings = parts.headers.get_all("warning").iter();
    Answer {
        code: parts.status.as_u16(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        warnings: warnings.map(|text| text.to_str().unwrap().to_owned()).collect(),
    }
}

impl Answer {
    pub(crate) fn with(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{:#}", self.body);
        self.body
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

pub(crate) async fn get(client: &Client, path: &str) -> Answer {
    ask(client, "GET", path, &Value::Null).await
}

pub(crate) async fn create(client: &Client, path: &str, object: &Value) -> Answer {
    ask(client, "POST", path, object).await
}

fn version(name: &str, storage: bool, spec: &Value) -> Value {
    json!({"name": name, "served": true, "storage": storage,
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
        "selectableFields": [{"jsonPath": ".spec.color"}],
        "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": spec,
            "status": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "selector": {"type": "string"}}}}}}})
}

fn spec() -> Value {
    json!({"type": "object", "properties": {
        "color": {"type": "string", "default": "red"},
        "replicas": {"type": "integer"},
        "size": {"type": "integer"}}})
}

fn definition(plural: &str, kind: &str, versions: &[Value]) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {"group": "example.com", "scope": "Namespaced", "versions": versions,
            "names": {"plural": plural, "kind": kind, "shortNames": [&plural[..2]], "categories": ["toys"]}}})
}

fn widgets() -> Value {
    definition("widgets", "Widget", &[version("v1", true, &spec())])
}

fn condition(definition: &Value, type_: &str) -> String {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|condition| condition["type"] == type_);
    found.next().map_or_else(String::new, |condition| {
        let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("status"), text("reason"), text("message"))
    })
}

async fn established(client: &Client, name: &str) {
    let path = &format!("{CRDS}/{name}");
    until("a definition is established", || async move {
        condition(&get(client, path).await.body, "Established").starts_with("True")
    })
    .await;
}

pub(crate) async fn define(client: &Client, definition: &Value) {
    create(client, CRDS, definition).await.with(201);
    established(client, definition["metadata"]["name"].as_str().unwrap()).await;
}

pub(crate) async fn redefine(client: &Client, name: &str, change: &Value) {
    ask(client, "PATCH", &format!("{CRDS}/{name}"), change).await.with(200);
}

async fn gone(client: &Client, path: &str) {
    until(
        "something is gone",
        || async move { get(client, path).await.code == 404 },
    )
    .await;
}

async fn is_discovered(client: &Client, path: &str, plural: &str) -> bool {
    let list = get(client, path).await.body;
    let mut resources = list["resources"].as_array().into_iter().flatten();
    resources.any(|resource| resource["name"] == plural)
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

async fn a_kind_is_served_as_its_definition_says(client: &Client) {
    let made = create(client, CRDS, &widgets()).await.with(201);
    assert_eq!(made["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
    established(client, "widgets.example.com").await;
    let crd = get(client, &format!("{CRDS}/widgets.example.com")).await.with(200);
    assert_eq!(condition(&crd, "NamesAccepted"), "True NoConflicts no conflicts found");
    assert_eq!(crd["status"]["acceptedNames"]["kind"], "Widget");
    // Who sees it established finds it served and discovered at once.
    assert!(is_discovered(client, "/apis/example.com/v1", "widgets").await);
    assert!(is_discovered(client, "/apis/example.com/v1", "widgets/scale").await);
    until("the document has the kind", || async move {
        let document = get(client, "/openapi/v3/apis/example.com/v1").await.body;
        document["components"]["schemas"]["com.example.v1.Widget"].is_object()
    })
    .await;

    let made = create(client, WIDGETS, &widget("a", &json!({"size": 3, "nope": 1}))).await;
    assert!(
        made.warnings
            .iter()
            .any(|text| text.contains(r#"unknown field \"spec.nope\""#)),
        "{:?}",
        made.warnings
    );
    let made = made.with(201);
    assert_eq!(made["spec"], json!({"color": "red", "size": 3}));
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let refused = create(client, &strict, &widget("b", &json!({"nope": 1}))).await;
    assert_eq!(
        (refused.code, refused.message().contains(r#"unknown field "spec.nope""#)),
        (400, true)
    );
    let refused = create(client, WIDGETS, &widget("b", &json!({"size": "x"}))).await;
    assert_eq!(refused.code, 422);
    assert!(
        refused
            .message()
            .contains(r#"spec.size: Invalid value: "string": spec.size in body must be of type integer: "string""#)
    );

    let one = &format!("{WIDGETS}/a");
    let patched = ask(
        client,
        "PATCH",
        one,
        &json!({"spec": {"color": "blue"}, "status": {"replicas": 9}}),
    )
    .await;
    let patched = patched.with(200);
    assert_eq!(
        (&patched["spec"]["color"], &patched["status"]),
        (&json!("blue"), &Value::Null)
    );
    assert_eq!(patched["metadata"]["generation"], 2);
    let status = json!({"spec": {"color": "x"}, "status": {"replicas": 2, "selector": "a=b"}});
    let status = ask(client, "PATCH", &format!("{one}/status"), &status).await.with(200);
    assert_eq!(
        (&status["spec"]["color"], &status["status"]["replicas"]),
        (&json!("blue"), &json!(2))
    );
    let scale = get(client, &format!("{one}/scale")).await.with(200);
    assert_eq!(scale["status"], json!({"replicas": 2, "selector": "a=b"}));
    let scaled = ask(
        client,
        "PATCH",
        &format!("{one}/scale"),
        &json!({"spec": {"replicas": 5}}),
    )
    .await
    .with(200);
    assert_eq!(scaled["spec"]["replicas"], 5);
    let refused = ask(client, "PATCH", one, &json!({"spec": {"replicas": -1}})).await;
    assert_eq!(refused.code, 422);
    assert!(
        refused
            .message()
            .contains(".spec.replicas: Invalid value: -1: should be a non-negative integer"),
        "{}",
        refused.message()
    );

    let applied = widget("c", &json!({"color": "green"}));
    let path = format!("{WIDGETS}/c?fieldManager=me");
    let applied = ask(client, "APPLY", &path, &applied).await.with(201);
    assert_eq!(applied["metadata"]["managedFields"][0]["manager"], "me");
    let named = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let blue = get(client, &format!("{WIDGETS}?fieldSelector=spec.color%3Dblue"))
        .await
        .with(200);
    assert_eq!(
        (named(&blue), &blue["kind"]),
        (vec!["a".to_owned()], &json!("WidgetList"))
    );
    let unknown = get(client, &format!("{WIDGETS}?fieldSelector=spec.size%3D3")).await;
    assert_eq!(
        (unknown.code, unknown.message()),
        (400, "field label not supported: spec.size")
    );
    let everywhere = get(client, "/apis/example.com/v1/widgets").await.with(200);
    assert_eq!(named(&everywhere), ["a", "c"]);
}

async fn objects_that_are_stored_get_new_defaults_when_they_are_read(client: &Client) {
    let mut newer = spec();
    newer["properties"]["shape"] = json!({"type": "string", "default": "round"});
    let change = json!({"spec": {"versions": [version("v1", true, &newer)]}});
    redefine(client, "widgets.example.com", &change).await;
    until("a default is filled in", || async move {
        get(client, &format!("{WIDGETS}/a")).await.with(200)["spec"]["shape"] == "round"
    })
    .await;
    let list = get(client, WIDGETS).await.with(200);
    assert!(
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["spec"]["shape"] == "round")
    );
}

async fn a_kind_has_several_versions_over_the_same_objects(client: &Client) {
    let two = [version("v1", true, &spec()), version("v2", false, &spec())];
    redefine(client, "widgets.example.com", &json!({"spec": {"versions": two}})).await;
    const NEW: &str = "/apis/example.com/v2/namespaces/default/widgets";
    until("the second version is served", || async move {
        get(client, NEW).await.code == 200
    })
    .await;
    let read = get(client, &format!("{NEW}/a")).await.with(200);
    assert_eq!(
        (&read["apiVersion"], &read["spec"]["color"]),
        (&json!("example.com/v2"), &json!("blue"))
    );
    let switched = [version("v1", false, &spec()), version("v2", true, &spec())];
    redefine(client, "widgets.example.com", &json!({"spec": {"versions": switched}})).await;
    let crd = get(client, &format!("{CRDS}/widgets.example.com")).await.with(200);
    assert_eq!(crd["status"]["storedVersions"], json!(["v1", "v2"]));
    ask(client, "PATCH", &format!("{NEW}/a"), &json!({"spec": {"size": 4}}))
        .await
        .with(200);
    let read = get(client, &format!("{WIDGETS}/a")).await.with(200);
    assert_eq!(
        (&read["apiVersion"], &read["spec"]["size"]),
        (&json!("example.com/v1"), &json!(4))
    );
    let kinds: Vec<_> = get(client, WIDGETS).await.with(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["apiVersion"].clone())
        .collect();
    assert_eq!(kinds, ["example.com/v1", "example.com/v1"]);
    let without = json!({"spec": {"versions": [version("v2", true, &spec())]}});
    let refused = ask(client, "PATCH", &format!("{CRDS}/widgets.example.com"), &without).await;
    assert_eq!(refused.code, 422);
    assert!(
        refused.message().contains("v1 was previously a storage version"),
        "{}",
        refused.message()
    );
    let mut hidden = version("v1", false, &spec());
    hidden["served"] = json!(false);
    let change = json!({"spec": {"versions": [hidden, version("v2", true, &spec())]}});
    redefine(client, "widgets.example.com", &change).await;
    gone(client, "/apis/example.com/v1").await;
    gone(client, WIDGETS).await;
    assert!(is_discovered(client, "/apis/example.com/v2", "widgets").await);
}

async fn a_definition_goes_with_its_objects_and_not_before_them(client: &Client) {
    const NEW: &str = "/apis/example.com/v2/namespaces/default/widgets";
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    ask(client, "PATCH", &format!("{NEW}/a"), &held).await.with(200);
    let watch = Request::get(format!("{NEW}?watch=1"))
        .body(kube::client::Body::empty())
        .unwrap();
    let mut events = client.send(watch).await.unwrap().into_body().into_data_stream();
    let crd = &format!("{CRDS}/widgets.example.com");
    ask(client, "DELETE", crd, &Value::Null).await.with(200);
    until("it is terminating", || async move {
        condition(&get(client, crd).await.body, "Terminating").starts_with("True")
    })
    .await;
    until("nothing new is taken", || async move {
        let refused = create(client, NEW, &json!({"metadata": {"name": "new"}})).await;
        refused.code == 405
            && refused
                .message()
                .contains("create not allowed while custom resource definition is terminating")
    })
    .await;
    gone(client, &format!("{NEW}/c")).await;
    assert!(get(client, &format!("{NEW}/a")).await.with(200)["metadata"]["deletionTimestamp"].is_string());
    get(client, crd).await.with(200);
    let free = json!({"metadata": {"finalizers": null}});
    ask(client, "PATCH", &format!("{NEW}/a"), &free).await.with(200);
    gone(client, crd).await;
    gone(client, NEW).await;
    gone(client, "/apis/example.com").await;
    let end = async { while events.next().await.is_some_and(|chunk| chunk.is_ok()) {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), end)
        .await
        .unwrap();
}

async fn a_life(on: On) {
    let server = TestServer::start(on).await;
    let client = &server.client().await;
    a_kind_is_served_as_its_definition_says(client).await;
    objects_that_are_stored_get_new_defaults_when_they_are_read(client).await;
    a_kind_has_several_versions_over_the_same_objects(client).await;
    a_definition_goes_with_its_objects_and_not_before_them(client).await;
    // The same name again is a kind without a past.
    define(client, &widgets()).await;
    assert_eq!(get(client, WIDGETS).await.with(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_lives_from_create_to_delete() {
    a_life(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_lives_from_create_to_delete_on_etcd() {
    a_life(On::Etcd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_that_cannot_be_are_refused_and_names_are_given_once() {
    let server = TestServer::start(On::Embedded).await;
    let client = &server.client().await;
    let loose = json!({"type": "object", "properties": {"x": {"properties": {"y": {"type": "string"}}}}});
    let refused = create(
        client,
        CRDS,
        &definition("loose", "Loose", &[version("v1", true, &loose)]),
    )
    .await;
    assert_eq!(refused.code, 422);
    assert!(
        refused.message().contains(
            "properties[spec].properties[x].type: Required value: must not be empty for specified object fields"
        ),
        "{}",
        refused.message()
    );
    define(client, &widgets()).await;
    create(
        client,
        CRDS,
        &definition("wodgets", "Widget", &[version("v1", true, &spec())]),
    )
    .await
    .with(201);
    let other = &format!("{CRDS}/wodgets.example.com");
    until("the names are refused", || async move {
        condition(&get(client, other).await.body, "NamesAccepted")
            == r#"False ListKindConflict "WidgetList" is already in use"#
    })
    .await;
    assert_eq!(
        condition(&get(client, other).await.body, "Established"),
        "False NotAccepted not all names are accepted"
    );
    assert_eq!(
        get(client, "/apis/example.com/v1/namespaces/default/wodgets")
            .await
            .code,
        404
    );
    ask(client, "DELETE", &format!("{CRDS}/widgets.example.com"), &Value::Null)
        .await
        .with(200);
    established(client, "wodgets.example.com").await;
    // What the server itself brings is the server's.
    let ours = &format!("{CRDS}/jobs.breakbulk.dev");
    until(
        "our own are there",
        || async move { get(client, ours).await.code == 200 },
    )
    .await;
    let change = json!({"spec": {"names": {"shortNames": ["x"]}}});
    assert_eq!(ask(client, "PATCH", ours, &change).await.code, 403);
    assert_eq!(ask(client, "DELETE", ours, &Value::Null).await.code, 403);
    ask(client, "PATCH", ours, &json!({"metadata": {"labels": {"mine": "yes"}}}))
        .await
        .with(200);
    server.stop().await;
}
