//! Nobody gives away what they do not have: who writes a role must hold all that it allows, and who writes a binding all
//! that its role allows; or have the verb `escalate` on the role, or `bind` on the role that is bound
//! (`kubernetes/pkg/registry/rbac`).

use k8s_openapi::api::rbac::v1::{AggregationRule, PolicyRule, RoleRef};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::rbac::{self, Index, RoleKey, Rule};
use super::{Attributes, Authorizer};
use crate::authentication::{Identity, MASTERS};
use crate::selector::FieldSelector;
use crate::status::{ApiError, ApiResult, Target};

/// The most single permissions of a role that are compared one by one with those of its writer. The default roles have
/// some hundred; a body of three megabytes could hold billions.
const MOST_PARTS: usize = 20_000;

/// A write of a role or binding, about to be done.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The API group.
    pub group: &'a str,
    /// The resource.
    pub plural: &'a str,
    /// The namespace, where the resource has one.
    pub namespace: Option<&'a str>,
    /// The object's name; empty where it is still to be made up.
    pub name: &'a str,
    /// What it is to be.
    pub new: &'a Value,
    /// What it is, on an update.
    pub old: Option<&'a Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Role {
    #[serde(default)]
    rules: Option<Vec<PolicyRule>>,
    #[serde(default)]
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(default)]
    role_ref: Option<RoleRef>,
}

/// Checks a write. Other kinds than the four pass.
///
/// # Errors
/// 403 with what is missing; 404 for a binding to a role that is not there; 400 for a body that cannot be read.
pub fn check(authorizer: &Authorizer, identity: &Identity, write: &Write<'_>) -> ApiResult<()> {
    if write.group != rbac::GROUP || identity.is_in(MASTERS) {
        return Ok(());
    }
    if write.old.is_some_and(|old| is_housekeeping(write.new, old)) {
        return Ok(());
    }
    match write.plural {
        "roles" | "clusterroles" => role(authorizer, identity, write),
        "rolebindings" | "clusterrolebindings" => binding(authorizer, identity, write),
        _ => Ok(()),
    }
}

/// Whether nothing differs but what garbage collection and the server itself write.
fn is_housekeeping(new: &Value, old: &Value) -> bool {
    const THEIRS: [&str; 4] = ["finalizers", "ownerReferences", "managedFields", "resourceVersion"];
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
        return false;
    };
    let within = |one: &Map<String, Value>, other: &Map<String, Value>, but: &[&str]| {
        one.iter()
            .all(|(key, value)| but.contains(&key.as_str()) || other.get(key) == Some(value))
    };
    let same = |one, other, but: &[&str]| within(one, other, but) && within(other, one, but);
    let empty = Map::new();
    let metadata = |object: &'_ Map<String, Value>| object.get("metadata").and_then(Value::as_object).cloned();
    let (new_metadata, old_metadata) = (metadata(new), metadata(old));
    same(new, old, &["metadata"])
        && same(
            new_metadata.as_ref().unwrap_or(&empty),
            old_metadata.as_ref().unwrap_or(&empty),
            &THEIRS,
        )
}

fn read<T: for<'de> Deserialize<'de>>(write: &Write<'_>, value: &Value) -> ApiResult<T> {
    T::deserialize(value)
        .map_err(|error| ApiError::bad_request(format!("the {} cannot be read: {error}", write.plural)))
}

fn role(authorizer: &Authorizer, identity: &Identity, write: &Write<'_>) -> ApiResult<()> {
    if may(
        authorizer,
        identity,
        "escalate",
        write.plural,
        write.namespace,
        write.name,
    ) {
        return Ok(());
    }
    let new: Role = read(write, write.new)?;
    let old: Option<Role> = write.old.map(|old| read(write, old)).transpose()?;
    let index = authorizer.index();
    let rules: Vec<Rule> = new.rules.unwrap_or_default().into_iter().map(Rule::from).collect();
    confirm(&index, identity, write, &rules)?;
    let gathers = new.aggregation_rule.is_some() || old.is_some_and(|old| old.aggregation_rule.is_some());
    // It takes in whatever somebody labels for it, so only who holds everything may say what that is.
    if gathers && !missing(&index, identity, write.namespace, &everything()).is_empty() {
        return Err(forbidden(
            write,
            "must have cluster-admin privileges to use the aggregationRule",
        ));
    }
    Ok(())
}

fn binding(authorizer: &Authorizer, identity: &Identity, write: &Write<'_>) -> ApiResult<()> {
    let Binding { role_ref } = read(write, write.new)?;
    let role_ref = role_ref.unwrap_or_default();
    let Some(key) = RoleKey::new(&role_ref, write.namespace) else {
        // The kind's own validation says what is wrong with the reference.
        return Ok(());
    };
    let plural = match key {
        RoleKey::Cluster(_) => "clusterroles",
        RoleKey::Namespaced(..) => "roles",
    };
    if may(authorizer, identity, "bind", plural, write.namespace, &role_ref.name) {
        return Ok(());
    }
    let index = authorizer.index();
    let Some(rules) = index.role(&key) else {
        let kind = plural.trim_end_matches('s');
        return Err(ApiError::not_found(Target::new(rbac::GROUP, kind, &role_ref.name)));
    };
    confirm(&index, identity, write, rules)
}

fn may(
    authorizer: &Authorizer,
    identity: &Identity,
    verb: &str,
    plural: &str,
    namespace: Option<&str>,
    name: &str,
) -> bool {
    let none = FieldSelector::default();
    let asks = Attributes {
        verb,
        group: rbac::GROUP,
        resource: plural,
        subresource: "",
        namespace,
        name: Some(name).filter(|name| !name.is_empty()),
        field_selector: &none,
        path: "",
    };
    authorizer.decide(identity, &asks).is_allowed()
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    let resources = Rule {
        groups: all(),
        resources: all(),
        verbs: all(),
        ..Rule::default()
    };
    let paths = Rule {
        urls: all(),
        verbs: all(),
        ..Rule::default()
    };
    [resources, paths]
}

fn forbidden(write: &Write<'_>, why: impl std::fmt::Display) -> ApiError {
    ApiError::forbidden(Target::new(write.group, write.plural, write.name), why)
}

/// Refuses rules that the identity does not hold all of.
fn confirm(index: &Index, identity: &Identity, write: &Write<'_>, rules: &[Rule]) -> ApiResult<()> {
    let missing = missing(index, identity, write.namespace, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    lines.sort();
    lines.dedup();
    let why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        identity.user,
        rbac::quoted(&identity.groups),
        lines.join("\n")
    );
    Err(forbidden(write, why))
}

/// What of the rules an identity does not hold there.
pub fn missing(index: &Index, identity: &Identity, namespace: Option<&str>, rules: &[Rule]) -> Vec<Rule> {
    let held: Vec<&Rule> = index.rules(identity, namespace).collect();
    uncovered(&held, rules)
}

/// What of the rules is not covered by those that are held.
pub fn uncovered(held: &[&Rule], rules: &[Rule]) -> Vec<Rule> {
    let is_held = |part: &Rule| held.iter().any(|own| own.covers(part));
    let mut left = MOST_PARTS;
    let mut missing = Vec::new();
    for rule in rules.iter().filter(|rule| !is_held(rule)) {
        let count = rule.count_parts();
        if count > left {
            missing.push(rule.clone());
            continue;
        }
        left -= count;
        missing.extend(rule.parts().into_iter().filter(|part| !is_held(part)));
    }
    rbac::compact(missing)
}

#[cfg(test)]
mod tests;
