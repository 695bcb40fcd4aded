//! Requests that nobody sends in good faith, to a real server process: it refuses them with a Status below 500, goes on,
//! and does not grow.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use breakbulk_conformance::case::{Case, config_map};
use breakbulk_conformance::definition::{DEFINITIONS, Definition, Storage, version};
use breakbulk_tests::fleet::{Fleet, Size};
use breakbulk_tests::store::Kind;
use http::Method;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const SIZE: Size = Size {
    servers: 1,
    controllers: 0,
    agents: 0,
};
/// How much the server may have grown at its largest: some bodies of the largest size at a time, and what is made of them.
const GROWTH_KIB: u64 = 400 << 10;
/// A request that takes longer keeps the server busy with too much, on the slowest of machines.
const SLOWEST: std::time::Duration = std::time::Duration::from_secs(30);
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

struct Target {
    fleet: Fleet,
    case: Case,
}

impl Target {
    async fn start() -> Result<Self> {
        let fleet = Box::pin(Fleet::start(Kind::Embedded, SIZE)).await?;
        let case = Case::begin_bare(fleet.cluster(), "hostile").await?;
        case.create(&case.core("configmaps"), &config_map("target", "k", "v"))
            .await?;
        Ok(Self { fleet, case })
    }

    /// Sends it; the answer must not be the server's failure.
    async fn send(&self, method: &Method, path: &str, media: &str, body: Vec<u8>) -> Result<u16> {
        let shown = String::from_utf8_lossy(&body[..body.len().min(2000)]).into_owned();
        let what = || format!("{method} {} {media} {shown}", &path[..path.len().min(500)]);
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .body(body);
        // What cannot be written as a request proves nothing.
        let Ok(request) = request else { return Ok(400) };
        // No single request takes so long: what it asks for is bounded.
        let answer = tokio::time::timeout(SLOWEST, self.case.answer(request.map(Into::into))).await;
        let answer = answer
            .with_context(|| format!("no end of {}", what()))?
            .with_context(what)?;
        ensure!(answer.code < 500, "{}: {} {}", what(), answer.code, answer.body);
        if answer.code >= 400 && method != Method::HEAD {
            ensure!(
                answer.body["kind"] == "Status" || answer.body.is_string(),
                "{}: {}",
                what(),
                answer.body
            );
        }
        Ok(answer.code)
    }

    /// The largest that the server has been, in KiB.
    fn peak(&self) -> Result<u64> {
        let pid = self.fleet.server_pid(0).context("the server is gone")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        line.trim().trim_end_matches(" kB").parse().context("no number")
    }

    async fn lives(&self) -> Result<()> {
        self.case.get("/healthz").await?;
        self.case
            .get(&format!("{}/target", self.case.core("configmaps")))
            .await
            .map(drop)
    }
}

/// Text that doubles with each line when its aliases are followed.
fn laughs(lines: usize) -> String {
    let mut text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: laughs }\na0: &a0 [lol, lol, lol, lol]\n".to_owned();
    for line in 1..lines {
        let before = line - 1;
        let _ = writeln!(
            text,
            "a{line}: &a{line} [*a{before}, *a{before}, *a{before}, *a{before}]"
        );
    }
    text
}

