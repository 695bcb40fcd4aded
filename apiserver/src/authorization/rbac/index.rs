//! The rules of all roles, by whom they are bound to. Made from the objects whenever one has changed; what has not is not
//! read again.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Rule;
use crate::authentication::{Identity, ServiceAccountRef};
use crate::authorization::{Attributes, Decision};
use crate::cacher::Entry;

/// Something read from entries of a cache, kept while they are as they were.
#[derive(Debug)]
pub struct Memo<T>(HashMap<Arc<str>, (u64, Arc<T>)>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: DeserializeOwned> Memo<T> {
    /// Takes the entries of a cache over. What cannot be read allows nothing and is left out.
    pub fn refresh(&mut self, entries: &[Arc<Entry>]) {
        let mut old = std::mem::take(&mut self.0);
        for entry in entries {
            let known = old
                .remove(&entry.key)
                .filter(|(revision, _)| *revision == entry.revision);
            let read = || match serde_json::from_slice(entry.stored()) {
                Ok(value) => Some((entry.revision, Arc::new(value))),
                Err(error) => {
                    tracing::warn!(key = %entry.key, %error, "a role or binding cannot be read");
                    None
                }
            };
            if let Some(value) = known.or_else(read) {
                self.0.insert(entry.key.clone(), value);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<T>)> {
        self.0.iter().map(|(key, (_, value))| (key, value))
    }
}

/// The rules of a role, as they are needed here.
#[derive(Debug)]
pub struct RoleRules(Arc<[Rule]>);

impl<'de> Deserialize<'de> for RoleRules {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Role {
            #[serde(default)]
            rules: Option<Vec<PolicyRule>>,
        }
        let role = Role::deserialize(deserializer)?;
        let rules = role.rules.unwrap_or_default();
        Ok(Self(rules.into_iter().map(Rule::from).collect()))
    }
}

/// A binding, as it is needed here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    role_ref: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

/// Which role a binding speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RoleKey {
    /// One of the cluster.
    Cluster(String),
    /// One of a namespace: namespace and name.
    Namespaced(String, String),
}

impl RoleKey {
    /// From a reference in a binding of a namespace, or of the cluster.
    pub fn new(reference: &RoleRef, namespace: Option<&str>) -> Option<Self> {
        match (reference.kind.as_str(), namespace) {
            ("ClusterRole", _) => Some(Self::Cluster(reference.name.clone())),
            ("Role", Some(namespace)) => Some(Self::Namespaced(namespace.to_owned(), reference.name.clone())),
            _ => None,
        }
    }

    /// What is said of one that is not there.
    pub fn missing(&self) -> String {
        let (kind, name) = match self {
            Self::Cluster(name) => ("clusterrole", name),
            Self::Namespaced(_, name) => ("role", name),
        };
        format!("{kind}.{} {name:?} not found", super::GROUP)
    }
}

/// What one binding gives to one subject.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The role's rules; none if there is no such role.
    pub rules: Option<Arc<[Rule]>>,
    /// Why, in upstream's words; for a role that is missing, that it is.
    pub because: Arc<str>,
}

#[derive(Debug, Default)]
struct Scope {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

/// The rules of everybody.
#[derive(Debug, Default)]
pub struct Index {
    roles: HashMap<RoleKey, Arc<[Rule]>>,
    cluster: Scope,
    namespaces: HashMap<String, Scope>,
}

/// The place of a binding: its namespace if it has one, and its name.
type Place<'a> = (Option<&'a str>, &'a str);

fn split(key: &str) -> Place<'_> {
    match key.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, key),
    }
}

impl Index {
    /// From what has been read of the four kinds.
    pub fn new(
        roles: &Memo<RoleRules>,
        role_bindings: &Memo<Bound>,
        cluster_roles: &Memo<RoleRules>,
        cluster_role_bindings: &Memo<Bound>,
    ) -> Self {
        let mut index = Self::default();
        for (key, role) in roles.iter().chain(cluster_roles.iter()) {
            let key = match split(key) {
                (Some(namespace), name) => RoleKey::Namespaced(namespace.to_owned(), name.to_owned()),
                (None, name) => RoleKey::Cluster(name.to_owned()),
            };
            index.roles.insert(key, role.0.clone());
        }
        for (key, binding) in role_bindings.iter().chain(cluster_role_bindings.iter()) {
            index.bind(
                split(key),
                &binding.role_ref,
                binding.subjects.as_deref().unwrap_or_default(),
            );
        }
        index
    }

