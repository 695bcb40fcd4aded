//! [sig-api-machinery] CustomResourcePublishOpenAPI: through kubectl, and in the documents themselves.

use anyhow::{Context as _, Result, ensure};
use breakbulk_conformance::case::{Case, Patch, SOON, text};
use breakbulk_conformance::definition::{Definition, Storage, anything, version};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::wait::{self, Look};
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when one version gets changed to not be served" => not_served_any_more,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one version gets renamed" => renamed,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields at the schema root" => unknown_at_root,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields in an embedded object" => unknown_in_object,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with validation schema" => with_schema,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD without validation schema" => without_schema,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different groups" => different_groups,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group and version but different kinds" => different_kinds,
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group but different versions" => different_versions,
];

fn foo_schema() -> Value {
    json!({
        "description": "Foo CRD for Testing", "type": "object",
        "properties": {
            "spec": { "type": "object", "description": "Specification of Foo", "properties": {
                "bars": { "description": "List of Bars and their specs.", "type": "array", "items": {
                    "type": "object", "required": ["name"], "properties": {
                        "name": { "description": "Name of Bar.", "type": "string" },
                        "age": { "description": "Age of Bar.", "type": "string" },
                        "feeling": { "description": "Whether Bar is feeling great.", "type": "string", "enum": ["Great", "Down"] },
                        "bazs": { "description": "List of Bazs.", "type": "array", "items": { "type": "string" } },
                    } } },
            } },
            "status": { "description": "Status of Foo", "type": "object", "properties": {
                "bars": { "description": "List of Bars and their statuses.", "type": "array", "items": { "type": "object", "properties": {
                    "available": { "description": "Whether the Bar is installed.", "type": "boolean" } } } },
            } },
        },
    })
}

/// The name of a kind's definition in the published document: the group from its end, as domain names are in Java.
fn published_name(definition: &Definition, version: &str) -> String {
    let mut parts: Vec<&str> = definition.group.split('.').collect();
    parts.reverse();
    format!("{}.{version}.{}", parts.join("."), definition.kind)
}

fn names_kind(schema: &Value, definition: &Definition, version: &str) -> bool {
    let kind = json!({ "group": definition.group, "version": version, "kind": definition.kind });
    schema["x-kubernetes-group-version-kind"]
        .as_array()
        .is_some_and(|all| all.contains(&kind))
}

/// Waits until a version of a kind is in both documents; gives its definition in the older one.
async fn published(case: &Case, definition: &Definition, version: &str) -> Result<Value> {
    let name = published_name(definition, version);
    let old = wait::until(format!("{name} in /openapi/v2"), SOON, async || {
        let document = case.get("/openapi/v2").await?;
        let found = document["definitions"].get(&name).cloned();
        Ok(Look::some(
            found.filter(|schema| names_kind(schema, definition, version)),
            || "it is not there".to_owned(),
        ))
    })
    .await?;
    let key = format!("apis/{}/{version}", definition.group);
    wait::until(format!("{name} in /openapi/v3"), SOON, async || {
        let index = case.get("/openapi/v3").await?;
        let url = text(&index["paths"][&key], "/serverRelativeURL").to_owned();
        let document = case.get(&url).await.context("it has no document")?;
        let found = document["components"]["schemas"]
            .get(&name)
            .is_some_and(|schema| names_kind(schema, definition, version));
        Ok(Look::some(found.then_some(()), || "it is not there".to_owned()))
    })
    .await?;
    Ok(old)
}

/// Waits until a version of a kind is in neither document.
async fn withdrawn(case: &Case, definition: &Definition, version: &str) -> Result<()> {
    let name = published_name(definition, version);
    let key = format!("apis/{}/{version}", definition.group);
    wait::until(format!("{name} to be withdrawn"), SOON, async || {
        let old = case.get("/openapi/v2").await?["definitions"].get(&name).is_some();
        let new = case.get("/openapi/v3").await?["paths"].get(&key).is_some();
        Ok(Look::some((!old && !new).then_some(()), || {
            format!("in v2: {old}, in v3: {new}")
        }))
    })
    .await
}

fn manifest(definition: &Definition, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: {}/v1\nkind: {}\nmetadata: {{ name: {name} }}\nspec: {spec}\n",
        definition.group, definition.kind
    )
}

