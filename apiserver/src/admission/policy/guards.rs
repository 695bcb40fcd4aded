//! The policies that are in force: those that have bindings, compiled.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use serde::de::DeserializeOwned;

use super::binding::Binding;
use super::definition::Policy;
use crate::admission::followed::{self, Followed};
use crate::aside;
use crate::cacher::Entry;
use crate::registry::Resource;
use crate::registry::objects::Objects;

/// A policy and its bindings.
pub(super) struct Guard {
    /// The revision of its object.
    revision: u64,
    /// The policy.
    pub(super) policy: Arc<Policy>,
    /// Its bindings, by name.
    pub(super) bindings: Vec<Binding>,
}

/// All policies in force, by name.
#[derive(Default)]
pub(super) struct Guards(Followed<Vec<Guard>>);

impl Guards {
    /// As of now. Compiling what has changed takes its time.
    pub(super) async fn get(&self, objects: &Objects) -> Arc<Vec<Guard>> {
        let row = |plural| followed::row(objects, plural);
        let rows = row("validatingadmissionpolicies").zip(row("validatingadmissionpolicybindings"));
        let Some((policies, bindings)) = rows else {
            return Arc::default();
        };
        let storages = [&*policies.storage, &*bindings.storage];
        match self.0.known(&storages) {
            Some(guards) => guards,
            None if bindings.storage.cache.list("", None, 1).entries.is_empty() => Arc::default(),
            None => aside::run(|| self.0.get(&storages, |before| guards(&policies, &bindings, before))).await,
        }
    }
}

/// The policies that have bindings; those that have not changed are taken from before.
fn guards(policies: &Resource, bindings: &Resource, before: Option<&Vec<Guard>>) -> Vec<Guard> {
    let mut by_policy: HashMap<String, Vec<Binding>> = HashMap::new();
    for entry in bindings.storage.cache.list("", None, 0).entries {
        if let Some(given) = read::<ValidatingAdmissionPolicyBinding>(&entry) {
            let binding = Binding::new(entry.name(), &given.spec.unwrap_or_default());
            by_policy.entry(binding.policy.clone()).or_default().push(binding);
        }
    }
    let entries = policies.storage.cache.list("", None, 0).entries;
    let guard = |entry: Arc<Entry>| {
        let bindings = by_policy.remove(entry.name())?;
        let known = before.into_iter().flatten().find(|guard| guard.is_of(&entry));
        let policy = match known {
            Some(guard) => guard.policy.clone(),
            None => Arc::new(compile(&entry)?),
        };
        let revision = entry.revision;
        Some(Guard {
            revision,
            policy,
            bindings,
        })
    };
    entries.into_iter().filter_map(guard).collect()
}

impl Guard {
    fn is_of(&self, entry: &Entry) -> bool {
        self.revision == entry.revision && self.policy.name == entry.name()
    }
}

fn compile(entry: &Entry) -> Option<Policy> {
    let given = read::<ValidatingAdmissionPolicy>(entry)?;
    Some(Policy::new(entry.name(), &given.spec.unwrap_or_default()))
}

/// Reads a stored object into its type.
pub(super) fn read<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    match serde_json::from_value(entry.parsed()) {
        Ok(typed) => Some(typed),
        Err(error) => {
            tracing::error!(name = entry.name(), %error, "a stored policy or binding cannot be read");
            None
        }
    }
}
