//! [sig-api-machinery] ValidatingAdmissionPolicy. Upstream's Deployments are objects of a definition with replicas here.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Answer, Case, Patch, SOON, names};
use breakbulk_conformance::definition::{Definition, Storage, version};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::wait::{self, Look};
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should allow expressions to refer variables." => variables,
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy API operations" => policy_operations,
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicyBinding API operations" => binding_operations,
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should validate against a Deployment" => against_objects,
];

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

fn deployment(case: &Case) -> Definition {
    let schema = json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": {
        "replicas": { "type": "integer" }, "image": { "type": "string" } } } } });
    Definition::new(case, "Deployable", &json!([version("v1", Storage::Yes, &schema)]))
}

fn policy(name: &str, definition: &Definition, variables: &Value, validations: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail", "variables": variables, "validations": validations,
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [definition.group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": [definition.plural] }] },
        },
    })
}

fn binding(name: &str, case: &Case) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": ["Deny"], "matchResources": {
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": case.namespace } } } },
    })
}

fn object(definition: &Definition, name: &str, replicas: u32) -> Value {
    let mut object = definition.object("v1", name);
    object["spec"] = json!({ "replicas": replicas, "image": "one" });
    object
}

/// Creates objects that the policy refuses until it does, as upstream waits for it: gives the refusal.
async fn refused(case: &Case, definition: &Definition, replicas: u32) -> Result<Answer> {
    let path = definition.objects(case, "v1");
    wait::until("the policy to be in force", SOON, async || {
        let dry = format!("{path}?dryRun=All");
        let answer = case.try_create(&dry, &object(definition, "marker", replicas)).await?;
        let refused = answer.code != 201;
        Ok(if refused {
            Look::Done(answer)
        } else {
            Look::NotYet("it is let through".to_owned())
        })
    })
    .await
}

async fn against_objects(case: &Case) -> Result<()> {
    let definition = deployment(case);
    definition.install(case).await?;
    let name = case.unique("replicas");
    let validations = json!([
        { "expression": "object.spec.replicas > 1", "messageExpression": "'wants replicas > 1, got ' + string(object.spec.replicas)" },
        { "expression": "namespaceObject.metadata.name == 'NS'".replace("NS", &case.namespace), "message": "Internal error! Other namespace should not be allowed." },
    ]);
    let made = case
        .create(POLICIES, &policy(&name, &definition, &json!([]), &validations))
        .await?;
    ensure!(
        made["spec"]["matchConstraints"]["matchPolicy"] == "Equivalent",
        "defaults are there: {made}"
    );
    case.create(BINDINGS, &binding(&name, case)).await?;
    let answer = refused(case, &definition, 1).await?;
    let text =
        format!("ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: wants replicas > 1, got 1");
    let status = answer.refused_saying(422, &[&text])?;
    ensure!(status["reason"] == "Invalid", "{status}");
    let path = definition.objects(case, "v1");
    case.create(&path, &object(&definition, "fine", 2)).await?;
    let shrink = json!({ "spec": { "replicas": 1 } });
    case.try_patch(&format!("{path}/fine"), Patch::Merge, &shrink)
        .await?
        .refused_saying(422, &["wants replicas > 1"])?;
    remove(case, &name, &definition).await
}

async fn variables(case: &Case) -> Result<()> {
    let definition = deployment(case);
    definition.install(case).await?;
    let name = case.unique("variables");
    let variables = json!([
        { "name": "replicas", "expression": "object.spec.replicas" },
        { "name": "oddReplicas", "expression": "variables.replicas % 2 == 1" },
    ]);
    let validations = json!([
        { "expression": "variables.replicas > 1" },
        { "expression": "variables.oddReplicas" },
    ]);
    case.create(POLICIES, &policy(&name, &definition, &variables, &validations))
        .await?;
    case.create(BINDINGS, &binding(&name, case)).await?;
    refused(case, &definition, 1)
        .await?
        .refused_saying(422, &["failed expression: variables.replicas > 1"])?;
    let path = definition.objects(case, "v1");
    let even = case.try_create(&path, &object(&definition, "even", 4)).await?;
    even.refused_saying(422, &["failed expression: variables.oddReplicas"])?;
    case.create(&path, &object(&definition, "odd", 3)).await?;
    remove(case, &name, &definition).await
}

