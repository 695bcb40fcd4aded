//! The default roles and bindings, as data. Those that Kubernetes has are as upstream's
//! (`kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy`), cut down to the kinds that are here, with our own
//! kinds beside Kubernetes' workloads.

use k8s_openapi::api::rbac::v1::{AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::AUTOUPDATE;
use crate::authentication::{AUTHENTICATED, CONTROLLERS, MASTERS, UNAUTHENTICATED};
use crate::authorization::rbac::GROUP as RBAC;

const CI: &str = breakbulk_schemas::GROUP;
const EVENTS: &str = "events.k8s.io";
const LEASES: &str = "coordination.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const DEFINITIONS: &str = "apiextensions.k8s.io";
/// What people put labels of, so that a role becomes part of another.
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
/// What of ours people work with.
const WORK: [&str; 6] = [
    "concurrencygroups",
    "gitevents",
    "gitrepositories",
    "jobs",
    "pipelineruns",
    "pipelines",
];
const STATUSES: [&str; 6] = [
    "concurrencygroups/status",
    "gitevents/status",
    "gitrepositories/status",
    "jobs/status",
    "pipelineruns/status",
    "pipelines/status",
];
const LOGS: [&str; 2] = ["jobs/log", "pipelineruns/log"];
const DISCOVERY: [&str; 11] = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];
const PUBLIC: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
const MONITORING: [&str; 9] = [
    "/healthz",
    "/healthz/*",
    "/livez",
    "/livez/*",
    "/metrics",
    "/metrics/*",
    "/readyz",
    "/readyz/*",
    "/version",
];

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

fn paths(urls: &[&str]) -> PolicyRule {
    PolicyRule {
        non_resource_urls: Some(owned(urls)),
        verbs: owned(&["get"]),
        ..PolicyRule::default()
    }
}

fn metadata(name: &str) -> ObjectMeta {
    let one = |key: &str, value: &str| Some([(key.to_owned(), value.to_owned())].into());
    ObjectMeta {
        name: Some(name.to_owned()),
        annotations: one(AUTOUPDATE, "true"),
        labels: one("kubernetes.io/bootstrapping", "rbac-defaults"),
        ..ObjectMeta::default()
    }
}

fn role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole {
        metadata: metadata(name),
        rules: Some(rules),
        aggregation_rule: None,
    }
}

/// A role that becomes part of another.
fn part_of(whole: &str, mut role: ClusterRole) -> ClusterRole {
    let labels = role.metadata.labels.get_or_insert_default();
    labels.insert(format!("{AGGREGATE_TO}{whole}"), "true".to_owned());
    role
}

/// A role made of those that are labelled for it.
fn whole(name: &str) -> ClusterRole {
    let labels = [(format!("{AGGREGATE_TO}{name}"), "true".to_owned())];
    let selector = LabelSelector {
        match_labels: Some(labels.into()),
        ..LabelSelector::default()
    };
    ClusterRole {
        metadata: metadata(name),
        rules: None,
        aggregation_rule: Some(AggregationRule {
            cluster_role_selectors: Some(vec![selector]),
        }),
    }
}

fn binding(role: &str, groups: &[&str]) -> ClusterRoleBinding {
    let subject = |group: &&str| Subject {
        api_group: Some(RBAC.to_owned()),
        kind: "Group".to_owned(),
        name: (*group).to_owned(),
        namespace: None,
    };
    ClusterRoleBinding {
        metadata: metadata(role),
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(groups.iter().map(subject).collect()),
    }
}

/// All of them.
pub fn defaults() -> (Vec<ClusterRole>, Vec<ClusterRoleBinding>) {
    let mut roles = of_everybody();
    roles.extend(of_people());
    roles.extend(of_machines());
    let bindings = vec![
        binding("cluster-admin", &[MASTERS]),
        binding("system:discovery", &[AUTHENTICATED]),
        binding("system:basic-user", &[AUTHENTICATED]),
        binding("system:public-info-viewer", &[AUTHENTICATED, UNAUTHENTICATED]),
        binding("system:service-account-issuer-discovery", &["system:serviceaccounts"]),
        binding("system:monitoring", &["system:monitoring"]),
        binding(CONTROLLERS, &[CONTROLLERS]),
    ];
    (roles, bindings)
}

