//! The webhooks that are configured: the objects of one of the two kinds, as they are asked.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use serde_json::Value;

use crate::admission::expression::{Asks, Conditions, Params, environment};
use crate::admission::followed::{self, Followed};
use crate::admission::matching::{Constraints, MatchPolicy, Rule, selector};
use crate::cacher::Entry;
use crate::registry::objects::Objects;
use crate::webhook::Endpoint;

/// What happens when there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admission) enum FailurePolicy {
    /// The request fails.
    Fail,
    /// It goes on as if nobody had been asked.
    Ignore,
}

impl FailurePolicy {
    /// From a field of that name.
    pub(in crate::admission) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Ignore") => Self::Ignore,
            _ => Self::Fail,
        }
    }
}

/// Whether being asked changes anything in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SideEffects {
    /// Not for a dry run.
    None,
    /// It may.
    Possible,
}

/// Whether a webhook is asked again when one after it has changed the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reinvocation {
    /// It is, once.
    IfNeeded,
    /// It is not.
    Never,
}

/// A webhook.
pub(super) struct Hook {
    /// The object that it stands in.
    pub(super) configuration: String,
    /// Its name.
    pub(super) name: String,
    /// Where it is; else why nobody knows.
    pub(super) endpoint: Result<Endpoint, String>,
    /// Which requests it is asked about.
    pub(super) constraints: Constraints,
    /// And under what conditions.
    pub(super) conditions: Conditions,
    /// When there is no answer.
    pub(super) failure: FailurePolicy,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    /// Whether it can be asked for a dry run.
    pub(super) side_effects: SideEffects,
    /// Whether it is asked again.
    pub(super) reinvocation: Reinvocation,
}

impl Hook {
    fn new(configuration: &str, given: &MutatingWebhook) -> Self {
        let config = serde_json::to_value(&given.client_config).unwrap_or(Value::Null);
        let seconds = given.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            configuration: configuration.to_owned(),
            name: given.name.clone(),
            endpoint: Endpoint::from_client_config(&config).map_err(|error| error.to_string()),
            constraints: Constraints {
                rules: given.rules.iter().flatten().map(Rule::from).collect(),
                excluded: Vec::new(),
                policy: MatchPolicy::parse(given.match_policy.as_deref()),
                namespaces: selector(given.namespace_selector.as_ref()),
                objects: selector(given.object_selector.as_ref()),
            },
            conditions: Conditions::new(
                &environment(Params::Absent, Asks::Authorizer),
                given.match_conditions.as_deref(),
            ),
            failure: FailurePolicy::parse(given.failure_policy.as_deref()),
            timeout: Duration::from_secs(seconds.filter(|seconds| (1..=30).contains(seconds)).unwrap_or(10)),
            side_effects: match given.side_effects.as_str() {
                "None" | "NoneOnDryRun" => SideEffects::None,
                _ => SideEffects::Possible,
            },
            reinvocation: match given.reinvocation_policy.as_deref() {
                Some("IfNeeded") => Reinvocation::IfNeeded,
                _ => Reinvocation::Never,
            },
        }
    }
}

/// The webhooks of one kind, in the order in which they are asked: by the names of their objects, then as they stand.
pub(super) struct Hooks {
    plural: &'static str,
    read: Followed<Vec<Hook>>,
}

impl Hooks {
    /// Of the objects of a kind.
    pub(super) fn of(plural: &'static str) -> Self {
        Self {
            plural,
            read: Followed::default(),
        }
    }

    /// As of now.
    pub(super) fn get(&self, objects: &Objects) -> std::sync::Arc<Vec<Hook>> {
        let Some(row) = followed::row(objects, self.plural) else {
            return std::sync::Arc::default();
        };
        self.read.get(&[&row.storage], |_| {
            let entries = row.storage.cache.list("", None, 0).entries;
            entries.iter().flat_map(|entry| hooks(entry)).collect()
        })
    }
}

fn hooks(entry: &Entry) -> Vec<Hook> {
    let object = entry.parsed();
    // A validating webhook is a mutating one that says less.
    let given = serde_json::from_value::<Option<Vec<MutatingWebhook>>>(object["webhooks"].clone());
    let given = given.unwrap_or_else(|error| {
        tracing::error!(configuration = entry.name(), %error, "a stored configuration of webhooks cannot be read");
        None
    });
    // Without rules it is asked about nothing.
    let given = given
        .iter()
        .flatten()
        .filter(|hook| hook.rules.as_ref().is_some_and(|rules| !rules.is_empty()));
    given.map(|hook| Hook::new(entry.name(), hook)).collect()
}
