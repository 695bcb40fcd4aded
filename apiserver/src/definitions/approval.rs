//! The groups of the Kubernetes community: who defines a kind in one says where that was approved, or that it was not.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::schema::is_request_uri;

pub(super) const ANNOTATION: &str = "api-approved.kubernetes.io";

/// What a definition's annotation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

pub(super) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|of| {
        group
            .strip_suffix(of)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

pub(super) fn annotation(crd: &CustomResourceDefinition) -> &str {
    let annotations = crd.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(ANNOTATION))
        .map(String::as_str)
        .unwrap_or_default()
}

/// What the annotation says, and how upstream words it.
pub(super) fn approval(crd: &CustomResourceDefinition) -> (Approval, String) {
    let given = annotation(crd);
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let has_host = given
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(['/', '?']));
    if given.is_empty() {
        let words = format!("protected groups must have approval annotation {ANNOTATION:?}, {see}");
        (Approval::Missing, words)
    } else if given.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {given:?}"))
    } else if has_host && is_request_uri(given) {
        (Approval::Approved, format!("approved in {given}"))
    } else {
        let words = format!(
            "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting with \
             \"unapproved\", {see}"
        );
        (Approval::Invalid, words)
    }
}