async fn remove(case: &Case, name: &str, definition: &Definition) -> Result<()> {
    case.delete(&format!("{BINDINGS}/{name}")).await?;
    case.delete(&format!("{POLICIES}/{name}")).await?;
    definition.remove(case).await
}

/// Every verb on a collection of cluster-scoped objects.
async fn operations(case: &Case, collection: &str, make: impl Fn(&str) -> Value) -> Result<()> {
    let label = case.unique("ops");
    let selected = format!("{collection}?labelSelector=e2e%3D{label}");
    let labelled = |name: &str| {
        let mut object = make(&format!("{label}-{name}"));
        object["metadata"]["labels"] = json!({ "e2e": label });
        object
    };
    let mut watch = case.watch(&selected).await?;
    let name = |short: &str| format!("{label}-{short}");
    for short in ["a", "b", "c"] {
        case.create(collection, &labelled(short)).await?;
        watch.skip_to("ADDED", &name(short)).await?;
    }
    let path = format!("{collection}/{}", name("a"));
    ensure!(case.get(&path).await?["metadata"]["labels"]["e2e"] == label.as_str());
    ensure!(names(&case.get(&selected).await?).len() == 3);
    let patch = json!({ "metadata": { "annotations": { "patched": "true" } } });
    let patched = case.patch(&path, Patch::Merge, &patch).await?;
    ensure!(patched["metadata"]["annotations"]["patched"] == "true", "{patched}");
    watch.skip_to("MODIFIED", &name("a")).await?;
    case.edit(&path, |object| {
        object["metadata"]["annotations"]["updated"] = json!("true");
    })
    .await?;
    // The server says what it thinks of a policy in its status: that is told, too.
    let both = json!({ "patched": "true", "updated": "true" });
    while watch.skip_to("MODIFIED", &name("a")).await?["metadata"]["annotations"] != both {}
    case.delete(&path).await?;
    watch.skip_to("DELETED", &name("a")).await?;
    case.send(Method::GET, &path, None, Vec::new()).await?.refused(404)?;
    case.delete(&selected).await?;
    ensure!(names(&case.get(&selected).await?).is_empty());
    Ok(())
}

async fn discovered(case: &Case, resources: &[&str]) -> Result<()> {
    let list = case.get("/apis/admissionregistration.k8s.io/v1").await?;
    for resource in resources {
        let found = list["resources"]
            .as_array()
            .is_some_and(|all| all.iter().any(|r| r["name"] == *resource));
        ensure!(found, "{resource} is not in {list}");
    }
    Ok(())
}

async fn policy_operations(case: &Case) -> Result<()> {
    discovered(
        case,
        &["validatingadmissionpolicies", "validatingadmissionpolicies/status"],
    )
    .await?;
    let nothing = deployment(case);
    let validations = json!([{ "expression": "object.spec.replicas <= 100" }]);
    operations(case, POLICIES, |name| policy(name, &nothing, &json!([]), &validations)).await?;
    let name = case.unique("state");
    case.create(POLICIES, &policy(&name, &nothing, &json!([]), &validations))
        .await?;
    let status = format!("{POLICIES}/{name}/status");
    let condition = json!({ "type": "PatchStatusFailed", "status": "False", "reason": "e2e", "message": "Set by a test",
        "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let patched = case
        .patch(
            &status,
            Patch::Merge,
            &json!({ "status": { "conditions": [condition] } }),
        )
        .await?;
    ensure!(
        patched["status"]["conditions"][0]["type"] == "PatchStatusFailed",
        "{patched}"
    );
    let broken = json!([{ "expression": "object.spec.replicas +" }]);
    let refused = case
        .try_create(POLICIES, &policy(&case.unique("broken"), &nothing, &json!([]), &broken))
        .await?;
    refused.refused_saying(422, &["compilation failed"])?;
    case.delete(&format!("{POLICIES}/{name}")).await.map(drop)
}

async fn binding_operations(case: &Case) -> Result<()> {
    discovered(case, &["validatingadmissionpolicybindings"]).await?;
    operations(case, BINDINGS, |name| binding(name, case)).await
}