/// What everybody may who is known, and what may be asked by nobody in particular.
fn of_everybody() -> Vec<ClusterRole> {
    let about_oneself = vec![
        rule(
            &["create"],
            AUTHORIZATION,
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        ),
        rule(&["create"], AUTHENTICATION, &["selfsubjectreviews"]),
    ];
    let issuer = paths(&["/.well-known/openid-configuration", "/openid/v1/jwks"]);
    vec![
        role("system:discovery", vec![paths(&DISCOVERY)]),
        role("system:basic-user", about_oneself),
        role("system:public-info-viewer", vec![paths(&PUBLIC)]),
        role("system:service-account-issuer-discovery", vec![issuer]),
        role("system:monitoring", vec![paths(&MONITORING)]),
    ]
}

/// What is given to people.
fn of_people() -> Vec<ClusterRole> {
    let everything = vec![
        rule(&["*"], "*", &["*"]),
        PolicyRule {
            verbs: owned(&["*"]),
            ..paths(&["*"])
        },
    ];
    let admin = vec![
        rule(&[&READ[..], &WRITE].concat(), RBAC, &["rolebindings", "roles"]),
        rule(&["create"], AUTHORIZATION, &["localsubjectaccessreviews"]),
    ];
    vec![
        role("cluster-admin", everything),
        whole("admin"),
        part_of("admin", whole("edit")),
        part_of("edit", whole("view")),
        part_of("admin", role("system:aggregate-to-admin", admin)),
        part_of("edit", role("system:aggregate-to-edit", edit())),
        part_of("view", role("system:aggregate-to-view", view())),
    ]
}

/// What may be looked at. Not Secrets, nor roles: who reads these can become somebody else, or learns whom it is worth to
/// become.
fn view() -> Vec<PolicyRule> {
    vec![
        rule(
            &READ,
            "",
            &[
                "configmaps",
                "events",
                "namespaces",
                "namespaces/status",
                "pods",
                "pods/log",
                "pods/status",
                "resourcequotas",
                "resourcequotas/status",
                "serviceaccounts",
            ],
        ),
        rule(&READ, EVENTS, &["events"]),
        // There are none of these, and who lists them is to learn that.
        rule(
            &READ,
            "",
            &[
                "endpoints",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "services",
            ],
        ),
        rule(
            &READ,
            "apps",
            &["daemonsets", "deployments", "replicasets", "statefulsets"],
        ),
        rule(&READ, "batch", &["cronjobs", "jobs"]),
        rule(&READ, "networking.k8s.io", &["ingresses"]),
        rule(&READ, CI, &[&WORK[..], &STATUSES, &LOGS].concat()),
    ]
}

/// What may be written beside that.
fn edit() -> Vec<PolicyRule> {
    vec![
        rule(&READ, "", &["secrets"]),
        rule(&WRITE, "", &["configmaps", "events", "secrets", "serviceaccounts"]),
        rule(&WRITE, EVENTS, &["events"]),
        rule(&["delete", "deletecollection"], "", &["pods"]),
        rule(&["create"], "", &["pods/eviction", "serviceaccounts/token"]),
        rule(&["impersonate"], "", &["serviceaccounts"]),
        rule(&WRITE, CI, &WORK),
        rule(&[&READ[..], &WRITE].concat(), LEASES, &["leases"]),
    ]
}