    /// From typed objects of the cluster alone.
    pub fn of_cluster(roles: &[ClusterRole], bindings: &[ClusterRoleBinding]) -> Self {
        let mut index = Self::default();
        for role in roles {
            let rules = role.rules.clone().unwrap_or_default().into_iter().map(Rule::from);
            let name = role.metadata.name.clone().unwrap_or_default();
            index.roles.insert(RoleKey::Cluster(name), rules.collect());
        }
        for binding in bindings {
            let name = binding.metadata.name.as_deref().unwrap_or_default();
            index.bind(
                (None, name),
                &binding.role_ref,
                binding.subjects.as_deref().unwrap_or_default(),
            );
        }
        index
    }

    fn bind(&mut self, (namespace, name): Place<'_>, reference: &RoleRef, subjects: &[Subject]) {
        let Some(key) = RoleKey::new(reference, namespace) else {
            return;
        };
        let rules = self.roles.get(&key).cloned();
        let scope = match namespace {
            Some(namespace) => self.namespaces.entry(namespace.to_owned()).or_default(),
            None => &mut self.cluster,
        };
        let binding = match namespace {
            Some(namespace) => format!("RoleBinding {:?}", format!("{name}/{namespace}")),
            None => format!("ClusterRoleBinding {name:?}"),
        };
        for subject in subjects {
            let Some((place, described)) = scope.place(subject) else {
                continue;
            };
            let because = match rules {
                Some(_) => format!(
                    "RBAC: allowed by {binding} of {} {:?} to {described}",
                    reference.kind, reference.name
                ),
                None => key.missing(),
            };
            place.push(Grant {
                rules: rules.clone(),
                because: because.into(),
            });
        }
    }

    /// What an identity has been given in the cluster and in a namespace.
    pub fn grants<'a>(
        &'a self,
        identity: &'a Identity,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'a Grant> + use<'a> {
        let inside = namespace.and_then(|namespace| self.namespaces.get(namespace));
        [Some(&self.cluster), inside].into_iter().flatten().flat_map(|scope| {
            let of_user = scope.users.get(&identity.user);
            let of_groups = identity.groups.iter().filter_map(|group| scope.groups.get(group));
            of_user.into_iter().chain(of_groups).flatten()
        })
    }

    /// All rules of an identity there.
    pub fn rules<'a>(
        &'a self,
        identity: &'a Identity,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'a Rule> + use<'a> {
        self.grants(identity, namespace)
            .flat_map(|grant| grant.rules.as_deref().unwrap_or_default())
    }

    /// The rules of a role.
    pub fn role(&self, key: &RoleKey) -> Option<&[Rule]> {
        self.roles.get(key).map(|rules| &**rules)
    }

    /// Whether a rule allows it.
    pub fn decide(&self, identity: &Identity, asks: &Attributes<'_>) -> Decision {
        let namespace = asks.namespace.filter(|_| !asks.resource.is_empty());
        let mut missing: Vec<&str> = Vec::new();
        for grant in self.grants(identity, namespace) {
            match &grant.rules {
                Some(rules) if rules.iter().any(|rule| rule.allows(asks)) => {
                    return Decision::Allow(Some(grant.because.clone()));
                }
                Some(_) => {}
                None if missing.contains(&&*grant.because) => {}
                None => missing.push(&grant.because),
            }
        }
        Decision::Deny(match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        })
    }
}

impl Scope {
    /// Where what is given to a subject is kept, and how the subject is called. None for what is no subject.
    fn place(&mut self, subject: &Subject) -> Option<(&mut Vec<Grant>, String)> {
        let name = &subject.name;
        match subject.kind.as_str() {
            "User" => {
                let described = format!("User {name:?}");
                Some((self.users.entry(name.clone()).or_default(), described))
            }
            "Group" => {
                let described = format!("Group {name:?}");
                Some((self.groups.entry(name.clone()).or_default(), described))
            }
            "ServiceAccount" => {
                let namespace = subject.namespace.as_deref().filter(|namespace| !namespace.is_empty())?;
                let user = ServiceAccountRef { namespace, name }.user();
                let described = format!("ServiceAccount {:?}", format!("{name}/{namespace}"));
                Some((self.users.entry(user).or_default(), described))
            }
            _ => None,
        }
    }
}
