//! Which rules match what is asked, and what bindings make of them.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde_json::{Value, json};

use super::*;
use crate::authentication::Identity;
use crate::authorization::{Attributes, Decision};
use crate::selector::FieldSelector;

fn rule(value: Value) -> Rule {
    serde_json::from_value::<k8s_openapi::api::rbac::v1::PolicyRule>(value)
        .unwrap()
        .into()
}

fn allows(rule: &Rule, verb: &str, group: &str, resource: &str, name: &str) -> bool {
    let none = FieldSelector::default();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    rule.allows(&Attributes {
        verb,
        group,
        resource,
        subresource,
        namespace: None,
        name: Some(name).filter(|name| !name.is_empty()),
        field_selector: &none,
        path: "",
    })
}

#[test]
fn rules_match_as_upstreams_do() {
    let some =
        rule(json!({"verbs": ["get", "list"], "apiGroups": ["", "g"], "resources": ["pods", "pods/log", "*/scale"]}));
    let all = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
    let named = rule(json!({
        "verbs": ["get", "list", "create"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"],
    }));
    for (rule, verb, group, resource, name, expected) in [
        (&some, "get", "", "pods", "x", true),
        (&some, "list", "g", "pods", "", true),
        (&some, "delete", "", "pods", "x", false),
        (&some, "get", "h", "pods", "x", false),
        (&some, "get", "", "pods/log", "x", true),
        (&some, "get", "", "pods/exec", "x", false),
        (&some, "get", "", "jobs/scale", "x", true),
        (&some, "get", "", "scale", "x", false),
        (&some, "*", "", "pods", "x", false),
        (&all, "get", "any", "thing/below", "x", true),
        (&all, "*", "*", "*", "", true),
        (&named, "get", "", "secrets", "a", true),
        (&named, "get", "", "secrets", "b", false),
        (&named, "list", "", "secrets", "", false),
        (&named, "list", "", "secrets", "a", true),
        (&named, "create", "", "secrets", "", false),
    ] {
        assert_eq!(
            allows(rule, verb, group, resource, name),
            expected,
            "{rule}: {verb} {group} {resource} {name}"
        );
    }
}

fn objects() -> (Vec<ClusterRole>, Vec<ClusterRoleBinding>) {
    let role = json!({
        "metadata": {"name": "reader"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}],
    });
    let binding = |name: &str, role: &str, kind: &str, who: &str, namespace: Option<&str>| {
        json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": kind, "name": who, "namespace": namespace}],
        })
    };
    let bindings = json!([
        binding("b1", "reader", "User", "ann", None),
        binding("b2", "reader", "Group", "dev", None),
        binding("b3", "reader", "ServiceAccount", "ci", Some("ns")),
        binding("b4", "nothing", "User", "eve", None),
    ]);
    (
        serde_json::from_value(json!([role])).unwrap(),
        serde_json::from_value(bindings).unwrap(),
    )
}

fn who(user: &str, groups: &[&str]) -> Identity {
    Identity {
        user: user.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Identity::default()
    }
}

#[test]
fn a_binding_gives_to_users_groups_and_accounts_and_says_why() {
    let (roles, bindings) = objects();
    let index = Index::of_cluster(&roles, &bindings);
    let none = FieldSelector::default();
    let decide = |identity: &Identity| {
        let asks = Attributes {
            verb: "get",
            group: "",
            resource: "configmaps",
            subresource: "",
            namespace: Some("default"),
            name: Some("a"),
            field_selector: &none,
            path: "",
        };
        index.decide(identity, &asks)
    };
    for (identity, because) in [
        (
            who("ann", &[]),
            "RBAC: allowed by ClusterRoleBinding \"b1\" of ClusterRole \"reader\" to User \"ann\"",
        ),
        (
            who("bob", &["x", "dev"]),
            "RBAC: allowed by ClusterRoleBinding \"b2\" of ClusterRole \"reader\" to Group \"dev\"",
        ),
        (
            who("system:serviceaccount:ns:ci", &[]),
            "RBAC: allowed by ClusterRoleBinding \"b3\" of ClusterRole \"reader\" to ServiceAccount \"ci/ns\"",
        ),
    ] {
        assert_eq!(decide(&identity), Decision::Allow(Some(because.into())));
    }
    assert_eq!(decide(&who("dev", &["ann"])), Decision::Deny(String::new()));
    assert_eq!(
        decide(&who("eve", &[])),
        Decision::Deny("RBAC: clusterrole.rbac.authorization.k8s.io \"nothing\" not found".to_owned())
    );
}
