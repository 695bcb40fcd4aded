//! What a ServiceAccount's token says: its claims, as upstream lays them out
//! (`kubernetes/pkg/serviceaccount/claims.go`), and who its holder is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AUTHENTICATED, CREDENTIAL_ID, Identity};

/// Before a ServiceAccount's namespace and name in its user name.
const USER_PREFIX: &str = "system:serviceaccount:";
/// The group of all of them; with a namespace behind it, of those there.
const ACCOUNTS: &str = "system:serviceaccounts";

/// A ServiceAccount by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceAccountRef<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
}

impl<'a> ServiceAccountRef<'a> {
    /// From a user name.
    pub fn of_user(user: &'a str) -> Option<Self> {
        let (namespace, name) = user.strip_prefix(USER_PREFIX)?.split_once(':')?;
        let fine = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
        fine.then_some(Self { namespace, name })
    }

    /// Its user name.
    pub fn user(self) -> String {
        format!("{USER_PREFIX}{}:{}", self.namespace, self.name)
    }

    /// The groups that it belongs to by being one.
    pub fn groups(self) -> Vec<String> {
        vec![ACCOUNTS.to_owned(), format!("{ACCOUNTS}:{}", self.namespace)]
    }
}

/// The claims.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) aud: Audiences,
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) iss: String,
    pub(super) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(super) kubernetes: Private,
    pub(super) nbf: i64,
    pub(super) sub: String,
}

/// RFC 7519 allows one audience to stand alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audiences {
    Many(Vec<String>),
    One(String),
}

impl Audiences {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::Many(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

/// What is Kubernetes' own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Private {
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) node: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) pod: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) secret: Option<ObjectRef>,
    pub(super) serviceaccount: ObjectRef,
}

/// An object, and which of those that have borne its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectRef {
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: String,
}

/// An object that a token lives no longer than.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundObject {
    /// Which kind.
    pub kind: BoundKind,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What a token may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundKind {
    /// A Pod: a view of a job's attempt.
    Pod,
    /// A Secret.
    Secret,
    /// A Node.
    Node,
}

impl BoundKind {
    /// From `apiVersion` and `kind` of a reference.
    pub fn parse(api_version: &str, kind: &str) -> Option<Self> {
        match (api_version, kind) {
            ("v1", "Pod") => Some(Self::Pod),
            ("v1", "Secret") => Some(Self::Secret),
            ("v1", "Node") => Some(Self::Node),
            _ => None,
        }
    }

    /// The resource, in the core group.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Secret => "secrets",
            Self::Node => "nodes",
        }
    }
}

impl Private {
    /// Everything that has to be there for the token to be worth something, beside the account itself.
    pub(super) fn bound(&self) -> impl Iterator<Item = (BoundKind, &ObjectRef)> {
        let all = [
            (BoundKind::Pod, &self.pod),
            (BoundKind::Secret, &self.secret),
            (BoundKind::Node, &self.node),
        ];
        all.into_iter()
            .filter_map(|(kind, object)| object.as_ref().map(|object| (kind, object)))
    }

    fn account(&self) -> ServiceAccountRef<'_> {
        ServiceAccountRef {
            namespace: &self.namespace,
            name: &self.serviceaccount.name,
        }
    }
}

impl Claims {
    /// Whose token it is; none when what it says of that does not fit together.
    pub(super) fn identity(&self) -> Option<Identity> {
        let account = self.kubernetes.account();
        if self.sub != account.user() || ServiceAccountRef::of_user(&self.sub) != Some(account) {
            return None;
        }
        let mut extra = BTreeMap::new();
        let mut note = |key: &str, value: &str| {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        };
        let named = [("pod", &self.kubernetes.pod), ("node", &self.kubernetes.node)];
        for (what, object) in named {
            if let Some(object) = object {
                note(&format!("{what}-name"), &object.name);
                note(&format!("{what}-uid"), &object.uid);
            }
        }
        extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", self.jti)]);
        let mut groups = account.groups();
        groups.push(AUTHENTICATED.to_owned());
        Some(Identity {
            user: self.sub.clone(),
            uid: self.kubernetes.serviceaccount.uid.clone(),
            groups,
            extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_user_names_are_accounts() {
        let found = ServiceAccountRef::of_user("system:serviceaccount:ns:ci").unwrap();
        assert_eq!((found.namespace, found.name), ("ns", "ci"));
        assert_eq!(found.user(), "system:serviceaccount:ns:ci");
        for other in [
            "ann",
            "system:serviceaccount:ns",
            "system:serviceaccount::ci",
            "system:serviceaccount:a:b:c",
        ] {
            assert!(ServiceAccountRef::of_user(other).is_none(), "{other}");
        }
    }
}
