//! What of a ResourceQuota's limits an object uses: the rules that the API server, which charges, and the controller,
//! which counts again, share. Pure.
//!
//! Every kind is counted as `count/PLURAL.GROUP`; a few of Kubernetes' own also by their plain name. Jobs are what Pods are
//! elsewhere: one that has not ended is a pod, and takes processors and memory.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceQuotaSpec, ScopedResourceSelectorRequirement};

use crate::amount::Amount;
use crate::condition::{self, Truth};
use crate::job::Job;
use crate::quantity;

/// What a Job takes of a node when it does not say how much: thousandths of a processor.
pub const DEFAULT_CPU: u64 = 100;
/// The same: bytes of memory.
pub const DEFAULT_MEMORY: u64 = 64 << 20;

/// Core kinds that are also counted by their plain name.
const PLAIN: [&str; 6] = [
    "configmaps",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];

/// Amounts by the name of what is limited.
pub type Amounts = BTreeMap<String, Amount>;

/// The names under which one object of a kind is counted.
pub fn counted_as(group: &str, plural: &str) -> Vec<String> {
    if !group.is_empty() {
        return vec![format!("count/{plural}.{group}")];
    }
    let mut names = vec![format!("count/{plural}")];
    if PLAIN.contains(&plural) {
        names.push(plural.to_owned());
    }
    names
}

/// What a Job uses beside its being counted.
pub fn of_job(job: &Job) -> Amounts {
    let mut used = Amounts::from([("count/pods".to_owned(), Amount::units(1))]);
    if has_ended(job) {
        return used;
    }
    let resources = &job.spec.resources;
    let cpu = resources.cpu.as_ref().and_then(|cpu| quantity::cpu_millis(cpu).ok());
    let memory = resources.memory.as_ref().and_then(|of| quantity::memory_bytes(of).ok());
    used.insert("pods".to_owned(), Amount::units(1));
    for name in ["cpu", "requests.cpu"] {
        used.insert(name.to_owned(), Amount::millis(cpu.unwrap_or(DEFAULT_CPU)));
    }
    for name in ["memory", "requests.memory"] {
        used.insert(name.to_owned(), Amount::bytes(memory.unwrap_or(DEFAULT_MEMORY)));
    }
    if let Some(cpu) = cpu {
        used.insert("limits.cpu".to_owned(), Amount::millis(cpu));
    }
    if let Some(memory) = memory {
        used.insert("limits.memory".to_owned(), Amount::bytes(memory));
    }
    used
}

/// Whether only Jobs use it.
pub fn is_of_jobs(name: &str) -> bool {
    matches!(
        name,
        "pods" | "count/pods" | "cpu" | "memory" | "requests.cpu" | "requests.memory" | "limits.cpu" | "limits.memory"
    )
}

fn has_ended(job: &Job) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice());
    condition::find(conditions.unwrap_or_default(), condition::SUCCEEDED)
        .is_some_and(|found| Truth::of(&found.status) != Truth::Unknown)
}

/// Whether a quota is about everything, and not about some Jobs alone.
pub fn is_unscoped(spec: &ResourceQuotaSpec) -> bool {
    spec.scopes.as_ref().is_none_or(Vec::is_empty)
        && spec
            .scope_selector
            .as_ref()
            .and_then(|selector| selector.match_expressions.as_ref())
            .is_none_or(Vec::is_empty)
}

/// Whether a quota is about a Job.
pub fn is_about(spec: &ResourceQuotaSpec, job: &Job) -> bool {
    let scopes = spec.scopes.iter().flatten().all(|scope| is_in(scope, job));
    let expressions = spec.scope_selector.as_ref().and_then(|s| s.match_expressions.as_ref());
    scopes && expressions.into_iter().flatten().all(|one| selects(one, job))
}

fn selects(expression: &ScopedResourceSelectorRequirement, job: &Job) -> bool {
    let is = is_in(&expression.scope_name, job);
    match expression.operator.as_str() {
        "DoesNotExist" | "NotIn" => !is,
        _ => is,
    }
}

/// A Job has no priority class and no affinity: it is in none of those scopes.
fn is_in(scope: &str, job: &Job) -> bool {
    let resources = &job.spec.resources;
    let asks = resources.cpu.is_some() || resources.memory.is_some();
    match scope {
        "BestEffort" => !asks,
        "NotBestEffort" => asks,
        "Terminating" => job.spec.timeout.is_some(),
        "NotTerminating" => job.spec.timeout.is_none(),
        _ => false,
    }
}

/// Which limits are exceeded when `more` comes to what is used, of those that are limited.
pub fn exceeded(hard: &Amounts, used: &Amounts, more: &Amounts) -> Vec<String> {
    let over = more.iter().filter(|(name, more)| {
        let used = used.get(*name).copied().unwrap_or_default();
        hard.get(*name).is_some_and(|hard| used + **more > *hard)
    });
    over.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scalar;

    #[test]
    fn a_job_is_a_pod_until_it_has_ended() {
        let mut job = Job::new("a", crate::JobSpec::default());
        job.spec.resources.cpu = Some(Scalar::from("2"));
        let used = of_job(&job);
        assert_eq!(used["cpu"].to_string(), "2");
        assert_eq!(used["limits.cpu"].to_string(), "2");
        assert_eq!(used["requests.memory"].to_string(), "64Mi");
        assert!(!used.contains_key("limits.memory"));
        let ended = serde_json::json!({"conditions": [{"type": "Succeeded", "status": "False", "reason": "R",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        job.status = Some(serde_json::from_value(ended).unwrap());
        assert_eq!(of_job(&job).keys().collect::<Vec<_>>(), ["count/pods"]);
    }

    #[test]
    fn scopes_choose_jobs() {
        let spec = |scopes: &[&str]| ResourceQuotaSpec {
            scopes: Some(scopes.iter().map(|s| (*s).to_owned()).collect()),
            ..ResourceQuotaSpec::default()
        };
        let mut job = Job::new("a", crate::JobSpec::default());
        assert!(is_about(&spec(&["BestEffort", "NotTerminating"]), &job));
        assert!(!is_about(&spec(&["PriorityClass"]), &job));
        job.spec.resources.memory = Some(Scalar::from("1Gi"));
        assert!(!is_about(&spec(&["BestEffort"]), &job) && is_about(&spec(&["NotBestEffort"]), &job));
        assert!(is_unscoped(&spec(&[])) && is_about(&spec(&[]), &job));
    }

    #[test]
    fn only_what_is_limited_can_be_exceeded() {
        let of = |list: &[(&str, u64)]| -> Amounts {
            list.iter().map(|(n, u)| ((*n).to_owned(), Amount::units(*u))).collect()
        };
        let over = exceeded(
            &of(&[("a", 3), ("b", 3)]),
            &of(&[("a", 3), ("b", 1)]),
            &of(&[("a", 1), ("b", 2), ("c", 9)]),
        );
        assert_eq!(over, ["a"]);
    }
}
