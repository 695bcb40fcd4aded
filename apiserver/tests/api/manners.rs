//! Manners: what every answer has and every request may expect, whatever it is about.

use std::collections::BTreeMap;
use std::io::Read as _;

use breakbulk_apiserver::{AuditConfig, Limits, Sink};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};

use crate::harness::{On, TestServer};
use crate::watch::until;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Answer {
    code: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn ask(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.as_bytes().to_vec().into()).unwrap();
    let (parts, body) = client.send(request).await.unwrap().into_parts();
    Answer {
        code: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(client, "GET", path, headers, "").await
}

async fn create(client: &Client, path: &str, object: &Value) -> Answer {
    ask(client, "POST", path, &[], &object.to_string()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_in_the_form_that_was_asked_for() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let map = json!({"metadata": {"name": "m"}, "data": {"yes": "on", "text": "a\nb\n"}});
    assert_eq!(create(&client, MAPS, &map).await.code, 201);
    let one = format!("{MAPS}/m");

    let compact = get(&client, &one, &[]).await;
    assert!(!compact.text().contains('\n'));
    for (path, headers) in [
        (format!("{one}?pretty=true"), vec![]),
        (one.clone(), vec![("user-agent", "curl/8.1")]),
        (one.clone(), vec![("accept", "application/json;pretty=1")]),
    ] {
        let pretty = get(&client, &path, &headers).await;
        assert!(pretty.text().starts_with("{\n  \""), "{path}: {}", pretty.text());
        assert_eq!(pretty.json(), compact.json());
    }
    let plain = get(&client, &format!("{one}?pretty=false"), &[("user-agent", "curl/8.1")]).await;
    assert!(!plain.text().contains('\n'));

    for path in [one.as_str(), MAPS, "/apis", "/api/v1", &format!("{MAPS}/nothing")] {
        let yaml = get(&client, path, &[("accept", "application/yaml")]).await;
        assert_eq!(yaml.header("content-type"), "application/yaml", "{path}");
        let json = get(&client, path, &[]).await;
        assert_eq!(serde_saphyr_value(yaml.text()), json.json(), "{path}");
    }
    server.stop().await;
}

fn serde_saphyr_value(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_are_compressed_for_who_asks_and_no_others() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    for n in 0..3 {
        let map = json!({"metadata": {"name": format!("m{n}")}, "data": {"k": "value ".repeat(20_000)}});
        assert_eq!(create(&client, MAPS, &map).await.code, 201);
    }
    let gzip = [("accept-encoding", "gzip")];
    until("the cache has all", || async {
        get(&client, MAPS, &[]).await.json()["items"].as_array().unwrap().len() == 3
    })
    .await;
    let plain = get(&client, MAPS, &[]).await;
    assert_eq!(plain.header("content-encoding"), "");
    let packed = get(&client, MAPS, &gzip).await;
    assert_eq!(
        (packed.header("content-encoding"), packed.header("vary")),
        ("gzip", "Accept-Encoding")
    );
    assert!(packed.body.len() < plain.body.len() / 10);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&unpacked).unwrap()["items"],
        plain.json()["items"]
    );
    let small = get(&client, &format!("{MAPS}/m0"), &gzip).await;
    assert_eq!(small.header("content-encoding"), "", "it is {} bytes", small.body.len());
    let watch = format!("{MAPS}?watch=true&resourceVersion=0&timeoutSeconds=1");
    assert_eq!(get(&client, &watch, &gzip).await.header("content-encoding"), "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_in_upstreams_words() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let one = format!("{MAPS}/m");
    let offered = "only the following media types are accepted: application/json, application/yaml";
    let unknown = "the body of the request was in an unknown format - accepted media types include: ";
    let streams = "only the following media types are accepted: application/json;stream=watch";
    let patches = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";
    for (method, path, header, code, reason, message) in [
        (
            "GET",
            MAPS,
            ("accept", "text/html"),
            406,
            "NotAcceptable",
            offered.to_owned(),
        ),
        (
            "GET",
            "/apis",
            ("accept", "text/html"),
            406,
            "NotAcceptable",
            offered.to_owned(),
        ),
        (
            "GET",
            &format!("{MAPS}?watch=1"),
            ("accept", "application/yaml"),
            406,
            "NotAcceptable",
            streams.to_owned(),
        ),
        (
            "POST",
            MAPS,
            ("content-type", "application/cbor"),
            415,
            "UnsupportedMediaType",
            unknown.to_owned(),
        ),
        (
            "PATCH",
            &one,
            ("content-type", "text/plain"),
            415,
            "UnsupportedMediaType",
            format!("{unknown}{patches}"),
        ),
        (
            "GET",
            &format!("{MAPS}?timeout=soon"),
            ("x", "y"),
            400,
            "BadRequest",
            "invalid timeout specified in the request URL - time: invalid duration \"soon\"".to_owned(),
        ),
    ] {
        let answer = ask(&client, method, path, &[header], "{}").await;
        let status = answer.json();
        assert_eq!(
            (answer.code.as_u16(), status["reason"].as_str()),
            (code, Some(reason)),
            "{method} {path}"
        );
        assert!(status["message"].as_str().unwrap().starts_with(&message), "{status}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let refused = ask(&client, "PUT", MAPS, &[], "{}").await;
    assert_eq!(
        (refused.code.as_u16(), refused.header("allow")),
        (405, "DELETE, GET, HEAD, POST")
    );
    assert_eq!(refused.json()["reason"], "MethodNotAllowed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_in_upstreams_words_and_to_anybody() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    for root in ["healthz", "livez", "readyz"] {
        let plain = get(&client, &format!("/{root}"), &[]).await;
        assert_eq!((plain.code.as_u16(), plain.text()), (200, "ok"), "{root}");
        let told = get(&client, &format!("/{root}?verbose&exclude=store"), &[]).await;
        assert!(
            told.text()
                .starts_with("[+]ping ok\n[+]log ok\n[+]store excluded: ok\n"),
            "{}",
            told.text()
        );
        assert!(
            told.text().ends_with(&format!("{root} check passed\n")),
            "{}",
            told.text()
        );
        for check in ["ping", "store"] {
            assert_eq!(get(&client, &format!("/{root}/{check}"), &[]).await.text(), "ok");
        }
        assert_eq!(get(&client, &format!("/{root}/nothing"), &[]).await.code, 404);
    }
    let head = ask(&client, "HEAD", "/livez/ping", &[("audit-id", "mine")], "").await;
    assert_eq!(
        (head.code.as_u16(), head.body.len(), head.header("content-length")),
        (200, 0, "2")
    );
    assert_eq!(
        (head.header("audit-id"), head.header("cache-control")),
        ("mine", "no-cache, private")
    );
    assert_eq!(get(&client, "/readyz/shutdown", &[]).await.text(), "ok");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_told_to_come_again_and_a_node_gets_through() {
    let limits = Limits {
        long_running: 4,
        ..Limits::default()
    };
    let server = TestServer::start_with(On::Embedded, |config| config.limits = limits).await;
    // kube would try again by itself, for minutes.
    let flood = server.client_without_retries().await;
    let node = server.client_of("system:node:n1", &["system:nodes"]).await;
    let watch = |client: Client, path: &'static str| async move {
        let request = Request::get(path).body(Vec::new().into()).unwrap();
        client.send(request).await.unwrap()
    };
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 100, "nobody is refused");
        let answer = watch(flood.clone(), "/api/v1/configmaps?watch=1").await;
        if answer.status() != 200 {
            break answer;
        }
        open.push(answer);
    };
    assert_eq!(
        (
            refused.status().as_u16(),
            refused.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "1")
    );
    let status: Value = serde_json::from_slice(&refused.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(
        (status["reason"].as_str(), status["message"].as_str()),
        (
            Some("TooManyRequests"),
            Some("Too many requests, please try again later.")
        )
    );
    let lease =
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases?watch=1&fieldSelector=metadata.name%3Dn1";
    assert_ne!(watch(node, lease).await.status(), 429, "the reserve is a node's");
    assert_eq!(get(&flood, "/livez", &[]).await.code, 200);
    assert_eq!(
        get(&flood, MAPS, &[]).await.code,
        200,
        "what does not stream is counted apart"
    );
    open.clear();
    until("there is room again", || async {
        watch(flood.clone(), "/api/v1/configmaps?watch=1").await.status() == 200
    })
    .await;
    server.stop().await;
}

/// Reads the text format: name, labels, value.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    let split = lines.map(|line| line.rsplit_once(' ').unwrap());
    split
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_bear_upstreams_names() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let map = json!({"metadata": {"name": "m"}});
    assert_eq!(create(&client, MAPS, &map).await.code, 201);
    assert_eq!(
        create(
            &client,
            &format!("{MAPS}?dryRun=All"),
            &json!({"metadata": {"name": "n"}})
        )
        .await
        .code,
        201
    );
    assert_eq!(get(&client, MAPS, &[]).await.code, 200);
    get(
        &client,
        &format!("{MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1"),
        &[],
    )
    .await;
    let text = get(&client, "/metrics", &[]).await;
    assert!(text.header("content-type").starts_with("text/plain; version=0.0.4"));
    let series = parse(text.text());
    let one = |name: &str, labels: &[&str]| {
        let mut found = series.iter().filter(|(series, _)| {
            series.starts_with(&format!("{name}{{")) && labels.iter().all(|label| series.contains(label))
        });
        let (series, value) = found
            .next()
            .unwrap_or_else(|| panic!("no {name} {labels:?} in {}", text.text()));
        assert!(found.next().is_none(), "more than one {series}");
        *value
    };
    let maps = "resource=\"configmaps\"";
    let total = "apiserver_request_total";
    assert!(
        one(
            total,
            &[
                maps,
                "verb=\"POST\"",
                "code=\"201\"",
                "dry_run=\"\"",
                "component=\"apiserver\""
            ]
        ) >= 1.0
    );
    assert!(
        one(
            total,
            &[
                maps,
                "verb=\"POST\"",
                "dry_run=\"All\"",
                "scope=\"resource\"",
                "version=\"v1\""
            ]
        ) >= 1.0
    );
    assert!(one(total, &[maps, "verb=\"LIST\"", "scope=\"namespace\""]) >= 1.0);
    assert!(one("apiserver_request_duration_seconds_count", &[maps, "verb=\"LIST\""]) >= 1.0);
    assert!(one("apiserver_response_sizes_sum", &[maps, "verb=\"LIST\""]) > 0.0);
    assert!(one("apiserver_watch_events_total", &[maps]) >= 1.0);
    one("apiserver_longrunning_requests", &[maps, "verb=\"WATCH\""]);
    one("apiserver_current_inflight_requests", &["request_kind=\"mutating\""]);
    assert!(one("apiserver_storage_objects", &[maps]) >= 1.0);
    assert!(one("etcd_request_duration_seconds_count", &["operation=\"txn\""]) >= 1.0);
    assert!(one("authorization_attempts_total", &["result=\"allowed\""]) >= 4.0);
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(series[name] > 0.0, "{name}");
    }
    server.stop().await;
}

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  nonResourceURLs: ['/livez*']
- level: RequestResponse
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_is_written_down_and_secrets_are_not() {
    let files = tempfile::tempdir().unwrap();
    let (policy, log) = (files.path().join("policy.yaml"), files.path().join("audit.log"));
    std::fs::write(&policy, POLICY).unwrap();
    let audit = AuditConfig {
        sink: Sink::File {
            path: log.clone(),
            max_bytes: 100 << 20,
            backups: 1,
        },
        policy: Some(policy),
    };
    let server = TestServer::start_with(On::Embedded, |config| config.audit = Some(audit)).await;
    let client = server.client().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let value = "hunter2-is-not-for-the-log";
    let encoded = "aHVudGVyMi1pcy1ub3QtZm9yLXRoZS1sb2";
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"k": value}});
    assert_eq!(create(&client, secrets, &secret).await.code, 201);
    // Refusals quote what they refuse.
    let invalid = json!({"metadata": {"name": "t"}, "data": {value: value}, "stringData": {"a b": value}});
    assert_ne!(create(&client, secrets, &invalid).await.code, 201);
    let broken = ask(&client, "POST", secrets, &[], &format!("{{\"data\": {value}")).await;
    assert_eq!(broken.code, 400);
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = json!({"stringData": {"k": format!("{value}-2")}}).to_string();
    assert_eq!(
        ask(&client, "PATCH", &format!("{secrets}/s"), &merge, &patch)
            .await
            .code,
        200
    );
    for path in [
        secrets.to_owned(),
        format!("{secrets}/s"),
        format!("{secrets}?watch=1&resourceVersion=0&timeoutSeconds=1"),
    ] {
        // The client does get it.
        assert!(get(&client, &path, &[]).await.text().contains(encoded), "{path}");
    }
    let map = json!({"metadata": {"name": "m"}, "data": {"k": "v"}});
    let created = ask(&client, "POST", MAPS, &[("audit-id", "the-creation")], &map.to_string()).await;
    assert_eq!(created.code, 201);
    let stranger = server.client_of("ann", &["people"]).await;
    assert_eq!(get(&stranger, MAPS, &[("audit-id", "the-refusal")]).await.code, 403);
    assert_eq!(get(&client, "/livez", &[]).await.code, 200);
    let mut open = client
        .send(
            Request::get(format!("{MAPS}?watch=1"))
                .header("audit-id", "the-watch")
                .body(Vec::new().into())
                .unwrap(),
        )
        .await
        .unwrap()
        .into_body()
        .into_data_stream();
    open.next().await.unwrap().unwrap();
    drop(open);
    drop(client);
    server.stop().await;

    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        !text.contains(value) && !text.contains("aHVudGVyMi1pcy"),
        "a secret is in the log"
    );
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        events
            .iter()
            .all(|e| e["kind"] == "Event" && e["apiVersion"] == "audit.k8s.io/v1")
    );
    assert!(events.iter().all(|e| e["requestURI"] != "/livez"));
    let of = |id: &str| -> Vec<&Value> { events.iter().filter(|e| e["auditID"] == id).collect() };
    let stages = |id: &str| -> Vec<&str> { of(id).iter().map(|e| e["stage"].as_str().unwrap()).collect() };
    assert_eq!(stages("the-creation"), ["RequestReceived", "ResponseComplete"]);
    assert_eq!(
        stages("the-watch"),
        ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    );
    let created = of("the-creation")[1];
    assert_eq!(created["verb"], "create");
    assert_eq!(created["user"]["username"], "admin");
    assert_eq!(
        created["objectRef"],
        json!({"resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1"})
    );
    assert_eq!(created["requestObject"], map);
    assert_eq!(created["responseObject"]["data"]["k"], "v");
    assert_eq!(created["responseStatus"]["code"], 201);
    assert_eq!(created["sourceIPs"], json!(["127.0.0.1"]));
    assert_eq!(created["annotations"]["authorization.k8s.io/decision"], "allow");
    let refused = of("the-refusal")[1];
    assert_eq!(refused["responseStatus"]["reason"], "Forbidden");
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    let about_secrets: Vec<&Value> = events
        .iter()
        .filter(|e| e["objectRef"]["resource"] == "secrets")
        .collect();
    assert!(about_secrets.len() >= 8);
    assert!(
        about_secrets
            .iter()
            .all(|e| e["level"] == "Metadata" && e["responseStatus"].get("message").is_none())
    );
}
