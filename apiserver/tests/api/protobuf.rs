//! Answers and watches in Kubernetes' protobuf, as client-go's typed clients ask for them: protobuf first, JSON as well.

use breakbulk_protobuf::decode;
use bytes::{Buf as _, BytesMut};
use futures::StreamExt as _;
use http::Request;
use http_body_util::{BodyExt as _, BodyStream};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::definitions::{ask, create};
use crate::harness::{On, TestServer};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TYPED: &str = "application/vnd.kubernetes.protobuf,application/json";
const ALONE: &str = "application/vnd.kubernetes.protobuf";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

async fn open(client: &Client, path: &str, accept: &str) -> http::Response<Body> {
    let request = Request::get(path).header("accept", accept).body(Body::empty());
    client.send(request.unwrap()).await.unwrap()
}

/// Code, media type and body, decoded.
async fn get(client: &Client, path: &str, accept: &str) -> (u16, String, Value) {
    let (parts, body) = open(client, path, accept).await.into_parts();
    let media = parts.headers["content-type"].to_str().unwrap().to_owned();
    let bytes = body.collect().await.unwrap().to_bytes();
    let value = match media.as_str() {
        ALONE => decode(&bytes).unwrap().object,
        _ => serde_json::from_slice(&bytes).unwrap(),
    };
    (parts.status.as_u16(), media, value)
}

/// A field of a message that has only texts and messages.
fn field(message: &[u8], wanted: u8) -> &[u8] {
    let mut rest = message;
    while let [tag, tail @ ..] = rest {
        let (mut length, mut at, mut shift) = (0_usize, 0, 0);
        loop {
            length |= usize::from(tail[at] & 0x7f) << shift;
            at += 1;
            shift += 7;
            if tail[at - 1] & 0x80 == 0 {
                break;
            }
        }
        let value = &tail[at..at + length];
        if tag >> 3 == wanted {
            return value;
        }
        rest = &tail[at + length..];
    }
    &[]
}

/// A watch in frames.
struct Frames {
    body: BodyStream<Body>,
    read: BytesMut,
}

