//! Roles made of others: a ClusterRole with an `aggregationRule` holds the rules of all that its selectors select. A task
//! keeps it so. It looks at the whole of the cache whenever something in it changes; writing what is already so writes
//! nothing, so every server of a fleet may do it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::rbac;
use crate::cacher::Entry;
use crate::registry::object;
use crate::registry::objects::{Objects, Part, Submitted, UpdateOptions, Versioned, WriteOptions};
use crate::selector::{LabelSelector, SelectorError};

/// After a store that did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// A selector as objects hold it, with `matchLabels` and `matchExpressions`.
///
/// # Errors
/// Keys, values or operators that are none.
pub fn selector(value: &Value) -> Result<LabelSelector, SelectorError> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let mut terms: Vec<String> = Vec::new();
    for (key, label) in value["matchLabels"].as_object().into_iter().flatten() {
        terms.push(format!("{key}={}", text(label)));
    }
    for expression in value["matchExpressions"].as_array().into_iter().flatten() {
        let key = text(&expression["key"]);
        let values: Vec<String> = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect();
        let values = values.join(",");
        terms.push(match expression["operator"].as_str().unwrap_or("") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key,
            "DoesNotExist" => format!("!{key}"),
            other => format!("{key} {other} ({values})"),
        });
    }
    LabelSelector::parse(&terms.join(","))
}

/// A role that is not as it should be: its name and the rules it is to have.
#[derive(Debug, PartialEq)]
struct Change {
    name: String,
    rules: Vec<Value>,
}

/// What is to be changed among all ClusterRoles.
fn plan(entries: &[Arc<Entry>]) -> Vec<Change> {
    let read = |entry: &Arc<Entry>| serde_json::from_slice::<Value>(entry.stored()).unwrap_or(Value::Null);
    let mut changes = Vec::new();
    for entry in entries.iter().filter(|entry| mentions_aggregation(entry.stored())) {
        let role = read(entry);
        let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
            continue;
        };
        // A selector that cannot be read selects nothing; such a role is refused when it is written.
        let selectors: Vec<LabelSelector> = selectors.iter().filter_map(|s| selector(s).ok()).collect();
        let selects = |other: &&Arc<Entry>| {
            other.key != entry.key
                && selectors
                    .iter()
                    .any(|selector| selector.matches(|key| other.label(key)))
        };
        let mut seen = HashSet::new();
        let mut rules = Vec::new();
        for part in entries.iter().filter(selects) {
            for rule in read(part)["rules"].as_array().into_iter().flatten() {
                if seen.insert(rule.to_string()) {
                    rules.push(rule.clone());
                }
            }
        }
        if role["rules"].as_array().map_or(&[][..], Vec::as_slice) != rules {
            changes.push(Change {
                name: object::meta(&role, "name").to_owned(),
                rules,
            });
        }
    }
    changes
}

/// Most roles are not made of others; they need not be parsed to know it.
fn mentions_aggregation(encoded: &[u8]) -> bool {
    const FIELD: &[u8] = b"\"aggregationRule\"";
    encoded.windows(FIELD.len()).any(|window| window == FIELD)
}

/// Runs until it is told to stop.
pub(crate) async fn run(objects: Objects, stop: CancellationToken) {
    let Some(resource) = objects.registry.find(rbac::GROUP, "v1", "clusterroles") else {
        return;
    };
    let mut changed = resource.storage.cache.subscribe();
    loop {
        changed.mark_unchanged();
        let entries = resource.storage.cache.list("", None, 0).entries;
        let mut failed = false;
        for change in plan(&entries) {
            failed = fill(&objects, &change).await.is_err() || failed;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            news = changed.changed() => if news.is_err() { return },
            () = tokio::time::sleep(AGAIN), if failed => {}
        }
    }
}

async fn fill(objects: &Objects, change: &Change) -> Result<(), ()> {
    let Some(resource) = objects.registry.find(rbac::GROUP, "v1", "clusterroles") else {
        return Ok(());
    };
    let options = UpdateOptions {
        part: Part::Main,
        versioned: Versioned::Optional,
        write: WriteOptions::server(),
    };
    let apply = |mut role: Value| {
        // It may have become somebody's own since the cache was looked at.
        if role["aggregationRule"].is_object() {
            role["rules"] = json!(change.rules);
        }
        Ok(Submitted::plain(role))
    };
    match objects.update(&resource, None, &change.name, &options, &apply).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), 404 | 409) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, role = change.name, "cannot fill a role that is made of others");
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn entries(roles: &[Value]) -> Vec<Arc<Entry>> {
        let registry = Registry::new();
        let resource = registry.find(rbac::GROUP, "v1", "clusterroles").unwrap();
        let storage = &resource.storage;
        let entry = |role: &Value| {
            let key = role["metadata"]["name"].as_str().unwrap();
            let stored = object::encode(&storage.header, role.as_object().unwrap());
            Arc::new(Entry::new(storage, key.into(), stored, 1))
        };
        roles.iter().map(entry).collect()
    }

    fn part(name: &str, label: &str, verb: &str) -> Value {
        let rules = json!([{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]);
        json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules})
    }

    #[test]
    fn a_role_holds_what_it_selects_once_and_then_rests() {
        let whole = json!({
            "metadata": {"name": "whole", "labels": {"of": "true"}},
            "aggregationRule": {"clusterRoleSelectors": [
                {"matchLabels": {"of": "true"}},
                {"matchExpressions": [{"key": "also", "operator": "Exists"}]},
            ]},
        });
        let mut roles = vec![
            part("a", "of", "get"),
            part("b", "also", "list"),
            part("c", "of", "get"),
            part("d", "other", "delete"),
            whole,
        ];
        let changes = plan(&entries(&roles));
        let verbs: Vec<&str> = changes[0]
            .rules
            .iter()
            .map(|r| r["verbs"][0].as_str().unwrap())
            .collect();
        assert_eq!((changes.len(), verbs), (1, vec!["get", "list"]));
        roles[4]["rules"] = json!(changes[0].rules);
        assert_eq!(plan(&entries(&roles)), []);
    }

    #[test]
    fn selectors_are_read_as_text_is_and_nothing_else_is_let_in() {
        let with =
            |operator: &str| json!({"matchExpressions": [{"key": "k", "operator": operator, "values": ["a", "b"]}]});
        let matches = |value: &Value, label: Option<&'static str>| {
            selector(value).unwrap().matches(|key| label.filter(|_| key == "k"))
        };
        assert!(matches(&with("In"), Some("a")) && !matches(&with("In"), Some("c")));
        assert!(matches(&with("NotIn"), Some("c")) && matches(&with("NotIn"), None));
        assert!(!matches(&with("DoesNotExist"), Some("a")));
        assert!(selector(&with("Near")).is_err());
        assert!(selector(&json!({"matchLabels": {"k": "a,b=c d"}})).is_err());
    }
}
