//! What the authorization of nodes asks about jobs, answered from the caches. As old as these may be: a job that was bound
//! a moment ago may be refused for a moment, and the agent asks again.

use std::sync::Arc;

use serde_json::Value;

use crate::authorization::NodeLookup;
use crate::registry::Resource;
use crate::registry::objects::Objects;

/// The place of `spec.nodeName` among a job's selectable fields.
const NODE_NAME: usize = 0;

impl Objects {
    fn jobs(&self) -> Option<Arc<Resource>> {
        self.registry
            .find(breakbulk_schemas::GROUP, breakbulk_schemas::VERSION, "jobs")
    }

    /// Whether a job of the node that has not ended fulfils a condition.
    fn any_job(&self, node: &str, namespace: &str, holds: impl Fn(&Value) -> bool) -> bool {
        let Some(jobs) = self.jobs() else { return false };
        let snapshot = jobs.storage.cache.list(&format!("{namespace}/"), None, 0);
        snapshot
            .entries
            .iter()
            .filter(|entry| entry.field(NODE_NAME) == node)
            .any(|entry| {
                let job = entry.parsed();
                !has_ended(&job) && holds(&job)
            })
    }

    fn repository(&self, namespace: &str, name: &str) -> Option<Value> {
        let group = (breakbulk_schemas::GROUP, breakbulk_schemas::VERSION);
        let repositories = self.registry.find(group.0, group.1, "gitrepositories")?;
        Some(self.cached(&repositories, Some(namespace), name)?.parsed())
    }
}

impl NodeLookup for Objects {
    fn bound_node(&self, namespace: &str, job: &str) -> Option<String> {
        let entry = self.cached(&*self.jobs()?, Some(namespace), job)?;
        if !entry.field(NODE_NAME).is_empty() {
            return Some(entry.field(NODE_NAME).to_owned());
        }
        let job = entry.parsed();
        job["status"]["attempts"].as_array()?.last()?["node"]
            .as_str()
            .map(str::to_owned)
    }

    fn uses_secret(&self, node: &str, namespace: &str, secret: &str) -> bool {
        self.any_job(node, namespace, |job| {
            let uses = job["spec"]["secrets"].as_array();
            let repository = job["spec"]["checkout"]["repository"].as_str();
            uses.into_iter().flatten().any(|used| used["name"] == secret)
                || repository
                    .and_then(|name| self.repository(namespace, name))
                    .is_some_and(|repository| repository["spec"]["secretRef"]["name"] == secret)
        })
    }

    fn uses_repository(&self, node: &str, namespace: &str, repository: &str) -> bool {
        self.any_job(node, namespace, |job| {
            job["spec"]["checkout"]["repository"] == repository
        })
    }
}

fn has_ended(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    let ended = |c: &&Value| c["type"] == "Succeeded" && (c["status"] == "True" || c["status"] == "False");
    conditions.into_iter().flatten().any(|c| ended(&c))
}
