//! Whatever is sent, the answer is a Status with a code below 500, and the server lives on.

use http::Request;
use kube::Client;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::{On, TestServer};

async fn code(client: &Client, method: &str, path: &str, media: &str, body: Vec<u8>) -> Option<u16> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(body)
        .ok()?;
    let (parts, body) = request.into_parts();
    let answer = client.send(Request::from_parts(parts, body.into())).await.ok()?;
    Some(answer.status().as_u16())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/~.\\[\\]$:-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let key = prop_oneof![
            Just("metadata".to_owned()),
            Just("spec".to_owned()),
            Just("status".to_owned()),
            Just("finalizers".to_owned()),
            Just("labels".to_owned()),
            Just("$patch".to_owned()),
            Just("data".to_owned()),
            Just("jobs".to_owned()),
            "[a-z$]{1,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5).prop_map(|m| m.into_iter().collect()),
        ]
    })
}

fn any_patch() -> impl Strategy<Value = Value> {
    let operation = prop_oneof![
        Just("add"),
        Just("remove"),
        Just("replace"),
        Just("move"),
        Just("copy"),
        Just("test"),
        Just("nonsense")
    ];
    let pointer = prop_oneof![
        Just("/metadata/labels".to_owned()),
        Just("/metadata".to_owned()),
        Just("/data/k".to_owned()),
        Just(String::new()),
        "(/[a-z0-9~-]{0,5}){0,4}"
    ];
    let one = (operation, pointer.clone(), pointer, any_json())
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}));
    prop::collection::vec(one, 0..6).prop_map(Value::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_makes_the_server_fail() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let seed = json!({"metadata": {"name": "target"}, "data": {"k": "v"}})
        .to_string()
        .into_bytes();
    assert_eq!(
        code(&client, "POST", maps, "application/json", seed.clone()).await,
        Some(201)
    );

    let handle = tokio::runtime::Handle::current();
    let ask = |method: &str, path: &str, media: &str, body: Vec<u8>| {
        let answer = tokio::task::block_in_place(|| handle.block_on(code(&client, method, path, media, body)));
        // What the client itself cannot send (a path with a space) proves nothing.
        if let Some(code) = answer {
            assert!((200..500).contains(&code), "{method} {path} {media}: {code}");
        }
    };
    let mut runner = TestRunner::new(Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    });
    let target = format!("{maps}/target");
    runner
        .run(
            &(any_json(), any_patch(), "[ -~]{0,30}", "[!=a-z(),<>. 0-9]{0,20}"),
            |(value, patch, text, selector)| {
                let body = value.to_string().into_bytes();
                for media in ["application/merge-patch+json", "application/strategic-merge-patch+json"] {
                    ask("PATCH", &format!("{target}?dryRun=All"), media, body.clone());
                }
                let patch = patch.to_string().into_bytes();
                ask(
                    "PATCH",
                    &format!("{target}?dryRun=All"),
                    "application/json-patch+json",
                    patch,
                );
                ask("POST", maps, "application/json", body.clone());
                ask(
                    "POST",
                    "/apis/breakbulk.dev/v1/namespaces/default/pipelines",
                    "application/json",
                    body.clone(),
                );
                ask("PUT", &target, "application/json", body);
                ask("POST", maps, "application/yaml", text.clone().into_bytes());
                ask(
                    "GET",
                    &format!("/api/v1/{}", text.replace(' ', "")),
                    "application/json",
                    Vec::new(),
                );
                let encoded: String = selector.bytes().map(|b| format!("%{b:02x}")).collect();
                ask(
                    "GET",
                    &format!("{maps}?labelSelector={encoded}"),
                    "application/json",
                    Vec::new(),
                );
                ask(
                    "GET",
                    &format!("{maps}?fieldSelector={encoded}&limit=1&continue={encoded}"),
                    "application/json",
                    Vec::new(),
                );
                Ok(())
            },
        )
        .unwrap();
    assert_eq!(code(&client, "GET", "/healthz", "", Vec::new()).await, Some(200));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_with_its_reason() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let large = vec![b' '; (3 << 20) + 1];
    let many: Value = (0..10_001)
        .map(|_| json!({"op": "test", "path": "", "value": 1}))
        .collect();
    let json = "application/json";
    let patch = "application/json-patch+json";
    for (method, path, media, body, expected) in [
        ("POST", maps.to_owned(), json, deep, 400),
        ("POST", maps.to_owned(), json, large, 413),
        ("POST", maps.to_owned(), "application/cbor", b"x".to_vec(), 415),
        ("POST", maps.to_owned(), json, b"{\"a\":1".to_vec(), 400),
        ("POST", format!("{maps}?dryRun=Some"), json, b"{}".to_vec(), 422),
        ("PATCH", format!("{maps}/x"), patch, many.to_string().into_bytes(), 404),
        (
            "PATCH",
            format!("{maps}/x"),
            "application/apply-patch+yaml",
            b"{}".to_vec(),
            422,
        ),
        ("GET", format!("{maps}?resourceVersion=x"), json, Vec::new(), 400),
        ("GET", format!("{maps}?sendInitialEvents=true"), json, Vec::new(), 422),
        (
            "GET",
            format!("{maps}?watch=true&sendInitialEvents=true"),
            json,
            Vec::new(),
            422,
        ),
        ("GET", format!("{maps}?continue=bm9uc2Vuc2U"), json, Vec::new(), 400),
        ("GET", format!("{maps}/..%2f..%2fsecrets"), json, Vec::new(), 404),
        ("DELETE", format!("{maps}/x/status"), json, Vec::new(), 404),
        ("DELETE", "/api/v1/nodes/x/status".to_owned(), json, Vec::new(), 405),
        ("GET", "/apis/none.example".to_owned(), json, Vec::new(), 404),
    ] {
        assert_eq!(
            code(&client, method, &path, media, body).await,
            Some(expected),
            "{method} {path} {media}"
        );
    }
    server.stop().await;
}
