//! Rules of schemas, for every way to write an object.

use serde_json::{Value, json};

use super::{CRDS, ask, create, define, definition, get, redefine, version};
use crate::harness::{On, TestServer};
use crate::watch::until;

fn with_rules() -> Value {
    let spec = json!({"type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "messageExpression": "self.min > 2 ? 'min is large' : 'min is small'", "fieldPath": ".min",
             "reason": "FieldValueForbidden"}],
        "required": ["min", "max"],
        "properties": {"min": {"type": "integer"}, "max": {"type": "integer"},
            "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is fixed"}]}}});
    let mut version = version("v1", true, &spec);
    version["subresources"] = json!({"status": {}});
    version.as_object_mut().unwrap().remove("selectableFields");
    version["schema"]["openAPIV3Schema"]["properties"]["status"] = json!({"type": "object",
        "properties": {"phase": {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'Bad'"}]}}});
    definition("ranges", "Range", &[version])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_for_every_way_to_write() {
    let mut server = TestServer::start(On::Embedded).await;
    let client = &server.client().await;
    let mut wrong = with_rules();
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"][0]["rule"] =
        json!("self.minn < 1");
    let refused = create(client, CRDS, &wrong).await;
    assert_eq!(refused.code, 422);
    assert!(
        refused
            .message()
            .contains("compilation failed: ERROR: <input>:1:5: undefined field 'minn'"),
        "{}",
        refused.message()
    );
    define(client, &with_rules()).await;
    const RANGES: &str = "/apis/example.com/v1/namespaces/default/ranges";
    let range = |spec: &Value| json!({"metadata": {"name": "r"}, "spec": spec});
    let refused = create(client, RANGES, &range(&json!({"min": 3, "max": 2}))).await;
    assert_eq!(
        (refused.code, refused.message()),
        (
            422,
            r#"Range.example.com "r" is invalid: spec.min: Forbidden: min is large"#
        )
    );
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "FieldValueForbidden");
    let refused = create(client, RANGES, &range(&json!({"min": 3}))).await;
    assert!(
        refused.message().contains("spec.max: Required value")
            && refused.message().contains("some validation rules were not checked"),
        "{}",
        refused.message()
    );
    create(client, RANGES, &range(&json!({"min": 1, "max": 2, "fixed": "x"})))
        .await
        .with(201);
    let one = &format!("{RANGES}/r");
    let refused = ask(client, "PATCH", one, &json!({"spec": {"fixed": "y"}})).await;
    assert_eq!(
        (refused.code, refused.message()),
        (
            422,
            r#"Range.example.com "r" is invalid: spec.fixed: Invalid value: "string": is fixed"#
        )
    );
    let refused = ask(
        client,
        "PATCH",
        &format!("{one}/status"),
        &json!({"status": {"phase": "Bad"}}),
    )
    .await;
    assert_eq!(refused.code, 422);
    assert!(
        refused
            .message()
            .contains("status.phase: Invalid value: \"string\": failed rule: self != 'Bad'")
    );
    let applied =
        json!({"apiVersion": "example.com/v1", "kind": "Range", "metadata": {"name": "r"}, "spec": {"min": 7}});
    assert_eq!(
        ask(client, "APPLY", &format!("{one}?fieldManager=me&force=true"), &applied)
            .await
            .code,
        422
    );

    // A rule that comes later lets what is there be, until it is touched.
    let mut stricter = with_rules()["spec"]["versions"].clone();
    stricter[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.min > 5"}]);
    redefine(client, "ranges.example.com", &json!({"spec": {"versions": stricter}})).await;
    until("the new rule holds", || async move {
        let dry = format!("{RANGES}?dryRun=All");
        create(
            client,
            &dry,
            &json!({"metadata": {"name": "n"}, "spec": {"min": 1, "max": 2}}),
        )
        .await
        .code
            == 422
    })
    .await;
    let labelled = ask(client, "PATCH", one, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert!(
        labelled
            .warnings
            .iter()
            .any(|text| text.contains("failed rule: self.min > 5")),
        "{:?}",
        labelled.warnings
    );
    labelled.with(200);
    assert_eq!(ask(client, "PATCH", one, &json!({"spec": {"max": 4}})).await.code, 422);
    server.restart().await;
    let client = &server.client().await;
    assert_eq!(get(client, one).await.with(200)["spec"]["max"], 2);
    assert_eq!(ask(client, "PATCH", one, &json!({"spec": {"max": 4}})).await.code, 422);
    ask(client, "PATCH", one, &json!({"spec": {"min": 6, "max": 7}}))
        .await
        .with(200);
    server.stop().await;
}
