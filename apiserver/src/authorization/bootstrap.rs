//! The roles and bindings that are always there: made when the server starts, and completed when something is missing
//! from them. What people have added to them stays; a role or binding annotated with
//! `rbac.authorization.kubernetes.io/autoupdate=false` stays as it is.

mod roles;

use futures::future::try_join_all;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Subject};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use roles::defaults;

use super::escalation::uncovered;
use super::rbac::{self, Rule};
use crate::registry::Resource;
use crate::registry::object;
use crate::registry::objects::{Objects, Part, Submitted, UpdateOptions, Versioned, WriteOptions};
use crate::status::{ApiError, ApiResult};

/// Set to `false` on a role or binding that is to stay as it is.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Makes what is missing. When this returns, the store has all of it; the caches have it a moment later.
///
/// # Errors
/// A store that does not answer.
pub async fn ensure(objects: &Objects) -> ApiResult<()> {
    let (cluster_roles, bindings) = defaults();
    // All at once: one after the other they would be some twenty round trips, each waiting for a disk.
    let of_roles = cluster_roles
        .iter()
        .map(|role| one(objects, "clusterroles", role, complete_role));
    try_join_all(of_roles).await?;
    let of_bindings = bindings
        .iter()
        .map(|binding| one(objects, "clusterrolebindings", binding, complete_binding));
    try_join_all(of_bindings).await?;
    Ok(())
}

/// Makes one object, or completes it. `complete` gives it as it should be, or none if it is.
async fn one<T: serde::Serialize + DeserializeOwned + Clone + Sync>(
    objects: &Objects,
    plural: &str,
    wanted: &T,
    complete: fn(&T, T) -> Option<T>,
) -> ApiResult<()> {
    let Some(resource) = objects.registry.find(rbac::GROUP, "v1", plural) else {
        return Ok(());
    };
    let encode =
        |object: &T| serde_json::to_value(object).map_err(|_| ApiError::internal("a default role does not encode"));
    let object = encode(wanted)?;
    let name = object::meta(&object, "name").to_owned();
    let Some(entry) = objects.cached(&resource, None, &name) else {
        return create(objects, &resource, object).await;
    };
    // The cache tells whether there is anything to do; what is done is done to what the store has.
    if completed(entry.stored(), wanted, complete).is_none() {
        return Ok(());
    }
    let options = UpdateOptions {
        part: Part::Main,
        versioned: Versioned::Optional,
        write: WriteOptions::server(),
    };
    let change = |old: Value| {
        let changed = completed(old.to_string().as_bytes(), wanted, complete);
        let object = changed.as_ref().map_or(Ok(old), encode)?;
        Ok(Submitted::plain(object))
    };
    match objects.update(&resource, None, &name, &options, &change).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == 404 => create(objects, &resource, object).await,
        Err(error) => Err(error),
    }
}

async fn create(objects: &Objects, resource: &Resource, object: Value) -> ApiResult<()> {
    let submitted = Submitted::plain(object);
    let created = objects.create(resource, None, submitted, &WriteOptions::server()).await;
    match created {
        Err(error) if error.reason() != "AlreadyExists" => Err(error),
        // Another server of the fleet was faster, with the same.
        _ => Ok(()),
    }
}

fn completed<T: serde::Serialize + DeserializeOwned>(
    encoded: &[u8],
    wanted: &T,
    complete: fn(&T, T) -> Option<T>,
) -> Option<T> {
    let value: Value = serde_json::from_slice(encoded).ok()?;
    if value["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return None;
    }
    complete(wanted, serde_json::from_value(value).ok()?)
}

fn complete_role(wanted: &ClusterRole, mut found: ClusterRole) -> Option<ClusterRole> {
    if wanted.aggregation_rule.is_some() {
        if found.aggregation_rule == wanted.aggregation_rule {
            return None;
        }
        found.aggregation_rule.clone_from(&wanted.aggregation_rule);
        return Some(found);
    }
    let rules = |role: &ClusterRole| -> Vec<Rule> {
        let rules: Vec<PolicyRule> = role.rules.clone().unwrap_or_default();
        rules.into_iter().map(Rule::from).collect()
    };
    let held = rules(&found);
    let missing = uncovered(&held.iter().collect::<Vec<_>>(), &rules(wanted));
    if missing.is_empty() {
        return None;
    }
    found
        .rules
        .get_or_insert_default()
        .extend(missing.into_iter().map(PolicyRule::from));
    Some(found)
}

fn complete_binding(wanted: &ClusterRoleBinding, mut found: ClusterRoleBinding) -> Option<ClusterRoleBinding> {
    // Bound to another role it is somebody's own, and the role of a binding cannot be changed.
    if found.role_ref != wanted.role_ref {
        return None;
    }
    let has = found.subjects.clone().unwrap_or_default();
    let missing = |subject: &&Subject| !has.contains(subject);
    let missing: Vec<Subject> = wanted.subjects.iter().flatten().filter(missing).cloned().collect();
    if missing.is_empty() {
        return None;
    }
    found.subjects.get_or_insert_default().extend(missing);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_complete_stays_and_what_is_missing_is_added() {
        let (roles, bindings) = defaults();
        for role in roles {
            assert_eq!(complete_role(&role, role.clone()), None, "{:?}", role.metadata.name);
            if role.aggregation_rule.is_none() {
                let bare = ClusterRole {
                    rules: None,
                    ..role.clone()
                };
                let full = complete_role(&role, bare).unwrap();
                assert_eq!(complete_role(&role, full), None, "{:?}", role.metadata.name);
            }
        }
        for binding in bindings {
            assert_eq!(complete_binding(&binding, binding.clone()), None);
            let bare = ClusterRoleBinding {
                subjects: None,
                ..binding.clone()
            };
            assert_eq!(complete_binding(&binding, bare), Some(binding));
        }
    }

    #[test]
    fn what_says_that_it_stays_stays() {
        let (roles, _) = defaults();
        let stays =
            br#"{"metadata":{"name":"view","annotations":{"rbac.authorization.kubernetes.io/autoupdate":"false"}}}"#;
        assert!(roles.iter().all(|role| completed(stays, role, complete_role).is_none()));
    }
}
