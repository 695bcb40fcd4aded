//! Jobs and runs as the cacher has them.

use std::sync::Arc;

use breakbulk_schemas::condition::{SUCCEEDED, Truth, truth};
use breakbulk_schemas::{Job, PipelineRun, labels};
use tokio::sync::watch;

use super::Jobs;
use crate::registry::{Registry, Storage};

/// Reads Jobs and runs from the cache.
pub struct CachedJobs {
    jobs: Arc<Storage>,
    runs: Arc<Storage>,
}

impl CachedJobs {
    /// Of a registry. `None` when it has no Jobs.
    pub fn new(registry: &Registry) -> Option<Self> {
        let storage = |plural| {
            registry
                .find(breakbulk_schemas::GROUP, breakbulk_schemas::VERSION, plural)
                .map(|r| r.storage.clone())
        };
        let (jobs, runs) = (storage("jobs")?, storage("pipelineruns")?);
        Some(Self { jobs, runs })
    }
}

impl Jobs for CachedJobs {
    fn job(&self, namespace: &str, name: &str) -> Option<Arc<Job>> {
        let entry = self.jobs.cache.get(&format!("{namespace}/{name}"))?;
        serde_json::from_slice(entry.stored()).ok().map(Arc::new)
    }

    fn of_run(&self, namespace: &str, run: &str) -> Vec<String> {
        let prefix = format!("{namespace}/");
        let snapshot = self.jobs.cache.list(&prefix, None, 0);
        let of_run = snapshot
            .entries
            .iter()
            .filter(|entry| entry.label(labels::RUN) == Some(run));
        of_run
            .filter_map(|entry| entry.key.strip_prefix(prefix.as_str()).map(str::to_owned))
            .collect()
    }

    fn run_has_ended(&self, namespace: &str, run: &str) -> Option<bool> {
        let entry = self.runs.cache.get(&format!("{namespace}/{run}"))?;
        let run: PipelineRun = serde_json::from_slice(entry.stored()).ok()?;
        Some(
            run.status
                .is_some_and(|status| truth(&status.conditions, SUCCEEDED) != Truth::Unknown),
        )
    }

    fn job_changes(&self) -> watch::Receiver<u64> {
        self.jobs.cache.subscribe()
    }

    fn run_changes(&self) -> watch::Receiver<u64> {
        self.runs.cache.subscribe()
    }
}
