//! [sig-api-machinery] FieldValidation.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Answer, Case, Patch};
use breakbulk_conformance::definition::{Definition, Storage, anything, version};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with no validation schema" => no_schema,
    "[sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation schema" => valid,
    "[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties for CRD with validation schema" => extra_properties,
    "[sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown fields" => duplicates,
    "[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object" => typed,
    "[sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root and embedded object of a CR" => metadata,
    "[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object" => typed_metadata,
];

const YAML: &str = "application/yaml";
const STRICT: &str = "fieldValidation=Strict&fieldManager=test";

async fn post(case: &Case, path: &str, body: &str) -> Result<Answer> {
    case.send(Method::POST, path, Some("application/json"), body.as_bytes().to_vec())
        .await
}

async fn apply(case: &Case, path: &str, body: &str) -> Result<Answer> {
    case.send(
        Method::PATCH,
        path,
        Some("application/apply-patch+yaml"),
        body.as_bytes().to_vec(),
    )
    .await
}

fn foo_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "spec": { "type": "object", "properties": {
                "foo": { "type": "string" },
                "cronSpec": { "type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$" },
                "ports": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort"],
                    "items": { "type": "object", "required": ["containerPort"], "properties": {
                        "containerPort": { "type": "integer" }, "hostIP": { "type": "string" } } } },
            } },
        },
    })
}

async fn no_schema(case: &Case) -> Result<()> {
    let definition = Definition::new(case, "Free", &json!([version("v1", Storage::Yes, &anything())]));
    definition.install(case).await?;
    let mut object = definition.object("v1", "mycr");
    object["spec"] = json!({ "anything": { "goes": [1, 2] } });
    let path = definition.objects(case, "v1");
    let made = case.create(&format!("{path}?{STRICT}"), &object).await?;
    ensure!(made["spec"] == object["spec"], "{made}");
    object["metadata"]["name"] = json!("applied");
    let made = case
        .patch(&format!("{path}/applied?{STRICT}"), Patch::Apply, &object)
        .await?;
    ensure!(made["spec"] == object["spec"], "{made}");
    definition.remove(case).await
}

fn cron(definition: &Definition, name: &str) -> Value {
    let mut object = definition.object("v1", name);
    object["spec"] =
        json!({ "foo": "foo1", "cronSpec": "* * * * */5", "ports": [{ "containerPort": 8080, "hostIP": "1.2.3.4" }] });
    object
}

async fn valid(case: &Case) -> Result<()> {
    let definition = Definition::new(case, "Cron", &json!([version("v1", Storage::Yes, &foo_schema())]));
    definition.install(case).await?;
    let path = definition.objects(case, "v1");
    case.create(&format!("{path}?{STRICT}"), &cron(&definition, "created"))
        .await?;
    let made = case
        .patch(
            &format!("{path}/applied?{STRICT}"),
            Patch::Apply,
            &cron(&definition, "applied"),
        )
        .await?;
    ensure!(made["spec"]["ports"][0]["containerPort"] == 8080, "{made}");
    definition.remove(case).await
}

async fn extra_properties(case: &Case) -> Result<()> {
    let definition = Definition::new(case, "Cron", &json!([version("v1", Storage::Yes, &foo_schema())]));
    definition.install(case).await?;
    let path = definition.objects(case, "v1");
    let mut object = cron(&definition, "extra");
    object["spec"]["unknownField"] = json!("x");
    let strict = ["strict decoding error", "unknown field \"spec.unknownField\""];
    post(case, &format!("{path}?{STRICT}"), &object.to_string())
        .await?
        .refused_saying(400, &strict)?;
    let mut top = cron(&definition, "extra");
    top["unknownField"] = json!("unknown");
    let applied = apply(case, &format!("{path}/extra?{STRICT}"), &top.to_string()).await?;
    applied.refused_saying(400, &[".unknownField: field not declared in schema"])?;
    let warned = post(case, &format!("{path}?fieldValidation=Warn"), &object.to_string()).await?;
    ensure!(
        warned.code == 201 && warned.warnings().contains("unknown field \\\"spec.unknownField\\\""),
        "{warned:?}"
    );
    ensure!(
        warned.body["spec"]["unknownField"].is_null(),
        "it is dropped: {}",
        warned.body
    );
    let patch = json!({ "spec": { "unknownField": "y" } });
    let patched = case
        .try_patch(&format!("{path}/extra?fieldValidation=Strict"), Patch::Merge, &patch)
        .await?;
    let texts = [
        " \"\" is invalid: patch: Invalid value: ",
        "strict decoding error: unknown field \"spec.unknownField\"",
    ];
    patched.refused_saying(422, &texts)?;
    definition.remove(case).await
}

