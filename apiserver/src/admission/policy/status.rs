//! The status of policies: for each, what is wrong with its expressions when the kinds that it is about are known
//! (`status.typeChecking`). A task writes it, from what policies are now; it needs no history.
//!
//! What is known of a kind is what its OpenAPI document says, whoever brought it. As upstream, the type of what an
//! expression comes to is not looked at: that was done when the policy was written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use breakbulk_cel::{Composition, Declared, Place};
use k8s_openapi::api::admissionregistration::v1::{
    NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::binding::row;
use super::definition::ParamType;
use super::guards::read;
use crate::admission::expression::{Asks, Shapes, compile, environment_of};
use crate::admission::followed;
use crate::aside;
use crate::cacher::Entry;
use crate::openapi;
use crate::registry::Resource;
use crate::registry::objects::{Edit, Objects, Part, Submitted, UpdateOptions, Versioned, WriteOptions};
use crate::status::ApiResult;

/// Kinds that one policy is checked for, at most; as upstream.
const MAX_KINDS: usize = 10;
/// Pause before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the status of all policies until it is told to stop.
pub(crate) async fn run(objects: Objects, stop: CancellationToken) {
    let Some(policies) = followed::row(&objects, "validatingadmissionpolicies") else {
        return;
    };
    let mut changed = policies.storage.cache.subscribe();
    loop {
        changed.mark_unchanged();
        let complete = check_all(&objects, &policies).await;
        let next = async {
            if complete {
                // The sender lives in the storage that is held here.
                let _ = changed.changed().await;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = next => {}
        }
    }
}

/// Checks the policies that have changed; tells whether every status could be written.
async fn check_all(objects: &Objects, policies: &Resource) -> bool {
    let mut complete = true;
    for entry in policies.storage.cache.list("", None, 0).entries {
        let Some(policy) = read::<ValidatingAdmissionPolicy>(&entry) else {
            continue;
        };
        let generation = policy.metadata.generation;
        let observed = policy.status.as_ref().and_then(|status| status.observed_generation);
        if observed == generation {
            continue;
        }
        let spec = policy.spec.unwrap_or_default();
        let warnings = aside::run(|| warnings(objects, &spec)).await;
        let observed = Observed {
            generation: generation.unwrap_or(0),
            warnings,
        };
        complete &= write(objects, policies, &entry, observed).await;
    }
    complete
}

async fn write(objects: &Objects, policies: &Resource, entry: &Entry, observed: Observed) -> bool {
    let options = UpdateOptions {
        part: Part::Status,
        versioned: Versioned::Optional,
        write: WriteOptions::server(),
    };
    match objects.update(policies, None, entry.name(), &options, &observed).await {
        Ok(_) => true,
        Err(error) if error.code() == 404 => true,
        Err(error) => {
            tracing::warn!(policy = entry.name(), %error, "cannot write the status of a policy");
            false
        }
    }
}

/// What was found in one generation of a policy.
struct Observed {
    generation: i64,
    warnings: Vec<Value>,
}

#[async_trait]
impl Edit for Observed {
    async fn apply(&self, old: Value) -> ApiResult<Submitted> {
        let mut new = old;
        // A newer generation is looked at when the cache has it.
        if new["metadata"]["generation"] == self.generation {
            new["status"]["observedGeneration"] = json!(self.generation);
            let warnings = Some(&self.warnings).filter(|warnings| !warnings.is_empty());
            new["status"]["typeChecking"] = warnings.map_or(json!({}), |list| json!({"expressionWarnings": list}));
        }
        Ok(Submitted::plain(new))
    }
}

/// What is wrong with the expressions of a policy, for the kinds that it names.
fn warnings(objects: &Objects, spec: &ValidatingAdmissionPolicySpec) -> Vec<Value> {
    let params = spec.param_kind.as_ref().map(|kind| {
        let row = row(objects, &ParamType::from(kind));
        row.and_then(|row| declared(&row))
            .unwrap_or_else(|| Declared::dynamic().clone())
    });
    let mut found: BTreeMap<(usize, &'static str), Vec<String>> = BTreeMap::new();
    for row in kinds(objects, spec) {
        let Some(object) = declared(&row) else {
            continue;
        };
        let shapes = Shapes {
            object: &object,
            params: params.as_ref(),
        };
        let kind = format!("{}/{}, Kind={}", row.group, row.version, row.kind);
        check(spec, &shapes, |index, field, why| {
            let why = why.trim_start_matches("compilation failed: ");
            found
                .entry((index, field))
                .or_default()
                .push(format!("{kind}: {why}\n"));
        });
    }
    let warning = |((index, field), texts): ((usize, &str), Vec<String>)| json!({"fieldRef": format!("spec.validations[{index}].{field}"), "warning": texts.join("\n")});
    found.into_iter().map(warning).collect()
}

fn check(spec: &ValidatingAdmissionPolicySpec, shapes: &Shapes<'_>, mut wrong: impl FnMut(usize, &'static str, &str)) {
    let plain = environment_of(shapes, Asks::Authorizer);
    let mut variables = Composition::new();
    for given in spec.variables.iter().flatten() {
        if let Ok(program) = compile(&plain.with_variables(&variables), &given.expression, &[]) {
            let _ = variables.add(given.name.clone(), program);
        }
    }
    let all = plain.with_variables(&variables);
    let silent = environment_of(shapes, Asks::Nobody).with_variables(&variables);
    for (index, validation) in spec.validations.iter().flatten().enumerate() {
        if let Err(why) = compile(&all, &validation.expression, &[]) {
            wrong(index, "expression", &why);
        }
        let message = validation
            .message_expression
            .as_deref()
            .filter(|text| !text.trim().is_empty());
        if let Some(Err(why)) = message.map(|text| compile(&silent, text, &[])) {
            wrong(index, "messageExpression", &why);
        }
    }
}

fn declared(row: &Resource) -> Option<Arc<Declared>> {
    Declared::from_schema(&openapi::whole(row)?, Place::Part, &row.kind)
}

/// The kinds that a policy names, in order: rules with wildcards name none.
fn kinds(objects: &Objects, spec: &ValidatingAdmissionPolicySpec) -> Vec<Arc<Resource>> {
    let rules = spec
        .match_constraints
        .iter()
        .flat_map(|given| given.resource_rules.iter().flatten());
    let mut rows: BTreeMap<(String, String, String), Arc<Resource>> = BTreeMap::new();
    for (group, version, plural) in rules.flat_map(named) {
        if rows.len() < MAX_KINDS
            && let Some(row) = objects.registry.find(group, version, plural)
        {
            rows.insert((row.group.clone(), row.version.clone(), row.kind.clone()), row);
        }
    }
    rows.into_values().collect()
}

fn named(rule: &NamedRuleWithOperations) -> Vec<(&str, &str, &str)> {
    fn sorted(given: Option<&Vec<String>>) -> Vec<&str> {
        let mut list: Vec<&str> = given.into_iter().flatten().map(String::as_str).collect();
        list.sort_unstable();
        list
    }
    let (groups, versions) = (sorted(rule.api_groups.as_ref()), sorted(rule.api_versions.as_ref()));
    if groups.iter().chain(&versions).any(|name| name.contains('*')) {
        return Vec::new();
    }
    // Subresources have no kind of their own to know.
    let mut resources = sorted(rule.resources.as_ref());
    resources.retain(|name| !name.contains(['*', '/']));
    let of_group = |group| {
        let resources = &resources;
        let of_version = move |version| resources.iter().map(move |plural| (group, version, *plural));
        versions.iter().copied().flat_map(of_version)
    };
    groups.iter().copied().flat_map(of_group).collect()
}
