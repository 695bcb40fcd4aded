//! The node authorizer: a node's agent reads only what its own jobs need and writes only what is its own to tell. An
//! agent runs other people's code and is a tenant, not a peer; a stolen certificate must be worth one node.

use super::{Attributes, Decision};

/// What the decision has to know of stored objects.
pub trait NodeLookup {
    /// The node that a Job is bound to, or whose attempt was the last.
    fn bound_node(&self, namespace: &str, job: &str) -> Option<String>;
    /// Whether a Job that is bound to the node and has not ended names the Secret, or a repository that does.
    fn uses_secret(&self, node: &str, namespace: &str, secret: &str) -> bool;
    /// Whether a Job that is bound to the node and has not ended checks the GitRepository out.
    fn uses_repository(&self, node: &str, namespace: &str, repository: &str) -> bool;
}

const LEASES: &str = "kube-node-lease";

pub(super) fn decide(node: &str, asks: &Attributes<'_>, lookup: &dyn NodeLookup) -> Decision {
    let allowed = match (asks.group, asks.resource) {
        ("breakbulk.dev", "jobs") => jobs(node, asks, lookup),
        ("breakbulk.dev", "gitrepositories") => {
            reads(asks) && named(asks, |namespace, name| lookup.uses_repository(node, namespace, name))
        }
        ("", "secrets") => {
            asks.verb == "get" && named(asks, |namespace, name| lookup.uses_secret(node, namespace, name))
        }
        ("", "nodes") => own_node(node, asks),
        ("coordination.k8s.io", "leases") => {
            asks.namespace == Some(LEASES)
                && (asks.verb == "create"
                    || (asks.name == Some(node) && matches!(asks.verb, "get" | "update" | "patch" | "delete")))
        }
        ("" | "events.k8s.io", "events") => matches!(asks.verb, "create" | "patch" | "update"),
        _ => false,
    };
    if allowed {
        return Decision::Allow(None);
    }
    Decision::Deny("a node may only reach what belongs to it and to the jobs bound to it".to_owned())
}

fn reads(asks: &Attributes<'_>) -> bool {
    asks.verb == "get" && asks.subresource.is_empty()
}

fn named(asks: &Attributes<'_>, holds: impl Fn(&str, &str) -> bool) -> bool {
    match (asks.namespace, asks.name) {
        (Some(namespace), Some(name)) => holds(namespace, name),
        _ => false,
    }
}

fn jobs(node: &str, asks: &Attributes<'_>, lookup: &dyn NodeLookup) -> bool {
    let own = || {
        named(asks, |namespace, name| {
            lookup.bound_node(namespace, name).as_deref() == Some(node)
        })
    };
    match (asks.verb, asks.subresource) {
        ("list" | "watch", "") => asks.field_selector.required("spec.nodeName") == Some(node),
        ("get", "" | "status") => own(),
        ("update" | "patch", "status") => own(),
        // It may hand back a binding that it cannot honour; the kind's rules keep it from changing anything else that
        // matters, and the binding's compare-and-swap from racing the scheduler.
        ("patch", "") => own(),
        _ => false,
    }
}

fn own_node(node: &str, asks: &Attributes<'_>) -> bool {
    match (asks.verb, asks.subresource) {
        // Its body's name is checked at admission: a create has no name in its path.
        ("create", "") => true,
        ("get" | "update" | "patch", "" | "status") => asks.name == Some(node),
        ("list" | "watch", "") => asks.field_selector.required("metadata.name") == Some(node),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::FieldSelector;

    /// Job `j` in `ns` is bound to n1 and uses secret `s` and repository `r`.
    struct OneJob;

    impl NodeLookup for OneJob {
        fn bound_node(&self, namespace: &str, job: &str) -> Option<String> {
            ((namespace, job) == ("ns", "j")).then(|| "n1".to_owned())
        }

        fn uses_secret(&self, node: &str, namespace: &str, secret: &str) -> bool {
            (node, namespace, secret) == ("n1", "ns", "s")
        }

        fn uses_repository(&self, node: &str, namespace: &str, repository: &str) -> bool {
            (node, namespace, repository) == ("n1", "ns", "r")
        }
    }

    fn may(node: &str, verb: &str, group: &str, resource: &str, object: (&str, &str), fields: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (namespace, name) = object;
        let some = |text| if str::is_empty(text) { None } else { Some(text) };
        let field_selector = FieldSelector::parse(fields).unwrap();
        let asks = Attributes {
            verb,
            group,
            resource,
            subresource,
            namespace: some(namespace),
            name: some(name),
            field_selector: &field_selector,
            path: "",
        };
        decide(node, &asks, &OneJob).is_allowed()
    }

    #[test]
    fn a_node_reaches_its_own_jobs_and_what_they_name() {
        for (verb, group, resource, object, fields) in [
            ("watch", "breakbulk.dev", "jobs", ("", ""), "spec.nodeName=n1"),
            ("get", "breakbulk.dev", "jobs", ("ns", "j"), ""),
            ("patch", "breakbulk.dev", "jobs/status", ("ns", "j"), ""),
            ("get", "", "secrets", ("ns", "s"), ""),
            ("get", "breakbulk.dev", "gitrepositories", ("ns", "r"), ""),
            ("patch", "", "nodes/status", ("", "n1"), ""),
            ("update", "coordination.k8s.io", "leases", (LEASES, "n1"), ""),
            ("create", "events.k8s.io", "events", ("ns", ""), ""),
        ] {
            assert!(
                may("n1", verb, group, resource, object, fields),
                "{verb} {resource} {object:?} {fields}"
            );
        }
    }

    #[test]
    fn a_node_reaches_nothing_else() {
        for (node, verb, group, resource, object, fields) in [
            ("n2", "get", "breakbulk.dev", "jobs", ("ns", "j"), ""),
            ("n2", "patch", "breakbulk.dev", "jobs/status", ("ns", "j"), ""),
            ("n2", "get", "", "secrets", ("ns", "s"), ""),
            ("n1", "get", "", "secrets", ("ns", "t"), ""),
            ("n1", "list", "", "secrets", ("ns", ""), ""),
            ("n1", "list", "breakbulk.dev", "jobs", ("", ""), ""),
            ("n1", "watch", "breakbulk.dev", "jobs", ("", ""), "spec.nodeName=n2"),
            ("n1", "watch", "breakbulk.dev", "jobs", ("", ""), "spec.nodeName!=n2"),
            ("n1", "delete", "breakbulk.dev", "jobs", ("ns", "j"), ""),
            ("n1", "create", "breakbulk.dev", "jobs", ("ns", ""), ""),
            ("n1", "patch", "", "nodes", ("", "n2"), ""),
            ("n1", "delete", "", "nodes", ("", "n1"), ""),
            (
                "n1",
                "update",
                "coordination.k8s.io",
                "leases",
                ("kube-system", "n1"),
                "",
            ),
            ("n1", "get", "", "configmaps", ("ns", "c"), ""),
            ("n1", "get", "breakbulk.dev", "jobs/log", ("ns", "j"), ""),
        ] {
            assert!(
                !may(node, verb, group, resource, object, fields),
                "{node}: {verb} {resource} {object:?} {fields}"
            );
        }
    }
}
