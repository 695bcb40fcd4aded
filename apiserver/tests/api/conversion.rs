//! Definitions with a conversion webhook: objects of two versions that have nothing in common but their metadata, over
//! both stores, with a webhook on loopback that does its work or does not.

/// Both stores, for a test that is a function of one.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                super::$name($crate::conversion::World::start($crate::harness::On::Embedded).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn etcd() {
                super::$name($crate::conversion::World::start($crate::harness::On::Etcd).await).await;
            }
        }
    )*};
}

mod owners;

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};

use crate::definitions::{CRDS, ask, create, define, get, redefine};
use crate::harness::{On, TestServer};
use crate::hook::{Hook, Reply, patched};
use crate::watch::until;
use crate::webhooks::{Mutating, configure, webhook};

const NAME: &str = "foos.stable.example.com";

fn path(version: &str) -> String {
    format!("/apis/stable.example.com/{version}/namespaces/default/foos")
}

fn one(version: &str, name: &str) -> String {
    format!("{}/{name}", path(version))
}

/// How the webhook does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fine,
    Fails,
    Garbage,
    Silent,
    Renames,
    Relabels,
    MakesThingsUp,
}

struct World {
    server: TestServer,
    client: Client,
    hook: Hook,
    mood: Arc<Mutex<Mood>>,
}

impl World {
    async fn start(on: On) -> Self {
        let server = TestServer::start(on).await;
        let client = server.client_without_retries().await;
        let mood = Arc::new(Mutex::new(Mood::Fine));
        let hook = Hook::start({
            let mood = mood.clone();
            move |_, asked| convert(*mood.lock().unwrap(), asked)
        })
        .await;
        define(&client, &foos(&hook, "v1")).await;
        Self {
            server,
            client,
            hook,
            mood,
        }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn get(&self, version: &str, name: &str) -> Value {
        get(&self.client, &one(version, name)).await.with(200)
    }

    async fn create(&self, object: &Value) -> Value {
        let version = object["apiVersion"].as_str().unwrap().rsplit('/').next().unwrap();
        create(&self.client, &path(version), object).await.with(201)
    }

    /// Changes the version that objects are stored in, and waits until they are: then nobody is asked about a write in it.
    async fn stores(&self, version: &str) {
        redefine(&self.client, NAME, &json!({"spec": {"versions": versions(version)}})).await;
        let probe = if version == "v1" { v1("probe") } else { v2("probe") };
        until("the version is stored in", || async {
            let asked = self.hook.asked().len();
            self.create(&probe).await;
            let stored = self.hook.asked().len() == asked;
            let gone = ask(&self.client, "DELETE", &one(version, "probe"), &Value::Null).await;
            gone.with(200);
            stored
        })
        .await;
    }
}

fn versions(storage: &str) -> Value {
    let version = |name: &str, properties: Value| {
        let mut properties = properties;
        properties["status"] = json!({"type": "object", "properties": {"phase": {"type": "string"}}});
        let selectable = if name == "v1" { ".hostPort" } else { ".port" };
        json!({"name": name, "served": true, "storage": name == storage, "subresources": {"status": {}},
            "selectableFields": [{"jsonPath": selectable}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}}})
    };
    let text = json!({"type": "string"});
    json!([
        version("v1", json!({"hostPort": text})),
        version("v2", json!({"host": text, "port": text}))
    ])
}

fn foos(hook: &Hook, storage: &str) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": NAME},
        "spec": {"group": "stable.example.com", "scope": "Namespaced", "versions": versions(storage),
            "names": {"plural": "foos", "kind": "Foo"},
            "conversion": {"strategy": "Webhook", "webhook": {
                "clientConfig": hook.client_config("/crdconvert"), "conversionReviewVersions": ["v1", "v1beta1"]}}}})
}

fn convert(mood: Mood, asked: &Value) -> Reply {
    let request = &asked["request"];
    let desired = request["desiredAPIVersion"].as_str().unwrap();
    let objects = request["objects"].as_array().unwrap().iter();
    let converted: Vec<Value> = objects.map(|object| converted(mood, object, desired)).collect();
    let result = match mood {
        Mood::Fails => json!({"status": "Failure", "message": "not today"}),
        _ => json!({"status": "Success"}),
    };
    let response = json!({"uid": request["uid"], "convertedObjects": converted, "result": result});
    match mood {
        Mood::Garbage => return Reply::Raw(b"<html>".to_vec()),
        Mood::Silent => return Reply::Nothing,
        _ => {}
    }
    Reply::Json(json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response}))
}

