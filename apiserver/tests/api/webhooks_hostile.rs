//! Webhooks that do not behave: whatever they answer, the server says so in its own words and goes on.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::crud::job;
use crate::harness::{On, TestServer, refusal};
use crate::hook::{Hook, Reply, patched, review};
use crate::webhooks::{Mutating, Validating, config_map, configure, create, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_fails_the_request_with_words_for_it() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let hook = Hook::start(|path, asked| match path {
        "/huge" => Reply::Raw(vec![b' '; 4 << 20]),
        "/drip" => Reply::Drip,
        "/elsewhere" => Reply::Elsewhere("https://127.0.0.1:1/".to_owned()),
        "/garbage" => Reply::Raw(b"<html>".to_vec()),
        "/deep" => Reply::Raw(b"[".repeat(200_000)),
        "/other-uid" => Reply::Json(json!({
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "x", "allowed": true},
        })),
        "/empty" => Reply::Json(json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"})),
        "/half-patch" => review(asked, &json!({"allowed": true, "patch": "W10="})),
        "/no-patch" => patched(
            asked,
            &json!([{"op": "replace", "path": "/data/none/at/all", "value": 1}]),
        ),
        "/other-kind" => patched(asked, &json!([{"op": "replace", "path": "/kind", "value": "Secret"}])),
        "/wrong-type" => patched(asked, &json!([{"op": "add", "path": "/data/a", "value": 7}])),
        _ => patched(
            asked,
            &json!([{"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}]),
        ),
    })
    .await;
    let cases = [
        ("/huge", "the answer is longer than 3145728 bytes"),
        ("/drip", "context deadline exceeded"),
        ("/elsewhere", "the server answered with status 307"),
        ("/garbage", "couldn't parse the answer as JSON"),
        ("/deep", "couldn't parse the answer as JSON"),
        (
            "/other-uid",
            "received invalid webhook response: expected response.uid=",
        ),
        (
            "/empty",
            "received invalid webhook response: webhook response was absent",
        ),
        (
            "/half-patch",
            "webhook returned response.patch but not response.patchType",
        ),
        ("/no-patch", "replace operation does not apply"),
        ("/other-kind", "another kind of object"),
        ("/wrong-type", "cannot be handled as a ConfigMap"),
        (
            "/elsewhere-namespace",
            "the namespace of the provided object does not match",
        ),
    ];
    for (path, words) in cases {
        let mut bad = webhook(&hook.client_config(path), "", &["configmaps"]);
        bad["timeoutSeconds"] = json!(if path == "/drip" { 1 } else { 10 });
        let api: Api<Mutating> = configure(&client, "bad", json!([bad])).await;
        let (_, _, message) = refusal(create(&client, "a", json!({"a": "b"})).await);
        assert!(message.contains(words), "{path}: {message}");
        api.delete("bad", &DeleteParams::default()).await.unwrap();
    }
    create(&client, "a", json!({})).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_told_to_webhooks_and_stores_nothing() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let hook = Hook::start(|_, asked| {
        let label = json!([{"op": "add", "path": "/metadata/labels", "value": {"dry": asked["request"]["dryRun"].to_string()}}]);
        patched(asked, &label)
    })
    .await;
    let _: Api<Mutating> = configure(
        &client,
        "dry",
        json!([webhook(&hook.client_config("/"), "", &["configmaps"])]),
    )
    .await;
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = api.create(&dry, &config_map("a", &json!({}))).await.unwrap();
    assert_eq!(made.labels()["dry"], "true");
    assert!(api.get_opt("a").await.unwrap().is_none());
    assert_eq!(hook.asked()[0]["request"]["options"]["dryRun"], json!(["All"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_changes_no_more_than_the_client_may() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let hook = Hook::start(|_, asked| {
        patched(
            asked,
            &json!([
                {"op": "add", "path": "/status", "value": {"observedGeneration": 7}},
                {"op": "add", "path": "/metadata/uid", "value": "mine"},
            ]),
        )
    })
    .await;
    let hooks = json!([webhook(&hook.client_config("/"), "breakbulk.dev", &["jobs"])]);
    let _: Api<Mutating> = configure(&client, "greedy", hooks).await;
    let api: Api<breakbulk_schemas::Job> = Api::default_namespaced(client.clone());
    let made = api.create(&PostParams::default(), &job("a")).await.unwrap();
    assert!(made.status.is_none() && made.uid().is_some_and(|uid| uid != "mine"));
    let again = api.replace("a", &PostParams::default(), &made).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_of_a_webhook_reach_the_client() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let hook = Hook::start(|_, asked| review(asked, &json!({"allowed": true, "warnings": ["mind \"the\" gap"]}))).await;
    let _: Api<Validating> = configure(
        &client,
        "warn",
        json!([webhook(&hook.client_config("/"), "", &["configmaps"])]),
    )
    .await;
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("content-type", "application/json")
        .body(kube::client::Body::from(
            json!({"metadata": {"name": "a"}}).to_string().into_bytes(),
        ))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.headers()["warning"], "299 - \"mind \\\"the\\\" gap\"");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversion_asks_its_webhook_in_batches_and_believes_only_what_fits() {
    use breakbulk_apiserver::registry::conversion::Convert as _;
    use breakbulk_apiserver::webhook::{Client, Converter};
    let hook = Hook::start(|path, asked| {
        let request = &asked["request"];
        let mut objects = request["objects"].clone();
        for object in objects.as_array_mut().unwrap() {
            object["apiVersion"] = request["desiredAPIVersion"].clone();
            object["hostPort"] = json!("a:1");
            if path == "/renames" {
                object["metadata"]["name"] = json!("other");
            }
        }
        if path == "/loses" {
            objects.as_array_mut().unwrap().pop();
        }
        Reply::Json(json!({
            "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
            "response": {"uid": request["uid"], "convertedObjects": objects, "result": {"status": "Success"}},
        }))
    })
    .await;
    let converter = |path: &str| {
        let spec = json!({"strategy": "Webhook", "webhook": {
            "clientConfig": hook.client_config(path), "conversionReviewVersions": ["v1", "v1beta1"],
        }});
        Converter::new(std::sync::Arc::new(Client::new()), &spec).unwrap()
    };
    let object = |version: &str, number: usize| {
        json!({
            "apiVersion": format!("example.com/{version}"), "kind": "Foo", "metadata": {"name": format!("n{number}"), "uid": "u"},
        })
    };
    // A list that is not of one version: those that are right already are not sent.
    let mixed: Vec<Value> = (0..1200)
        .map(|n| object(if n % 4 == 0 { "v2" } else { "v1" }, n))
        .collect();
    let converted = converter("/fine").convert(mixed, "example.com/v2").await.unwrap();
    assert_eq!(converted.len(), 1200);
    for (number, object) in converted.iter().enumerate() {
        assert_eq!(object["metadata"]["name"], format!("n{number}"));
        assert_eq!(object["apiVersion"], "example.com/v2");
        assert_eq!(object.get("hostPort").is_some(), number % 4 != 0);
    }
    assert_eq!(hook.asked().len(), 2);
    for (path, words) in [
        (
            "/renames",
            "conversion webhook for example.com/v1, Kind=Foo returned invalid object: must have the same name: n1 != other",
        ),
        (
            "/loses",
            "conversion webhook for example.com/v1, Kind=Foo returned 0 objects, expected 1",
        ),
    ] {
        let refused = converter(path)
            .convert(vec![object("v1", 1)], "example.com/v2")
            .await
            .unwrap_err();
        assert_eq!((refused.code(), refused.message()), (500, words));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_has_the_options_of_its_operation_as_the_client_said_them() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    let hook = Hook::start(|_, asked| review(asked, &json!({"allowed": true}))).await;
    let hooks = json!([webhook(&hook.client_config("/"), "", &["configmaps"])]);
    let _: Api<Validating> = configure(&client, "options", hooks).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let one = format!("{maps}/a");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}});
    let deletion =
        json!({"propagationPolicy": "Foreground", "gracePeriodSeconds": 3, "preconditions": {"uid": "other"}});
    for (method, path, body, code) in [
        (
            "POST",
            format!("{maps}?fieldManager=me&fieldValidation=Strict"),
            &map,
            201,
        ),
        ("PATCH", format!("{one}?dryRun=All"), &json!({"data": {"a": "c"}}), 200),
        ("APPLY", format!("{one}?fieldManager=me&force=true"), &map, 200),
        (
            "APPLY",
            format!("{maps}/b?fieldManager=me"),
            &json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            201,
        ),
        ("DELETE", one.clone(), &deletion, 409),
        ("DELETE", one.clone(), &json!({"propagationPolicy": "Orphan"}), 200),
        (
            "DELETE",
            format!("{maps}/b?propagationPolicy=Background"),
            &Value::Null,
            200,
        ),
    ] {
        crate::definitions::ask(&client, method, &path, body).await.with(code);
    }
    let asked = hook.asked();
    let options: Vec<&Value> = asked.iter().map(|review| &review["request"]["options"]).collect();
    let meta = |kind: &str, mut rest: Value| {
        rest["kind"] = json!(kind);
        rest["apiVersion"] = json!("meta.k8s.io/v1");
        rest
    };
    let expected = [
        meta(
            "CreateOptions",
            json!({"fieldManager": "me", "fieldValidation": "Strict"}),
        ),
        meta("UpdateOptions", json!({"dryRun": ["All"]})),
        meta("UpdateOptions", json!({"fieldManager": "me"})),
        meta("CreateOptions", json!({"fieldManager": "me"})),
        meta("DeleteOptions", json!({"propagationPolicy": "Orphan"})),
        meta("DeleteOptions", json!({"propagationPolicy": "Background"})),
    ];
    assert_eq!(options, expected.iter().collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_strict_patch_makes_is_invalid_and_no_bad_request() {
    let server = TestServer::start(On::Embedded).await;
    let client = server.client().await;
    create(&client, "a", json!({"a": "b"})).await.unwrap();
    let path = "/api/v1/namespaces/default/configmaps/a?fieldValidation=Strict";
    for (media, body, words) in [
        (
            "application/json-patch+json",
            r#"[{"op": "add", "path": "/nope", "value": 1, "op": "add"}]"#,
            r#"strict decoding error: json patch duplicate field "[0].op", unknown field "nope""#,
        ),
        (
            "application/merge-patch+json",
            r#"{"nope": 1, "data": {"x": "1", "x": "2"}}"#,
            r#"strict decoding error: duplicate field "data.x", unknown field "nope""#,
        ),
        (
            "application/strategic-merge-patch+json",
            r#"{"nope": 1}"#,
            r#"Invalid value: "map[nope:1]": strict decoding error: unknown field "nope""#,
        ),
        (
            "application/merge-patch+json",
            r#"{"data": {"x": 1}}"#,
            r#"patch: Invalid value: "{\"#,
        ),
    ] {
        let request = http::Request::patch(path).header("content-type", media);
        let request = request
            .body(kube::client::Body::from(body.as_bytes().to_vec()))
            .unwrap();
        let answer = client.send(request).await.unwrap();
        let code = answer.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(answer.into_body())
            .await
            .unwrap()
            .to_bytes();
        let status: Value = serde_json::from_slice(&bytes).unwrap();
        let message = status["message"].as_str().unwrap();
        assert_eq!((code, &status["reason"]), (422, &json!("Invalid")), "{message}");
        assert!(
            message.starts_with(r#" "" is invalid: patch: Invalid value: "#),
            "{message}"
        );
        assert!(message.contains(words), "{message}");
    }
    server.stop().await;
}
