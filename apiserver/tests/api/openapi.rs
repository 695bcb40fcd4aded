//! The OpenAPI documents over HTTP: how clients find, fetch and keep them.

use http::{Request, StatusCode};
use serde_json::Value;

use crate::harness::{On, TestServer};

type Answer = http::Response<Vec<u8>>;

async fn get(client: &kube::Client, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = client
        .send(request.body(kube::client::Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = answer.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    http::Response::from_parts(parts, body.to_vec())
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_with_its_hash_is_kept_for_ever_and_a_stale_one_leads_to_the_new() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let index = get(&client, "/openapi/v3", &[]).await;
    assert!(!header(&index, "etag").is_empty() && header(&index, "last-modified").ends_with(" GMT"));
    let paths = json(&index)["paths"].clone();
    for (place, entry) in paths.as_object().unwrap() {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        let fresh = get(&client, url, &[("accept", "application/json")]).await;
        assert_eq!(fresh.status(), StatusCode::OK, "{url}");
        assert_eq!(header(&fresh, "cache-control"), "public, immutable");
        assert_eq!(header(&fresh, "vary"), "Accept");
        assert!(header(&fresh, "expires").ends_with(" GMT"));
        assert!(json(&fresh)["components"]["schemas"].is_object());
        let tag = header(&fresh, "etag").to_owned();
        assert!(url.ends_with(&format!("?hash={}", tag.trim_matches('"'))));
        let known = get(&client, url, &[("if-none-match", &tag)]).await;
        assert_eq!((known.status(), known.body().len()), (StatusCode::NOT_MODIFIED, 0));
        let stale = get(&client, &format!("/openapi/v3/{place}?hash=00"), &[]).await;
        assert_eq!(stale.status(), StatusCode::MOVED_PERMANENTLY);
        assert_eq!(header(&stale, "location"), url);
        let plain = get(&client, &format!("/openapi/v3/{place}"), &[]).await;
        assert_eq!(header(&plain, "cache-control"), "no-cache, private");
    }
    let none = get(&client, "/openapi/v3/apis/none.example.com/v1", &[]).await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v2_is_json_or_protobuf_as_asked() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    for accept in ["application/json", "*/*", "application/json, */*"] {
        let answer = get(&client, "/openapi/v2", &[("accept", accept)]).await;
        assert_eq!(header(&answer, "content-type"), "application/json", "{accept}");
        assert_eq!(json(&answer)["swagger"], "2.0");
    }
    for accept in [
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    ] {
        let answer = get(&client, "/openapi/v2", &[("accept", accept)]).await;
        let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        assert_eq!(header(&answer, "content-type"), media);
        let tag = header(&answer, "etag").to_owned();
        let known = get(&client, "/openapi/v2", &[("accept", accept), ("if-none-match", &tag)]).await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    }
    let asked = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    let v3 = get(&client, "/openapi/v3/api/v1", &[("accept", asked)]).await;
    let media = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    assert_eq!(header(&v3, "content-type"), media);
    for uri in ["/openapi/v2", "/openapi/v3/api/v1"] {
        let answer = get(&client, uri, &[("accept", "text/html")]).await;
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE, "{uri}");
    }
    server.stop().await;
}
