//! The table of Kubernetes' own kinds that are kept here.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::{Names, Row, plain, through};
use crate::authorization::validation;
use crate::registry::resource::{Generation, NameRule, Rules, Subresource};
use crate::registry::{events, rules};

const STATUS: &[Subresource] = &[Subresource::STATUS];
const NAMESPACE: &[Subresource] = &[Subresource::STATUS, Subresource::FINALIZE];

/// All of them.
pub(super) fn all() -> impl Iterator<Item = Row> {
    [core_group(), agreements(), access(), extensions()]
        .into_iter()
        .flatten()
}

/// The core group.
fn core_group() -> Vec<Row> {
    let all = |names, typed| plain("", names, false, typed);
    let inside = |names, typed| plain("", names, true, typed);
    vec![
        Row {
            subresources: NAMESPACE,
            names: NameRule::Label,
            fields: &["status.phase"],
            rules: rules::NAMESPACE,
            ..all(("Namespace", "namespaces", &["ns"]), through::<Namespace>)
        },
        Row {
            subresources: STATUS,
            fields: &["spec.unschedulable"],
            rules: rules::NODE,
            ..all(("Node", "nodes", &["no"]), through::<Node>)
        },
        Row {
            fields: &["type"],
            rules: rules::SECRET,
            ..inside(("Secret", "secrets", &[]), through::<Secret>)
        },
        Row {
            rules: rules::CONFIG_MAP,
            ..inside(("ConfigMap", "configmaps", &["cm"]), through::<ConfigMap>)
        },
        Row {
            fields: &events::FIELDS,
            rules: rules::EVENT,
            ..inside(("Event", "events", &["ev"]), through::<Event>)
        },
        inside(
            ("ServiceAccount", "serviceaccounts", &["sa"]),
            through::<ServiceAccount>,
        ),
        Row {
            subresources: STATUS,
            rules: rules::QUOTA,
            ..inside(
                ("ResourceQuota", "resourcequotas", &["quota"]),
                through::<ResourceQuota>,
            )
        },
    ]
}

/// What several parties agree by: who leads, who goes first.
fn agreements() -> Vec<Row> {
    let priority: Names = ("PriorityClass", "priorityclasses", &["pc"]);
    vec![
        Row {
            rules: rules::LEASE,
            ..plain("coordination.k8s.io", ("Lease", "leases", &[]), true, through::<Lease>)
        },
        Row {
            rules: rules::PRIORITY_CLASS,
            ..plain("scheduling.k8s.io", priority, false, through::<PriorityClass>)
        },
    ]
}

/// Who may do what.
fn access() -> Vec<Row> {
    let rbac = |names, namespaced, typed| Row {
        names: NameRule::Segment,
        ..plain("rbac.authorization.k8s.io", names, namespaced, typed)
    };
    let ruled = |validate, prepare| Rules { validate, prepare };
    vec![
        Row {
            rules: ruled(validation::role, |_, _| {}),
            ..rbac(("Role", "roles", &[]), true, through::<Role>)
        },
        Row {
            rules: ruled(validation::role_binding, validation::default_binding),
            ..rbac(("RoleBinding", "rolebindings", &[]), true, through::<RoleBinding>)
        },
        Row {
            rules: ruled(validation::cluster_role, |_, _| {}),
            ..rbac(("ClusterRole", "clusterroles", &[]), false, through::<ClusterRole>)
        },
        Row {
            rules: ruled(validation::cluster_role_binding, validation::default_binding),
            ..rbac(
                ("ClusterRoleBinding", "clusterrolebindings", &[]),
                false,
                through::<ClusterRoleBinding>,
            )
        },
    ]
}

/// What extends the API.
fn extensions() -> Vec<Row> {
    const ADMISSION: &str = "admissionregistration.k8s.io";
    let counted = |group, names, typed| Row {
        generation: Generation::Counted,
        categories: &["api-extensions"],
        ..plain(group, names, false, typed)
    };
    vec![
        Row {
            subresources: STATUS,
            rules: rules::DEFINITION,
            ..counted(
                "apiextensions.k8s.io",
                (
                    "CustomResourceDefinition",
                    "customresourcedefinitions",
                    &["crd", "crds"],
                ),
                through::<CustomResourceDefinition>,
            )
        },
        Row {
            subresources: STATUS,
            rules: rules::policies::POLICY,
            ..counted(
                ADMISSION,
                ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", &[]),
                through::<ValidatingAdmissionPolicy>,
            )
        },
        Row {
            rules: rules::policies::BINDING,
            ..counted(
                ADMISSION,
                (
                    "ValidatingAdmissionPolicyBinding",
                    "validatingadmissionpolicybindings",
                    &[],
                ),
                through::<ValidatingAdmissionPolicyBinding>,
            )
        },
        Row {
            rules: rules::webhooks::VALIDATING,
            ..counted(
                ADMISSION,
                ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", &[]),
                through::<ValidatingWebhookConfiguration>,
            )
        },
        Row {
            rules: rules::webhooks::MUTATING,
            ..counted(
                ADMISSION,
                ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", &[]),
                through::<MutatingWebhookConfiguration>,
            )
        },
    ]
}