async fn with_schema(case: &Case) -> Result<()> {
    let definition = Definition::new(case, "Foo", &json!([version("v1", Storage::Yes, &foo_schema())]));
    definition.install(case).await?;
    let schema = published(case, &definition, "v1").await?;
    ensure!(
        schema["properties"]["spec"]["properties"]["bars"]["type"] == "array",
        "{schema}"
    );
    let kubectl = case.kubectl();
    let valid = manifest(&definition, "test-foo", "{ bars: [{ name: test-bar }] }");
    kubectl.run(&["create", "-f", "-"], &valid).await?;
    kubectl.run(&["delete", &definition.name(), "test-foo"], "").await?;
    kubectl.run(&["apply", "-f", "-"], &valid).await?;
    kubectl.run(&["delete", &definition.name(), "test-foo"], "").await?;
    for verb in ["create", "apply"] {
        let value = manifest(
            &definition,
            "test-foo",
            "{ bars: [{ name: test-bar, feeling: NonExistentValue }] }",
        );
        let said = kubectl.fails(&[verb, "-f", "-"], &value).await?;
        ensure!(said.contains("Unsupported value: \"NonExistentValue\""), "{said}");
        let unknown = manifest(&definition, "test-foo", "{ foo: true }");
        let said = kubectl.fails(&[verb, "-f", "-"], &unknown).await?;
        ensure!(said.contains("unknown field \"spec.foo\""), "{said}");
        let missing = manifest(&definition, "test-foo", "{ bars: [{ age: '10' }] }");
        let said = kubectl.fails(&[verb, "-f", "-"], &missing).await?;
        ensure!(said.contains("spec.bars[0].name: Required value"), "{said}");
    }
    explained(case, &definition).await?;
    definition.remove(case).await
}

async fn explained(case: &Case, definition: &Definition) -> Result<()> {
    let kubectl = case.kubectl();
    let plural = format!("{}.{}", definition.plural, definition.group);
    let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (path, expected) in [
        ("", "Foo CRD for Testing"),
        (".metadata", "Standard object's metadata."),
        (".spec", "Specification of Foo"),
        (".spec.bars", "List of Bars and their specs."),
        (".spec.bars.bazs", "List of Bazs."),
    ] {
        let said = flat(kubectl.run(&["explain", &format!("{plural}{path}")], "").await?);
        ensure!(
            said.contains("DESCRIPTION:") && said.contains(expected),
            "{path}: {said}"
        );
    }
    let recursive = kubectl.run(&["explain", "--recursive", &plural], "").await?;
    ensure!(
        recursive.contains("bazs") && recursive.contains("available"),
        "{recursive}"
    );
    let said = kubectl.fails(&["explain", &format!("{plural}.spec.bars2")], "").await?;
    ensure!(said.contains("field \"bars2\" does not exist"), "{said}");
    Ok(())
}

/// kubectl takes fields that no schema names.
async fn takes_anything(case: &Case, definition: &Definition, spec: &str) -> Result<()> {
    let kubectl = case.kubectl();
    let object = manifest(definition, "test-cr", spec);
    for verb in ["create", "apply"] {
        kubectl.run(&[verb, "-f", "-"], &object).await?;
        let path = format!("{}/test-cr", definition.objects(case, "v1"));
        ensure!(
            case.get(&path).await?.to_string().contains("oddity"),
            "an unknown field is kept"
        );
        kubectl.run(&["delete", &definition.name(), "test-cr"], "").await?;
    }
    Ok(())
}

async fn without_schema(case: &Case) -> Result<()> {
    let definition = Definition::new(case, "Empty", &json!([version("v1", Storage::Yes, &anything())]));
    definition.install(case).await?;
    published(case, &definition, "v1").await?;
    takes_anything(case, &definition, "{ oddity: { a: 1 } }").await?;
    let said = case.kubectl().run(&["explain", &definition.name()], "").await?;
    ensure!(said.contains("DESCRIPTION:") && said.contains("<empty>"), "{said}");
    definition.remove(case).await
}

async fn unknown_at_root(case: &Case) -> Result<()> {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": { "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } });
    let definition = Definition::new(case, "Unknown", &json!([version("v1", Storage::Yes, &schema)]));
    definition.install(case).await?;
    published(case, &definition, "v1").await?;
    takes_anything(case, &definition, "{ b: [c] }\noddity: [{ name: x }]").await?;
    let said = case.kubectl().run(&["explain", &definition.name()], "").await?;
    ensure!(said.contains("KIND:") && said.contains("Unknown"), "{said}");
    definition.remove(case).await
}