async fn duplicates(case: &Case) -> Result<()> {
    let definition = Definition::new(case, "Free", &json!([version("v1", Storage::Yes, &anything())]));
    definition.install(case).await?;
    let path = definition.objects(case, "v1");
    let body = format!(
        r#"{{"apiVersion":"{}/v1","kind":"Free","metadata":{{"name":"twice"}},"spec":{{"unknown":"a","foo":"foo1","foo":"foo2"}}}}"#,
        definition.group
    );
    let texts = ["strict decoding error", "duplicate field \"spec.foo\""];
    let refused = post(case, &format!("{path}?{STRICT}"), &body)
        .await?
        .refused_saying(400, &texts)?;
    ensure!(
        !refused["message"].to_string().contains("unknown field"),
        "unknown fields are kept here: {refused}"
    );
    let yaml = format!(
        "apiVersion: {}/v1\nkind: Free\nmetadata: {{name: twice}}\nspec:\n  foo: foo1\n  foo: foo2\n",
        definition.group
    );
    // The words are those of upstream's YAML parser, and its clients look for them.
    let twice = "line 6: key \"foo\" already set in map";
    let applied = apply(case, &format!("{path}/twice?{STRICT}"), &yaml).await?;
    applied.refused_saying(400, &["error strict decoding YAML", twice])?;
    let strictly = format!("{path}?{STRICT}");
    let created = case
        .send(Method::POST, &strictly, Some(YAML), yaml.clone().into())
        .await?;
    created.refused_saying(400, &["strict decoding error", twice])?;
    // Who does not ask for it is warned, and the last one counts.
    let applied = apply(case, &format!("{path}/twice?fieldManager=e2e"), &yaml).await?;
    ensure!(
        applied.code == 201 && applied.body["spec"]["foo"] == "foo2",
        "{applied:?}"
    );
    let warned = applied.headers.get("warning").and_then(|w| w.to_str().ok());
    ensure!(warned.is_some_and(|w| w.contains("already set in map")), "{warned:?}");
    definition.remove(case).await
}

async fn typed(case: &Case) -> Result<()> {
    let path = case.core("configmaps");
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"typed"},"unknownField":{"a":1},"immutable":false,"immutable":true}"#;
    let texts = [
        "strict decoding error",
        "unknown field \"unknownField\"",
        "duplicate field \"immutable\"",
    ];
    post(case, &format!("{path}?{STRICT}"), body)
        .await?
        .refused_saying(400, &texts)?;
    let warned = post(case, &format!("{path}?fieldValidation=Warn"), body).await?;
    ensure!(warned.code == 201, "{warned:?}");
    let warnings = warned.warnings();
    ensure!(
        warnings.contains("unknownField") && warnings.contains("immutable"),
        "{warnings}"
    );
    let ignored = post(
        case,
        &format!("{path}?fieldValidation=Ignore"),
        &body.replace("\"typed\"", "\"ignored\""),
    )
    .await?;
    ensure!(ignored.code == 201 && ignored.warnings().is_empty(), "{ignored:?}");
    let deep = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"typed"},"secrets":[{"name":"a","colour":"red"}]}"#;
    post(case, &format!("{}?{STRICT}", case.core("serviceaccounts")), deep)
        .await?
        .refused_saying(400, &["unknown field \"secrets[0].colour\""])?;
    Ok(())
}

async fn typed_metadata(case: &Case) -> Result<()> {
    let body =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"strange","unknownMeta":"x","labels":{"a":"b"}}}"#;
    let path = case.core("configmaps");
    post(case, &format!("{path}?{STRICT}"), body)
        .await?
        .refused_saying(400, &["unknown field \"metadata.unknownMeta\""])?;
    let applied = apply(case, &format!("{path}/strange?{STRICT}"), body).await?;
    ensure!(
        (400..500).contains(&applied.code) && applied.body["message"].to_string().contains("unknownMeta"),
        "{applied:?}"
    );
    Ok(())
}

async fn metadata(case: &Case) -> Result<()> {
    let schema = json!({
        "type": "object",
        "properties": { "spec": { "type": "object", "properties": {
            "template": { "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true },
        } } },
    });
    let definition = Definition::new(case, "Outer", &json!([version("v1", Storage::Yes, &schema)]));
    definition.install(case).await?;
    let mut object = definition.object("v1", "outer");
    object["metadata"]["unknownMeta"] = json!("x");
    object["spec"] = json!({ "template": {
        "apiVersion": "v1", "kind": "Any", "metadata": { "name": "inner", "unknownSubMeta": "y" }, "free": 1 } });
    let path = definition.objects(case, "v1");
    let texts = [
        "unknown field \"metadata.unknownMeta\"",
        "unknown field \"spec.template.metadata.unknownSubMeta\"",
    ];
    post(case, &format!("{path}?{STRICT}"), &object.to_string())
        .await?
        .refused_saying(400, &texts)?;
    let made = post(case, &format!("{path}?fieldValidation=Ignore"), &object.to_string()).await?;
    ensure!(made.code == 201, "{made:?}");
    ensure!(
        made.body["spec"]["template"]["metadata"] == json!({ "name": "inner" }),
        "{}",
        made.body
    );
    ensure!(made.body["spec"]["template"]["free"] == 1, "{}", made.body);
    definition.remove(case).await
}
