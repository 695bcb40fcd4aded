//! [sig-auth] ServiceAccounts and SubjectReview.

use anyhow::{Result, ensure};
use breakbulk_conformance::case::{Case, Patch, SOON, names, text};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::wait::{self, Look};
use serde_json::json;

pub(crate) const TESTS: &[Test] = tests![
    "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview" => token,
    "[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace" => root_certificate,
    "[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount" => lifecycle,
    "[sig-auth] ServiceAccounts should update a ServiceAccount" => update,
    "[sig-auth] SubjectReview should support SubjectReview API operations" => subject_review,
];

async fn account(case: &Case, name: &str) -> Result<String> {
    let accounts = case.core("serviceaccounts");
    case.create(
        &accounts,
        &json!({ "metadata": { "name": name, "labels": { "test": name } } }),
    )
    .await?;
    Ok(format!("{accounts}/{name}"))
}

async fn token(case: &Case) -> Result<()> {
    let path = account(case, "e2e").await?;
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let made = case.create(&format!("{path}/token"), &request).await?;
    let token = text(&made, "/status/token");
    ensure!(
        token.split('.').count() == 3 && made["status"]["expirationTimestamp"].is_string(),
        "{made}"
    );
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token } });
    let reviewed = case
        .create("/apis/authentication.k8s.io/v1/tokenreviews", &review)
        .await?;
    ensure!(reviewed["status"]["authenticated"] == true, "{reviewed}");
    let user = &reviewed["status"]["user"];
    ensure!(
        user["username"] == format!("system:serviceaccount:{}:e2e", case.namespace).as_str(),
        "{user}"
    );
    for group in [
        "system:serviceaccounts",
        &format!("system:serviceaccounts:{}", case.namespace),
        "system:authenticated",
    ] {
        ensure!(
            user["groups"].as_array().is_some_and(|all| all.contains(&json!(group))),
            "{group}: {user}"
        );
    }
    let wrong = json!({ "spec": { "token": format!("{token}x") } });
    let reviewed = case
        .create("/apis/authentication.k8s.io/v1/tokenreviews", &wrong)
        .await?;
    ensure!(reviewed["status"]["authenticated"] != true, "{reviewed}");
    Ok(())
}

async fn root_certificate(case: &Case) -> Result<()> {
    let path = format!("{}/kube-root-ca.crt", case.core("configmaps"));
    let whole = |map: &serde_json::Value| text(map, "/data/ca.crt").contains("BEGIN CERTIFICATE");
    let first = case.until(&path, "the certificate", whole).await?;
    case.delete(&path).await?;
    let again = case.until(&path, "another one", |map| {
        whole(map) && map["metadata"]["uid"] != first["metadata"]["uid"]
    });
    ensure!(again.await?["data"] == first["data"]);
    case.patch(&path, Patch::Merge, &json!({ "data": { "ca.crt": "" } }))
        .await?;
    case.until(&path, "the certificate again", whole).await.map(drop)
}

async fn lifecycle(case: &Case) -> Result<()> {
    let accounts = case.core("serviceaccounts");
    let mut watch = case.watch(&format!("{accounts}?labelSelector=test%3Dcycle")).await?;
    let path = account(case, "cycle").await?;
    watch.expect("ADDED", "cycle").await?;
    let patched = case
        .patch(
            &path,
            Patch::Strategic,
            &json!({ "automountServiceAccountToken": false }),
        )
        .await?;
    ensure!(patched["automountServiceAccountToken"] == false, "{patched}");
    watch.expect("MODIFIED", "cycle").await?;
    ensure!(names(&case.get("/api/v1/serviceaccounts?labelSelector=test%3Dcycle").await?) == ["cycle"]);
    case.delete(&format!("{accounts}?labelSelector=test%3Dcycle")).await?;
    watch.expect("DELETED", "cycle").await.map(drop)
}

async fn update(case: &Case) -> Result<()> {
    let path = account(case, "update").await?;
    let updated = case
        .edit(&path, |account| account["automountServiceAccountToken"] = json!(true))
        .await?;
    ensure!(updated["automountServiceAccountToken"] == true, "{updated}");
    Ok(())
}

async fn subject_review(case: &Case) -> Result<()> {
    account(case, "asked").await?;
    let user = format!("system:serviceaccount:{}:asked", case.namespace);
    let attributes = json!({ "namespace": case.namespace, "verb": "list", "resource": "configmaps", "version": "v1" });
    let review = |kind: &str| {
        let mut review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": kind,
            "spec": { "user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": attributes },
        });
        if kind == "LocalSubjectAccessReview" {
            review["metadata"] = json!({ "namespace": case.namespace });
        }
        review
    };
    let everywhere = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let here = case.group("authorization.k8s.io/v1", "localsubjectaccessreviews");
    for (path, kind) in [(everywhere, "SubjectAccessReview"), (&here, "LocalSubjectAccessReview")] {
        let answer = case.create(path, &review(kind)).await?;
        ensure!(answer["status"]["allowed"] == false, "{answer}");
    }
    let role = json!({ "metadata": { "name": "lister" }, "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"] }] });
    case.create(&case.group("rbac.authorization.k8s.io/v1", "roles"), &role)
        .await?;
    let binding = json!({
        "metadata": { "name": "lister" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lister" },
        "subjects": [{ "kind": "ServiceAccount", "name": "asked", "namespace": case.namespace }],
    });
    case.create(&case.group("rbac.authorization.k8s.io/v1", "rolebindings"), &binding)
        .await?;
    for (path, kind) in [(everywhere, "SubjectAccessReview"), (&here, "LocalSubjectAccessReview")] {
        wait::until("the role to be known", SOON, async || {
            let answer = case.create(path, &review(kind)).await?;
            let allowed = answer["status"]["allowed"] == true;
            Ok(Look::some(allowed.then_some(()), || answer.to_string()))
        })
        .await?;
    }
    Ok(())
}