fn nested(open: &str, close: &str, depth: usize) -> Vec<u8> {
    format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_and_leave_no_trace() {
    let target = Target::start().await.unwrap();
    let before = target.peak().unwrap();
    let maps = target.case.core("configmaps");
    let one = format!("{maps}/target");
    let pipelines = target.case.group("breakbulk.dev/v1", "pipelines");
    let deep = [
        nested("[", "]", 100_000),
        nested("{\"a\":", "}", 100_000),
        nested("{\"data\":{\"a\":[", "]}}", 30_000),
    ];
    for body in deep {
        for path in [&maps, &pipelines] {
            for media in [JSON, YAML] {
                assert_eq!(
                    target.send(&Method::POST, path, media, body.clone()).await.unwrap(),
                    400,
                    "{media}"
                );
            }
        }
        for media in [MERGE, STRATEGIC, PATCH, APPLY] {
            let path = format!("{one}?fieldManager=t");
            assert!(
                (400..500).contains(&target.send(&Method::PATCH, &path, media, body.clone()).await.unwrap()),
                "{media}"
            );
        }
        target
            .send(&Method::DELETE, &format!("{maps}/none"), JSON, body)
            .await
            .unwrap();
    }
    for lines in [8, 20, 60] {
        let bomb = laughs(lines).into_bytes();
        target.send(&Method::POST, &maps, YAML, bomb.clone()).await.unwrap();
        target
            .send(&Method::PATCH, &format!("{maps}/laughs?fieldManager=t"), APPLY, bomb)
            .await
            .unwrap();
    }
    // Each operation doubles the object.
    let copies: Vec<Value> = (0..200)
        .map(|n| json!({ "op": "copy", "from": "", "path": format!("/data/c{n}") }))
        .collect();
    let code = target
        .send(
            &Method::PATCH,
            &one,
            PATCH,
            Value::from(copies).to_string().into_bytes(),
        )
        .await
        .unwrap();
    assert!((400..500).contains(&code), "{code}");
    target.lives().await.unwrap();
    let grown = target.peak().unwrap() - before;
    assert!(grown < GROWTH_KIB, "the server grew by {grown} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_huge_is_refused() {
    let target = Target::start().await.unwrap();
    let before = target.peak().unwrap();
    let maps = target.case.core("configmaps");
    let long = "a".repeat(1 << 20);
    let many: serde_json::Map<String, Value> = (0..50_000).map(|n| (format!("k{n}"), json!("v"))).collect();
    let digits = "9".repeat(1 << 20);
    let bodies = [
        json!({ "metadata": { "name": long } }).to_string(),
        json!({ "metadata": { "generateName": long } }).to_string(),
        json!({ "metadata": { "name": "x", "labels": { long.clone(): "x" } } }).to_string(),
        json!({ "metadata": { "name": "x", "annotations": { "a": long } } }).to_string(),
        json!({ "apiVersion": long, "kind": long, "metadata": { "name": "x" } }).to_string(),
        format!(r#"{{"metadata":{{"name":"x","generation":{digits}}}}}"#),
        format!(r#"{{"metadata":{{"name":"x"}},"immutable":1e{digits}}}"#),
        r#"{"metadata":{"name":"x","creationTimestamp":"99999999999-01-01T00:00:00Z"}}"#.to_owned(),
        "{\"metadata\":{\"name\":\"\\ud800\"}}".to_owned(),
        "\u{feff}{}".to_owned(),
    ];
    // Many labels are allowed, as long as all of them fit into a body.
    let labelled = json!({ "metadata": { "name": "labelled", "labels": many } }).to_string();
    target
        .send(&Method::POST, &maps, JSON, labelled.into_bytes())
        .await
        .unwrap();
    for body in bodies {
        let code = target
            .send(&Method::POST, &maps, JSON, body.clone().into_bytes())
            .await
            .unwrap();
        assert!((400..500).contains(&code), "{code}: {}", &body[..body.len().min(200)]);
    }
    let terms = vec!["a=b"; 2000].join(",");
    let names = vec!["x"; 4000].join(",");
    for query in [
        format!("labelSelector={terms}"),
        format!("labelSelector=a+in+({names})"),
        format!("fieldSelector={}", vec!["metadata.name=x"; 2000].join(",")),
        format!("continue={}", "A".repeat(30_000)),
        "limit=99999999999999999999".to_owned(),
        "limit=-1".to_owned(),
        "resourceVersion=99999999999999999999999".to_owned(),
        "watch=true&timeoutSeconds=-5&resourceVersion=-1".to_owned(),
        "watch=perhaps".to_owned(),
        "%ff%fe=%00".to_owned(),
    ] {
        let code = target
            .send(&Method::GET, &format!("{maps}?{query}"), JSON, Vec::new())
            .await;
        // The one thing that may be too long for a server to take in at all is a request's head.
        if let Err(error) = code {
            assert!(query.len() > 8_000, "{query}: {error:#}");
        }
    }
    target.lives().await.unwrap();
    let grown = target.peak().unwrap() - before;
    assert!(grown < GROWTH_KIB, "the server grew by {grown} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_of_bad_faith_are_refused_or_harmless() {
    let target = Target::start().await.unwrap();
    let case = &target.case;
    let before = target.peak().unwrap();
    let deep = |depth: usize| {
        (0..depth).fold(
            json!({ "type": "string" }),
            |inner, _| json!({ "type": "object", "properties": { "a": inner } }),
        )
    };
    let wide: serde_json::Map<String, Value> = (0..10_000)
        .map(|n| (format!("p{n}"), json!({ "type": "string" })))
        .collect();
    let rule = |rule: &str| {
        json!({ "type": "object", "properties": { "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": { "l": { "type": "array", "items": { "type": "string" } } }, "x-kubernetes-validations": [{ "rule": rule }] } } })
    };
    let pattern =
        |pattern: &str| json!({ "type": "object", "properties": { "spec": { "type": "string", "pattern": pattern } } });
    let schemas = [
        deep(60),
        deep(1000),
        json!({ "type": "object", "properties": wide }),
        pattern("(a+)+$"),
        pattern("((a{1,1000}){1,1000}){1,1000}"),
        pattern(&"(".repeat(10_000)),
        rule(&"(".repeat(20_000)),
        rule(&format!("{}true", "!".repeat(20_001))),
        rule(&vec!["true"; 20_000].join(" && ")),
        rule("self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a + b + c + d != ''))))"),
        rule("'a'.matches('((a{1,1000}){1,1000}){1,1000}')"),
        json!({ "type": "object", "properties": { "spec": { "$ref": "#" } } }),
        json!({ "type": "object", "default": { "a": { "a": [1, 2, 3] } }, "x-kubernetes-preserve-unknown-fields": true }),
    ];
    for (number, schema) in schemas.into_iter().enumerate() {
        let definition = Definition::new(
            case,
            &format!("Bad{number}"),
            &json!([version("v1", Storage::Yes, &schema)]),
        );
        let body = definition.object.to_string().into_bytes();
        let code = target.send(&Method::POST, DEFINITIONS, JSON, body).await.unwrap();
        if code == 201 {
            let mut object = definition.object("v1", "x");
            object["spec"] = json!({ "l": vec!["aaaaaaaa"; 3000] });
            target
                .send(
                    &Method::POST,
                    &definition.objects(case, "v1"),
                    JSON,
                    object.to_string().into_bytes(),
                )
                .await
                .unwrap();
            object["spec"] = json!("a".repeat(100_000) + "b");
            target
                .send(
                    &Method::POST,
                    &definition.objects(case, "v1"),
                    JSON,
                    object.to_string().into_bytes(),
                )
                .await
                .unwrap();
            definition.remove(case).await.unwrap();
        }
    }
    target.lives().await.unwrap();
    let grown = target.peak().unwrap() - before;
    assert!(grown < GROWTH_KIB, "the server grew by {grown} KiB");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z/~.\\[\\]$:{}-]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 32, 5, |inner| {
        let known = prop::sample::select(vec![
            "metadata",
            "spec",
            "status",
            "finalizers",
            "labels",
            "annotations",
            "ownerReferences",
            "managedFields",
            "fieldsV1",
            "f:metadata",
            "k:{\"name\":\"x\"}",
            "v:1",
            ".",
            "$patch",
            "$retainKeys",
            "$setElementOrder/finalizers",
            "$deleteFromPrimitiveList/finalizers",
            "data",
            "jobs",
            "name",
            "generateName",
            "uid",
            "resourceVersion",
            "deletionTimestamp",
            "conditions",
            "type",
            "rules",
            "subjects",
            "roleRef",
            "versions",
            "schema",
            "openAPIV3Schema",
            "properties",
            "items",
            "x-kubernetes-validations",
            "rule",
            "names",
            "plural",
            "group",
            "webhooks",
            "clientConfig",
            "matchConstraints",
            "resourceRules",
            "validations",
            "expression",
            "hard",
            "series",
        ]);
        let key = prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[a-z$]{1,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn any_patch() -> impl Strategy<Value = Value> {
    let operation = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "nonsense", ""]);
    let pointer = prop_oneof![
        prop::sample::select(vec![
            "/metadata/labels",
            "/metadata",
            "/data/k",
            "",
            "/",
            "/metadata/finalizers/-",
            "/metadata/managedFields"
        ])
        .prop_map(str::to_owned),
        "(/[a-z0-9~-]{0,5}){0,4}",
    ];
    let one = (operation, pointer.clone(), pointer, any_json())
        .prop_map(|(op, path, from, value)| json!({ "op": op, "path": path, "from": from, "value": value }));
    prop::collection::vec(one, 0..6).prop_map(Value::from)
}

/// Every collection that takes objects.
async fn collections(case: &Case) -> Result<Vec<String>> {
    let mut found = vec![(String::new(), case.get("/api/v1").await?)];
    let groups = case.get("/apis").await?;
    for group in groups["groups"].as_array().context("no groups")? {
        let version = group["preferredVersion"]["groupVersion"]
            .as_str()
            .context("no version")?
            .to_owned();
        let list = case.get(&format!("/apis/{version}")).await?;
        found.push((version, list));
    }
    let mut paths = Vec::new();
    for (version, list) in found {
        for resource in list["resources"].as_array().context("no resources")? {
            let creates = resource["verbs"]
                .as_array()
                .is_some_and(|verbs| verbs.contains(&json!("create")));
            let name = resource["name"].as_str().context("no name")?;
            if !creates || name.contains('/') {
                continue;
            }
            let root = if version.is_empty() {
                "/api/v1".to_owned()
            } else {
                format!("/apis/{version}")
            };
            let namespace = if resource["namespaced"] == true {
                format!("/namespaces/{}", case.namespace)
            } else {
                String::new()
            };
            paths.push(format!("{root}{namespace}/{name}"));
        }
    }
    Ok(paths)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_random_makes_the_server_fail() {
    let target = Target::start().await.unwrap();
    let paths = collections(&target.case).await.unwrap();
    assert!(paths.len() > 20, "{paths:?}");
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (
        any_json(),
        any_patch(),
        "[ -~]{0,40}",
        "[!=a-z(),<>. 0-9]{0,20}",
        prop::collection::vec(any::<u8>(), 0..60),
    );
    let one = format!("{}/target", target.case.core("configmaps"));
    let before = target.peak().unwrap();
    for round in 0..120_usize {
        let (value, patch, text, selector, bytes) = strategy.new_tree(&mut runner).unwrap().current();
        let body = value.to_string().into_bytes();
        let path = &paths[round % paths.len()];
        let mut named = value.clone();
        if let Value::Object(map) = &mut named {
            map.insert("metadata".to_owned(), json!({ "name": "random" }));
        }
        let named = named.to_string().into_bytes();
        let encoded: String = selector.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let envelope = [b"k8s\0".as_slice(), &bytes].concat();
        let requests = [
            (Method::POST, path.clone(), JSON, body.clone()),
            (
                Method::POST,
                format!("{path}?dryRun=All&fieldValidation=Strict"),
                JSON,
                named.clone(),
            ),
            (Method::POST, path.clone(), PROTOBUF, envelope),
            (Method::POST, path.clone(), YAML, text.clone().into_bytes()),
            (Method::PUT, format!("{path}/random"), JSON, named.clone()),
            (
                Method::PATCH,
                format!("{path}/random?fieldManager=t&force=true&dryRun=All"),
                APPLY,
                named,
            ),
            (Method::PATCH, format!("{one}?dryRun=All"), MERGE, body.clone()),
            (Method::PATCH, format!("{one}?dryRun=All"), STRATEGIC, body.clone()),
            (
                Method::PATCH,
                format!("{one}?dryRun=All"),
                PATCH,
                patch.to_string().into_bytes(),
            ),
            (Method::DELETE, format!("{path}/none"), JSON, body),
            (
                Method::GET,
                format!("/apis/{}", text.replace([' ', '#', '?'], "")),
                JSON,
                Vec::new(),
            ),
            (Method::GET, format!("{path}?labelSelector={encoded}"), JSON, Vec::new()),
            (
                Method::GET,
                format!("{path}?fieldSelector={encoded}&limit=1&continue={encoded}"),
                JSON,
                Vec::new(),
            ),
            (
                Method::GET,
                format!("{path}?resourceVersion={encoded}&watch={encoded}&timeoutSeconds=1"),
                JSON,
                Vec::new(),
            ),
        ];
        for (method, path, media, body) in requests {
            target.send(&method, &path, media, body).await.unwrap();
        }
    }
    target.lives().await.unwrap();
    let grown = target.peak().unwrap() - before;
    assert!(grown < GROWTH_KIB, "the server grew by {grown} KiB");
}