/// What our own processes do.
fn of_machines() -> Vec<ClusterRole> {
    let delegator = vec![
        rule(&["create"], AUTHENTICATION, &["tokenreviews"]),
        rule(&["create"], AUTHORIZATION, &["subjectaccessreviews"]),
    ];
    // Bound to nobody: what a node may do depends on the jobs that it has, which no role can say.
    let node = vec![
        rule(&READ, CI, &["jobs"]),
        rule(&["get", "patch", "update"], CI, &["jobs/status"]),
        rule(&["get"], CI, &["gitrepositories"]),
        rule(&["get"], "", &["secrets"]),
        rule(&["create", "get", "list", "patch", "update", "watch"], "", &["nodes"]),
        rule(&["get", "patch", "update"], "", &["nodes/status"]),
        rule(&["create", "delete", "get", "patch", "update"], LEASES, &["leases"]),
        rule(&["create", "patch", "update"], "", &["events"]),
        rule(&["create", "patch", "update"], EVENTS, &["events"]),
    ];
    // Garbage collection and the emptying of namespaces are about all kinds, also those that users bring: they look at
    // everything, let go of it and delete it. They make only what is ours, and give nothing away.
    let controllers = vec![
        rule(
            &["get", "list", "watch", "update", "patch", "delete", "deletecollection"],
            "*",
            &["*"],
        ),
        rule(&["create"], CI, &WORK),
        rule(&["create"], "", &["configmaps", "events", "serviceaccounts"]),
        rule(&["create"], EVENTS, &["events"]),
        rule(&["create"], LEASES, &["leases"]),
        rule(&READ, DEFINITIONS, &["customresourcedefinitions"]),
    ];
    vec![
        role("system:auth-delegator", delegator),
        role("system:node", node),
        role(CONTROLLERS, controllers),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    /// What who may view does not: who reads it becomes somebody else, or learns whom it is worth to become, or it is
    /// read by those who write it.
    const HIDDEN: [(&str, &str); 4] = [
        ("", "secrets"),
        (RBAC, "roles"),
        (RBAC, "rolebindings"),
        (LEASES, "leases"),
    ];

    fn allows(role: &ClusterRole, verb: &str, group: &str, resource: &str) -> bool {
        let has = |list: &Option<Vec<String>>, what: &str| list.iter().flatten().any(|own| own == what);
        let rules = role.rules.iter().flatten();
        let mut allowing = rules.filter(|rule| {
            has(&rule.api_groups, group) && has(&rule.resources, resource) && rule.verbs.iter().any(|own| own == verb)
        });
        allowing.next().is_some()
    }

    fn parts() -> [ClusterRole; 3] {
        let all = of_people();
        ["view", "edit", "admin"].map(|name| {
            let name = format!("system:aggregate-to-{name}");
            let found = all.iter().find(|role| role.metadata.name.as_ref() == Some(&name));
            found.unwrap().clone()
        })
    }

    #[test]
    fn whoever_views_a_namespace_sees_every_kind_in_it_and_its_status() {
        let [view, ..] = parts();
        for row in Registry::new().table().resources() {
            let (group, plural) = (row.group.as_str(), row.plural.as_str());
            if !row.namespaced || HIDDEN.contains(&(group, plural)) {
                continue;
            }
            let readable = |sub: &&str| matches!(*sub, "status" | "log" | "scale");
            let subresources = row.subresources.iter().map(|sub| sub.what.name()).filter(readable);
            for resource in subresources
                .map(|sub| format!("{plural}/{sub}"))
                .chain([plural.to_owned()])
            {
                for verb in READ {
                    assert!(allows(&view, verb, group, &resource), "{verb} {resource} of {group:?}");
                }
            }
        }
    }

    #[test]
    fn whoever_edits_a_namespace_writes_every_kind_of_ours_but_no_status() {
        let [_, edit, admin] = parts();
        for row in breakbulk_schemas::kinds::ALL {
            let crd = row.crd();
            let plural = crd.spec.names.plural;
            for verb in WRITE {
                assert!(allows(&edit, verb, CI, &plural), "{verb} {plural}");
                for role in [&edit, &admin] {
                    assert!(
                        !allows(role, verb, CI, &format!("{plural}/status")),
                        "{verb} {plural}/status"
                    );
                }
            }
        }
    }
}
