//! Authorization: whether an identity may do what a request asks. Everything not allowed is refused.
//!
//! Asked in this order: members of `system:masters` may do everything; health may be read by everybody; a node's agent
//! may do what its own jobs need (`node`); everybody may do what roles and bindings allow ([`rbac`]). Writing these
//! is limited by [`escalation`]; those that are always there come from [`bootstrap`]; [`aggregation`] fills roles that
//! are made of others.

pub mod aggregation;
mod authorizer;
pub mod bootstrap;
pub mod escalation;
mod node;
pub mod rbac;
pub mod validation;

use std::sync::Arc;

pub use authorizer::Authorizer;
pub use node::NodeLookup;

use crate::authentication::{Identity, MASTERS};
use crate::selector::FieldSelector;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'a str,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource in the plural; empty for a path that is no resource.
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, where there is one.
    pub namespace: Option<&'a str>,
    /// The object, where one is named.
    pub name: Option<&'a str>,
    /// The field selector of a list or watch.
    pub field_selector: &'a FieldSelector,
    /// The URL's path.
    pub path: &'a str,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may; why, where a rule says so.
    Allow(Option<Arc<str>>),
    /// It may not; the reason is for the one who asked.
    Deny(String),
}

impl Decision {
    /// Whether it may.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Paths that say nothing about anybody and may be read by everybody, whatever the roles say: what watches over the
/// server has no credentials.
const HEALTH: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Decides.
pub fn decide(
    identity: &Identity,
    attributes: &Attributes<'_>,
    lookup: &dyn NodeLookup,
    roles: &rbac::Index,
) -> Decision {
    if identity.is_in(MASTERS) {
        return Decision::Allow(None);
    }
    if attributes.resource.is_empty() && attributes.verb == "get" && is_health(attributes.path) {
        return Decision::Allow(None);
    }
    let of_node = identity.node().filter(|_| !attributes.resource.is_empty());
    let first = of_node.map(|node| node::decide(node, attributes, lookup));
    if first.as_ref().is_some_and(Decision::is_allowed) {
        return Decision::Allow(None);
    }
    match (roles.decide(identity, attributes), first) {
        (Decision::Deny(why), Some(Decision::Deny(node))) if why.is_empty() => Decision::Deny(node),
        (decision, _) => decision,
    }
}

fn is_health(path: &str) -> bool {
    let under = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    HEALTH.iter().any(|root| under(root))
}

/// The message of a 403, in upstream's words.
pub fn refusal(identity: &Identity, attributes: &Attributes<'_>, reason: &str) -> String {
    let tail = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    if attributes.resource.is_empty() {
        return format!(
            "User \"{}\" cannot {} path \"{}\"{tail}",
            identity.user, attributes.verb, attributes.path
        );
    }
    let resource = match attributes.subresource {
        "" => attributes.resource.to_owned(),
        subresource => format!("{}/{subresource}", attributes.resource),
    };
    let scope = match attributes.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    format!(
        "User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" {scope}{tail}",
        identity.user, attributes.verb, attributes.group
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl NodeLookup for Nothing {
        fn bound_node(&self, _: &str, _: &str) -> Option<String> {
            None
        }

        fn uses_secret(&self, _: &str, _: &str, _: &str) -> bool {
            false
        }

        fn uses_repository(&self, _: &str, _: &str, _: &str) -> bool {
            false
        }
    }

    fn person(groups: &[&str]) -> Identity {
        Identity {
            user: "ann".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Identity::default()
        }
    }

    fn asks<'a>(verb: &'a str, resource: &'a str, path: &'a str, none: &'a FieldSelector) -> Attributes<'a> {
        Attributes {
            verb,
            group: "",
            resource,
            subresource: "",
            namespace: None,
            name: None,
            field_selector: none,
            path,
        }
    }

    fn may(identity: &Identity, attributes: &Attributes<'_>) -> bool {
        let (roles, bindings) = bootstrap::defaults();
        let index = rbac::Index::of_cluster(&roles, &bindings);
        decide(identity, attributes, &Nothing, &index).is_allowed()
    }

    #[test]
    fn masters_may_everything_and_strangers_nothing() {
        let none = FieldSelector::default();
        let secrets = asks("list", "secrets", "/api/v1/secrets", &none);
        assert!(may(&person(&[MASTERS]), &secrets));
        assert!(!may(&person(&["system:authenticated"]), &secrets));
        assert!(!may(&Identity::anonymous(), &secrets));
    }

    #[test]
    fn anonymous_reaches_health_and_version_alone() {
        let none = FieldSelector::default();
        for (path, verb, allowed) in [
            ("/healthz", "get", true),
            ("/livez/ping", "get", true),
            ("/version", "get", true),
            ("/version", "post", false),
            ("/versionx", "get", false),
            ("/api", "get", false),
            ("/openapi/v3", "get", false),
            ("/metrics", "get", false),
        ] {
            let allows = may(&Identity::anonymous(), &asks(verb, "", path, &none));
            assert_eq!(allows, allowed, "{verb} {path}");
        }
    }

    #[test]
    fn whoever_is_known_may_look_at_what_is_served() {
        let none = FieldSelector::default();
        let known = person(&["system:authenticated"]);
        for path in ["/api", "/apis/breakbulk.dev/v1", "/openapi/v3", "/version"] {
            assert!(may(&known, &asks("get", "", path, &none)), "{path}");
        }
        assert!(!may(&known, &asks("get", "", "/metrics", &none)));
    }
}