impl Frames {
    async fn open(client: &Client, path: &str, accept: &str) -> Self {
        let answer = open(client, path, accept).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["content-type"],
            "application/vnd.kubernetes.protobuf;stream=watch"
        );
        Self {
            body: BodyStream::new(answer.into_body()),
            read: BytesMut::new(),
        }
    }

    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(length) = self.read.get(..4) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.read.len() >= 4 + length {
                    self.read.advance(4);
                    let event = self.read.split_to(length);
                    let object = decode(field(field(&event, 2), 1)).unwrap().object;
                    return Some((String::from_utf8(field(&event, 1).to_vec()).unwrap(), object));
                }
            }
            let frame = self.body.next().await?.unwrap();
            self.read.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    async fn expect(&mut self, event: &str, name: &str) -> Value {
        let (kind, object) = self.next().await.expect("the watch ended");
        assert_eq!(
            (kind.as_str(), &object["metadata"]["name"]),
            (event, &json!(name)),
            "{object}"
        );
        object
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_protobuf_first_gets_it_of_kinds_that_have_it() {
    let server = TestServer::start(On::Embedded).await;
    let client = &server.client_without_retries().await;
    create(client, MAPS, &map("a")).await.with(201);
    let one = format!("{MAPS}/a");
    let (_, _, plain) = get(client, &one, "application/json").await;
    for accept in [TYPED, ALONE] {
        assert_eq!(get(client, &one, accept).await, (200, ALONE.to_owned(), plain.clone()));
    }
    let swapped = "application/json,application/vnd.kubernetes.protobuf";
    assert_eq!(get(client, &one, swapped).await.1, "application/json");
    let (_, media, list) = get(client, MAPS, TYPED).await;
    assert_eq!((media.as_str(), &list["kind"]), (ALONE, &json!("ConfigMapList")));
    assert_eq!(list["items"][0]["data"], plain["data"]);
    let (code, media, status) = get(client, &format!("{MAPS}/none"), TYPED).await;
    assert_eq!(
        (code, media.as_str(), &status["reason"]),
        (404, ALONE, &json!("NotFound"))
    );
    let (_, media, metadata) = get(client, &one, METADATA).await;
    assert_eq!(
        (media.as_str(), &metadata["kind"]),
        (ALONE, &json!("PartialObjectMetadata"))
    );
    assert_eq!(metadata["metadata"], plain["metadata"]);

    // Custom resources have none, but for their metadata.
    let jobs = "/apis/breakbulk.dev/v1/namespaces/default/jobs";
    let (code, media, list) = get(client, jobs, TYPED).await;
    assert_eq!(
        (code, media.as_str(), &list["kind"]),
        (200, "application/json", &json!("JobList"))
    );
    assert_eq!(get(client, jobs, ALONE).await.0, 406);
    let list_of = METADATA.replace("PartialObjectMetadata", "PartialObjectMetadataList");
    let (_, media, list) = get(client, jobs, &list_of).await;
    assert_eq!(
        (media.as_str(), &list["kind"]),
        (ALONE, &json!("PartialObjectMetadataList"))
    );
    // And tables are JSON.
    let table =
        "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1";
    let (_, media, list) = get(client, MAPS, table).await;
    assert_eq!((media.as_str(), &list["kind"]), ("application/json", &json!("Table")));
    server.stop().await;
}

async fn a_watch_in_protobuf_tells_what_one_in_json_does(on: On) {
    let mut server = TestServer::start(on).await;
    let client = &server.client().await;
    create(client, MAPS, &map("a")).await.with(201);
    let path =
        format!("{MAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    let mut watches = [
        Frames::open(client, &path, TYPED).await,
        Frames::open(client, &path, ALONE).await,
    ];
    for watch in &mut watches {
        let mut seen = watch.next().await.unwrap();
        while seen.1["metadata"]["name"] != "a" {
            seen = watch.next().await.unwrap();
        }
        let (_, _, plain) = get(client, &format!("{MAPS}/a"), "application/json").await;
        assert_eq!(seen, ("ADDED".to_owned(), plain));
        let (event, mark) = watch.next().await.unwrap();
        assert_eq!((event.as_str(), &mark["kind"]), ("BOOKMARK", &json!("ConfigMap")));
        assert_eq!(mark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    }
    create(client, MAPS, &map("b")).await.with(201);
    let labels = json!({"metadata": {"labels": {"l": "1"}}});
    let patched = ask(client, "PATCH", &format!("{MAPS}/b"), &labels).await.with(200);
    ask(client, "DELETE", &format!("{MAPS}/b"), &Value::Null)
        .await
        .with(200);
    for watch in &mut watches {
        watch.expect("ADDED", "b").await;
        assert_eq!(watch.expect("MODIFIED", "b").await, patched);
        let gone = watch.expect("DELETED", "b").await;
        assert_ne!(
            gone["metadata"]["resourceVersion"],
            patched["metadata"]["resourceVersion"]
        );
    }
    // A server that has just begun knows nothing of what was before.
    server.restart().await;
    let client = &server.client().await;
    let mut old = Frames::open(client, &format!("{MAPS}?watch=true&resourceVersion=1"), ALONE).await;
    let (event, status) = old.next().await.unwrap();
    assert_eq!((event.as_str(), &status["code"]), ("ERROR", &json!(410)));
    assert_eq!(old.next().await, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_in_protobuf_on_the_embedded_store() {
    a_watch_in_protobuf_tells_what_one_in_json_does(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_in_protobuf_on_etcd() {
    a_watch_in_protobuf_tells_what_one_in_json_does(On::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_in_what_its_kind_and_its_shape_can_be_had_in() {
    let server = TestServer::start(On::Embedded).await;
    let client = &server.client_without_retries().await;
    create(client, MAPS, &map("a")).await.with(201);
    let watched = format!("{MAPS}?watch=true&fieldSelector=metadata.name%3Da");
    let mut metadata = Frames::open(client, &watched, METADATA).await;
    let seen = metadata.expect("ADDED", "a").await;
    assert_eq!(
        (&seen["kind"], &seen["data"]),
        (&json!("PartialObjectMetadata"), &Value::Null)
    );
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let name = "jobs.breakbulk.dev";
    let definitions = format!("{crds}?watch=true&fieldSelector=metadata.name%3D{name}");
    Frames::open(client, &definitions, TYPED)
        .await
        .expect("ADDED", name)
        .await;
    let mut metadata = Frames::open(client, &definitions, METADATA).await;
    metadata.expect("ADDED", name).await;

    let jobs = "/apis/breakbulk.dev/v1/namespaces/default/jobs?watch=true&timeoutSeconds=1";
    let answer = open(client, jobs, TYPED).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(open(client, jobs, ALONE).await.status(), 406);
    let table = format!("{ALONE};as=Table;g=meta.k8s.io;v=v1");
    assert_eq!(open(client, &watched, &table).await.status(), 406);

    // Two groups over one storage: each watcher sees its own.
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "ConfigMap", "namespace": "default", "name": "a"}, "message": "said", "type": "Normal"});
    create(client, "/api/v1/namespaces/default/events", &event)
        .await
        .with(201);
    for (path, message) in [
        ("/api/v1/namespaces/default/events", "message"),
        ("/apis/events.k8s.io/v1/namespaces/default/events", "note"),
    ] {
        let path = format!("{path}?watch=true&fieldSelector=metadata.name%3De");
        for _ in 0..2 {
            let seen = Frames::open(client, &path, ALONE).await.expect("ADDED", "e").await;
            assert_eq!(seen[message], "said");
        }
    }
    server.stop().await;
}