async fn unknown_in_object(case: &Case) -> Result<()> {
    let schema = json!({ "type": "object", "description": "preserve-unknown-properties in nested field for Testing",
        "properties": {
            "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": "Specification of Waldo",
                "properties": { "dummy": { "description": "Dummy property.", "type": "string" } } },
            "status": { "description": "Status of Waldo", "type": "object" } } });
    let definition = Definition::new(case, "Waldo", &json!([version("v1", Storage::Yes, &schema)]));
    definition.install(case).await?;
    published(case, &definition, "v1").await?;
    takes_anything(case, &definition, "{ dummy: a, oddity: [1] }").await?;
    let said = case.kubectl().run(&["explain", &definition.name()], "").await?;
    ensure!(
        said.contains("preserve-unknown-properties in nested field for Testing"),
        "{said}"
    );
    definition.remove(case).await
}

async fn different_groups(case: &Case) -> Result<()> {
    let versions = json!([version("v1", Storage::Yes, &foo_schema())]);
    let both = [
        Definition::new(case, "Foo", &versions),
        Definition::new(case, "Waldo", &versions),
    ];
    for definition in &both {
        definition.install(case).await?;
    }
    for definition in &both {
        published(case, definition, "v1").await?;
    }
    for definition in &both {
        definition.remove(case).await?;
        withdrawn(case, definition, "v1").await?;
    }
    Ok(())
}

async fn different_kinds(case: &Case) -> Result<()> {
    let versions = json!([version("v6", Storage::Yes, &foo_schema())]);
    let one = Definition::new(case, "Foo", &versions);
    let two = Definition::of_group(&one.group, "Waldo", &versions);
    one.install(case).await?;
    two.install(case).await?;
    published(case, &one, "v6").await?;
    published(case, &two, "v6").await?;
    one.remove(case).await?;
    wait::until("the one to be withdrawn, and the other to stay", SOON, async || {
        let document = case.get("/openapi/v2").await?;
        let has = |definition| document["definitions"].get(published_name(definition, "v6")).is_some();
        Ok(Look::some((!has(&one) && has(&two)).then_some(()), || {
            format!("{} {}", has(&one), has(&two))
        }))
    })
    .await?;
    two.remove(case).await
}

fn two_versions(case: &Case) -> Definition {
    let (first, second) = (
        version("v2", Storage::Yes, &foo_schema()),
        version("v3", Storage::No, &foo_schema()),
    );
    Definition::new(case, "Foo", &json!([first, second]))
}

async fn different_versions(case: &Case) -> Result<()> {
    let definition = two_versions(case);
    definition.install(case).await?;
    published(case, &definition, "v2").await?;
    published(case, &definition, "v3").await?;
    definition.remove(case).await
}

async fn renamed(case: &Case) -> Result<()> {
    let definition = two_versions(case);
    definition.install(case).await?;
    let before = published(case, &definition, "v2").await?;
    published(case, &definition, "v3").await?;
    let rename = json!([
        { "op": "test", "path": "/spec/versions/1/name", "value": "v3" },
        { "op": "replace", "path": "/spec/versions/1/name", "value": "v4" },
    ]);
    case.patch(&definition.path(), Patch::Json, &rename).await?;
    published(case, &definition, "v4").await?;
    withdrawn(case, &definition, "v3").await?;
    ensure!(
        published(case, &definition, "v2").await? == before,
        "the other version is as it was"
    );
    definition.remove(case).await
}

async fn not_served_any_more(case: &Case) -> Result<()> {
    let definition = two_versions(case);
    definition.install(case).await?;
    published(case, &definition, "v3").await?;
    let before = published(case, &definition, "v2").await?;
    let stop = json!([{ "op": "replace", "path": "/spec/versions/1/served", "value": false }]);
    case.patch(&definition.path(), Patch::Json, &stop).await?;
    withdrawn(case, &definition, "v3").await?;
    ensure!(
        published(case, &definition, "v2").await? == before,
        "the other version is as it was"
    );
    definition.remove(case).await
}
