//! Authorization: whether an identity may do what a request asks. Everything not allowed is refused.
//!
//! Members of `system:masters` and our own controllers may do everything; a node's agent may do what its own jobs need
//! and nothing else. Roles and bindings will be a further source of permission in the same place.

mod node;

pub use node::NodeLookup;

use crate::authentication::{CONTROLLERS, Identity, MASTERS};
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
    /// It may.
    Allow,
    /// It may not; the reason is for the one who asked.
    Deny(String),
}

/// Paths that say nothing about anybody and may be read by everybody.
const OPEN_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Discovery: what everybody with a certificate may read.
const DISCOVERY: [&str; 4] = ["/api", "/apis", "/openapi", "/version"];

/// Decides.
pub fn decide(identity: &Identity, attributes: &Attributes<'_>, lookup: &dyn NodeLookup) -> Decision {
    if identity.is_in(MASTERS) || identity.is_in(CONTROLLERS) {
        return Decision::Allow;
    }
    if attributes.resource.is_empty() && attributes.verb == "get" {
        let under = |root: &&str| {
            attributes
                .path
                .strip_prefix(*root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let open = OPEN_PATHS.iter().any(under);
        let known = identity.is_in("system:authenticated") && DISCOVERY.iter().any(under);
        return if open || known {
            Decision::Allow
        } else {
            Decision::Deny(String::new())
        };
    }
    match identity.node() {
        Some(node) => node::decide(node, attributes, lookup),
        None => Decision::Deny(String::new()),
    }
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

    #[test]
    fn masters_may_everything_and_strangers_nothing() {
        let none = FieldSelector::default();
        let secrets = asks("list", "secrets", "/api/v1/secrets", &none);
        assert_eq!(decide(&person(&[MASTERS]), &secrets, &Nothing), Decision::Allow);
        assert_ne!(
            decide(&person(&["system:authenticated"]), &secrets, &Nothing),
            Decision::Allow
        );
        assert_ne!(decide(&Identity::anonymous(), &secrets, &Nothing), Decision::Allow);
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
            let decision = decide(&Identity::anonymous(), &asks(verb, "", path, &none), &Nothing);
            assert_eq!(decision == Decision::Allow, allowed, "{verb} {path}");
        }
    }
}