fn converted(mood: Mood, object: &Value, desired: &str) -> Value {
    let mut new = object.clone();
    new["apiVersion"] = json!(desired);
    let fields = new.as_object_mut().unwrap();
    if desired.ends_with("v2") {
        if let Some(both) = fields.remove("hostPort") {
            let (host, port) = both.as_str().unwrap().split_once(':').unwrap();
            fields.insert("host".to_owned(), json!(host));
            fields.insert("port".to_owned(), json!(port));
        }
    } else if let (Some(host), port) = (fields.remove("host"), fields.remove("port")) {
        let port = port.unwrap_or_else(|| json!("0"));
        let both = format!("{}:{}", host.as_str().unwrap(), port.as_str().unwrap());
        fields.insert("hostPort".to_owned(), json!(both));
    }
    match mood {
        Mood::Renames => new["metadata"]["name"] = json!("other"),
        Mood::Relabels => {
            new["metadata"]["labels"] = json!({"converted-to": desired.rsplit('/').next()});
            new["metadata"]["finalizers"] = json!(["example.com/mine"]);
            new["metadata"]["generation"] = json!(77);
        }
        Mood::MakesThingsUp => new["madeUp"] = json!(true),
        Mood::Fine | Mood::Fails | Mood::Garbage | Mood::Silent => {}
    }
    new
}

fn v1(name: &str) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "Foo", "metadata": {"name": name}, "hostPort": "localhost:8080"})
}

fn v2(name: &str) -> Value {
    json!({"apiVersion": "stable.example.com/v2", "kind": "Foo", "metadata": {"name": name},
        "host": "localhost", "port": "8080"})
}

#[track_caller]
fn is_v1(object: &Value) {
    assert_eq!(object["apiVersion"], "stable.example.com/v1", "{object}");
    assert_eq!(object["hostPort"], "localhost:8080", "{object}");
    assert!(object["host"].is_null() && object["port"].is_null(), "{object}");
}

#[track_caller]
fn is_v2(object: &Value) {
    assert_eq!(object["apiVersion"], "stable.example.com/v2", "{object}");
    assert_eq!(
        (&object["host"], &object["port"]),
        (&json!("localhost"), &json!("8080")),
        "{object}"
    );
    assert!(object["hostPort"].is_null(), "{object}");
}

async fn names_and_versions(client: &Client, version: &str) -> Vec<String> {
    let list = get(client, &path(version)).await.with(200);
    let items = list["items"].as_array().unwrap();
    items.iter().for_each(if version == "v1" { is_v1 } else { is_v2 });
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Reads the events of a watch, so many of them.
async fn events(client: &Client, path: &str, count: usize) -> Vec<(String, Value)> {
    let request = Request::get(path).body(kube::client::Body::empty()).unwrap();
    let mut body = client.send(request).await.unwrap().into_body().into_data_stream();
    let mut text = Vec::new();
    let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    while lines(&text) < count {
        text.extend_from_slice(&body.next().await.expect("the watch ended").unwrap());
    }
    let event = |line: &[u8]| {
        let event: Value = serde_json::from_slice(line).unwrap();
        (event["type"].as_str().unwrap().to_owned(), event["object"].clone())
    };
    text.split(|byte| *byte == b'\n').take(count).map(event).collect()
}

on_both!(
    should_be_able_to_convert_from_cr_v1_to_cr_v2,
    should_be_able_to_convert_a_non_homogeneous_list_of_crs,
    every_write_may_be_in_a_version_that_is_not_stored,
    a_watch_tells_all_in_its_own_version,
    what_a_webhook_does_wrong_is_told_and_changes_nothing,
    a_webhook_changes_labels_and_annotations_and_no_other_metadata,
    an_object_comes_into_a_new_storage_version_when_it_is_written,
    selectors_are_about_what_a_version_shows,
);

async fn should_be_able_to_convert_from_cr_v1_to_cr_v2(world: World) {
    world.create(&v1("cr-instance-1")).await;
    is_v2(&world.get("v2", "cr-instance-1").await);
    world.server.stop().await;
}

async fn should_be_able_to_convert_a_non_homogeneous_list_of_crs(world: World) {
    world.create(&v1("cr-instance-1")).await;
    world.stores("v2").await;
    world.create(&v1("cr-instance-2")).await;
    for version in ["v1", "v2"] {
        let names = names_and_versions(&world.client, version).await;
        assert_eq!(names, ["cr-instance-1", "cr-instance-2"]);
    }
    world.server.stop().await;
}

async fn every_write_may_be_in_a_version_that_is_not_stored(world: World) {
    let made = world.create(&v2("a")).await;
    is_v2(&made);
    assert_eq!(made, world.get("v2", "a").await);
    is_v1(&world.get("v1", "a").await);

    let mut put = made.clone();
    put["port"] = json!("81");
    let put = ask(&world.client, "PUT", &one("v2", "a"), &put).await.with(200);
    assert_eq!(
        (&put["port"], &put["metadata"]["generation"]),
        (&json!("81"), &json!(2))
    );
    assert_eq!(world.get("v1", "a").await["hostPort"], "localhost:81");

    let patch = json!({"host": "elsewhere", "hostPort": "of another version"});
    let patched = ask(&world.client, "PATCH", &one("v2", "a"), &patch).await.with(200);
    assert_eq!(
        (&patched["host"], &patched["hostPort"]),
        (&json!("elsewhere"), &Value::Null)
    );
    assert_eq!(world.get("v1", "a").await["hostPort"], "elsewhere:81");

    let same = ask(&world.client, "PATCH", &one("v2", "a"), &json!({"host": "elsewhere"})).await;
    assert_eq!(
        same.with(200)["metadata"]["resourceVersion"],
        patched["metadata"]["resourceVersion"],
        "a patch that changes nothing writes nothing"
    );

    let applied = json!({"apiVersion": "stable.example.com/v2", "kind": "Foo", "host": "localhost", "port": "8080"});
    let apply = format!("{}?fieldManager=m&force=true", one("v2", "a"));
    is_v2(&ask(&world.client, "APPLY", &apply, &applied).await.with(200));
    is_v1(&world.get("v1", "a").await);

    let status = json!({"status": {"phase": "Ready"}, "host": "x"});
    let status = ask(&world.client, "PATCH", &format!("{}/status", one("v2", "a")), &status)
        .await
        .with(200);
    is_v2(&status);
    assert_eq!(status["status"]["phase"], "Ready");
    let v1 = world.get("v1", "a").await;
    is_v1(&v1);
    assert_eq!(v1["status"]["phase"], "Ready");

    let answer = ask(&world.client, "DELETE", &one("v2", "a"), &Value::Null)
        .await
        .with(200);
    assert_eq!(answer["status"], "Success");
    assert_eq!(get(&world.client, &one("v1", "a")).await.code, 404);
    world.server.stop().await;
}

async fn a_watch_tells_all_in_its_own_version(world: World) {
    world.create(&v1("a")).await;
    let list = get(&world.client, &path("v2")).await.with(200);
    let from = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    world.create(&v1("b")).await;
    let patch = json!({"metadata": {"labels": {"l": "1"}}});
    ask(&world.client, "PATCH", &one("v2", "b"), &patch).await.with(200);
    ask(&world.client, "DELETE", &one("v1", "b"), &Value::Null)
        .await
        .with(200);
    for version in ["v1", "v2"] {
        let seen = events(
            &world.client,
            &format!("{}?watch=true&resourceVersion={from}", path(version)),
            3,
        )
        .await;
        let types: Vec<&str> = seen.iter().map(|(type_, _)| type_.as_str()).collect();
        assert_eq!(types, ["ADDED", "MODIFIED", "DELETED"]);
        for (_, object) in &seen {
            let is_of = if version == "v1" { is_v1 } else { is_v2 };
            is_of(object);
        }
        assert_eq!(seen[2].1["metadata"]["labels"]["l"], "1");
    }
    // What was there before is converted together.
    for name in ["c", "d", "e"] {
        world.create(&v1(name)).await;
    }
    let asked = world.hook.asked().len();
    let seen = events(&world.client, &format!("{}?watch=true", path("v2")), 4).await;
    seen.iter().for_each(|(_, object)| is_v2(object));
    assert_eq!(world.hook.asked().len(), asked + 1);
    // And once for all who watch.
    events(&world.client, &format!("{}?watch=true", path("v2")), 4).await;
    assert_eq!(world.hook.asked().len(), asked + 1);
    world.server.stop().await;
}

async fn what_a_webhook_does_wrong_is_told_and_changes_nothing(world: World) {
    world.create(&v1("a")).await;
    world.create(&v1("b")).await;
    let of = "conversion webhook for stable.example.com/v1, Kind=Foo";
    for (mood, alone, together) in [
        (Mood::Fails, "failed: not today", "failed: not today"),
        (Mood::Garbage, "failed: ", "failed: "),
        (
            Mood::Renames,
            "returned invalid object: must have the same name: a != other",
            "returned invalid converted object at index 0: must have the same name: a != other",
        ),
    ] {
        world.is(mood);
        let refused = get(&world.client, &one("v2", "a")).await;
        assert_eq!((refused.code, refused.body["reason"].as_str().unwrap_or("")), (500, ""));
        assert!(
            refused.message().starts_with(&format!("{of} {alone}")),
            "{}",
            refused.message()
        );
        let refused = get(&world.client, &path("v2")).await;
        assert_eq!(refused.code, 500);
        assert!(
            refused.message().starts_with(&format!("{of} {together}")),
            "{}",
            refused.message()
        );
        let seen = events(&world.client, &format!("{}?watch=true", path("v2")), 1).await;
        assert_eq!((seen[0].0.as_str(), &seen[0].1["code"]), ("ERROR", &json!(500)));
        let refused = create(&world.client, &path("v2"), &v2("c")).await;
        assert_eq!(refused.code, 500, "{}", refused.body);
        let refused = ask(&world.client, "PATCH", &one("v2", "a"), &json!({"host": "x"})).await;
        assert_eq!(refused.code, 500);
        assert_eq!(
            ask(&world.client, "DELETE", &one("v2", "a"), &Value::Null).await.code,
            500
        );
        // The stored version needs nobody.
        assert_eq!(names_and_versions(&world.client, "v1").await, ["a", "b"]);
    }
    // One that says nothing takes the time that the client has, and no more.
    world.is(Mood::Silent);
    for path in [one("v2", "a"), path("v2")] {
        let refused = get(&world.client, &format!("{path}?timeout=1s")).await;
        assert_eq!(refused.code, 504, "{}", refused.body);
    }
    world.is(Mood::Fine);
    assert_eq!(names_and_versions(&world.client, "v2").await, ["a", "b"]);
    // What the version does not know falls out, on both ways.
    world.is(Mood::MakesThingsUp);
    let made = world.create(&v2("d")).await;
    assert!(made["madeUp"].is_null(), "{made}");
    let stored = world.get("v1", "d").await;
    is_v1(&stored);
    assert!(stored["madeUp"].is_null(), "{stored}");
    world.server.stop().await;
}

async fn a_webhook_changes_labels_and_annotations_and_no_other_metadata(world: World) {
    let made = world.create(&v1("a")).await;
    world.is(Mood::Relabels);
    let seen = world.get("v2", "a").await;
    assert_eq!(seen["metadata"]["labels"], json!({"converted-to": "v2"}));
    let mut metadata = seen["metadata"].clone();
    metadata.as_object_mut().unwrap().remove("labels");
    assert_eq!(metadata, made["metadata"]);
    world.server.stop().await;
}

async fn an_object_comes_into_a_new_storage_version_when_it_is_written(world: World) {
    let made = world.create(&v1("a")).await;
    world.stores("v2").await;
    let crd = get(&world.client, &format!("{CRDS}/{NAME}")).await.with(200);
    assert_eq!(crd["status"]["storedVersions"], json!(["v1", "v2"]));
    let before = world.get("v1", "a").await;
    assert_eq!(before, made, "it is where it was");
    // A write that changes nothing moves it, once.
    let moved = ask(&world.client, "PUT", &one("v1", "a"), &before).await.with(200);
    assert_ne!(
        moved["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    assert_eq!(moved["metadata"]["generation"], before["metadata"]["generation"]);
    let again = ask(&world.client, "PUT", &one("v1", "a"), &moved).await.with(200);
    assert_eq!(
        again["metadata"]["resourceVersion"],
        moved["metadata"]["resourceVersion"]
    );
    // Now the old version may go from the list, and nobody is asked for the new one.
    let asked = world.hook.asked().len();
    is_v2(&world.get("v2", "a").await);
    assert_eq!(world.hook.asked().len(), asked);
    let status = json!({"status": {"storedVersions": ["v2"]}});
    ask(&world.client, "PATCH", &format!("{CRDS}/{NAME}/status"), &status)
        .await
        .with(200);
    is_v1(&world.get("v1", "a").await);
    world.server.stop().await;
}

async fn selectors_are_about_what_a_version_shows(world: World) {
    world.is(Mood::Relabels);
    let list = get(&world.client, &path("v2")).await.with(200);
    let from = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    world.create(&v1("a")).await;
    let mut other = v1("b");
    other["hostPort"] = json!("localhost:81");
    world.create(&other).await;
    for (version, selector, expected) in [
        ("v1", "fieldSelector=hostPort%3Dlocalhost:81", vec!["b"]),
        ("v2", "fieldSelector=port%3D81", vec!["b"]),
        ("v2", "fieldSelector=port!%3D81", vec!["a"]),
        ("v2", "labelSelector=converted-to%3Dv2", vec!["a", "b"]),
        ("v1", "labelSelector=converted-to%3Dv2", vec![]),
        ("v2", "labelSelector=converted-to%3Dv2&limit=1", vec!["a"]),
        (
            "v2",
            "labelSelector=converted-to%3Dv2&fieldSelector=metadata.name%3Db",
            vec!["b"],
        ),
    ] {
        let list = get(&world.client, &format!("{}?{selector}", path(version)))
            .await
            .with(200);
        let names: Vec<&str> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{version} {selector}");
    }
    let refused = get(&world.client, &format!("{}?fieldSelector=port%3D81", path("v1"))).await;
    assert_eq!(
        (refused.code, refused.message()),
        (400, "field label not supported: port")
    );
    // A change of a field that the stored version does not have takes an object into a watch, and out of it.
    for port in ["81", "82"] {
        let patch = json!({"hostPort": format!("localhost:{port}")});
        ask(&world.client, "PATCH", &one("v1", "a"), &patch).await.with(200);
    }
    let watch = format!(
        "{}?watch=true&resourceVersion={from}&fieldSelector=port%3D81",
        path("v2")
    );
    let seen = events(&world.client, &watch, 3).await;
    let seen: Vec<(&str, &Value)> = seen
        .iter()
        .map(|(event, object)| (event.as_str(), &object["metadata"]["name"]))
        .collect();
    assert_eq!(
        seen,
        [("ADDED", &json!("b")), ("ADDED", &json!("a")), ("DELETED", &json!("a"))]
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn should_mutate_custom_resource_with_different_stored_version() {
    for on in [On::Embedded, On::Etcd] {
        let server = TestServer::start(on).await;
        let client = server.client().await;
        let hook = Hook::start(|path, asked| {
            let stage = if path == "/1" {
                "mutation-stage-1"
            } else {
                "mutation-stage-2"
            };
            let data = &asked["request"]["object"]["data"];
            let before = if path == "/1" {
                "mutation-start"
            } else {
                "mutation-stage-1"
            };
            assert_eq!(asked["request"]["kind"]["version"], "v1");
            match data[before] == "yes" && data[stage].is_null() {
                true => patched(
                    asked,
                    &json!([{"op": "add", "path": format!("/data/{stage}"), "value": "yes"}]),
                ),
                false => crate::hook::yes(asked),
            }
        })
        .await;
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let versions = |storage: &str| {
            let version =
                |name: &str| json!({"name": name, "served": true, "storage": name == storage, "schema": schema});
            json!([version("v1"), version("v2")])
        };
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": NAME}, "spec": {"group": "stable.example.com", "scope": "Namespaced",
                "versions": versions("v1"), "names": {"plural": "foos", "kind": "Foo"}}});
        define(&client, &definition).await;
        let mut hooks = json!([
            webhook(&hook.client_config("/1"), "stable.example.com", &["foos"]),
            webhook(&hook.client_config("/2"), "stable.example.com", &["foos"])
        ]);
        hooks[1]["name"] = json!("other.example.com");
        let _ = configure::<Mutating>(&client, "multi", hooks).await;
        let mut object = json!({"apiVersion": "stable.example.com/v1", "kind": "Foo", "metadata": {"name": "a"}});
        object["data"] = json!({"mutation-start": "yes"});
        create(&client, &path("v1"), &object).await.with(201);
        redefine(&client, NAME, &json!({"spec": {"versions": versions("v2")}})).await;
        until("the version is stored in", || async {
            let crd = get(&client, &format!("{CRDS}/{NAME}")).await.body;
            crd["status"]["storedVersions"] == json!(["v1", "v2"])
        })
        .await;
        let patched = ask(&client, "PATCH", &one("v2", "a"), &json!({"dummy": "test"}))
            .await
            .with(200);
        let all = json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"});
        assert_eq!((&patched["data"], &patched["dummy"]), (&all, &json!("test")));
        assert_eq!(patched["apiVersion"], "stable.example.com/v2");
        server.stop().await;
    }
}
