//! Jobs and runs as the cacher has them.

use std::sync::Arc;

use breakbulk_schemas::condition::{SUCCEEDED, Truth, truth};
use breakbulk_schemas::{Job, PipelineRun, labels};
use tokio::sync::watch;

use super::Jobs;
use crate::cacher::Cacher;
use crate::registry::{Registry, StorageId};

/// Reads Jobs and runs from the cache.
pub struct CachedJobs {
    cacher: Arc<Cacher>,
    jobs: StorageId,
    runs: StorageId,
}

impl CachedJobs {
    /// Over a cacher. `None` when the registry has no Jobs.
    pub fn new(cacher: Arc<Cacher>, registry: &Registry) -> Option<Self> {
        let storage = |plural| {
            registry
                .find(breakbulk_schemas::GROUP, breakbulk_schemas::VERSION, plural)
                .map(|r| r.storage)
        };
        let (jobs, runs) = (storage("jobs")?, storage("pipelineruns")?);
        Some(Self { cacher, jobs, runs })
    }
}

impl Jobs for CachedJobs {
    fn job(&self, namespace: &str, name: &str) -> Option<Arc<Job>> {
        let entry = self.cacher.storage(self.jobs).get(&format!("{namespace}/{name}"))?;
        serde_json::from_slice(&entry.encoded).ok().map(Arc::new)
    }

    fn of_run(&self, namespace: &str, run: &str) -> Vec<String> {
        let prefix = format!("{namespace}/");
        let snapshot = self.cacher.storage(self.jobs).list(&prefix, None, 0);
        let of_run = snapshot
            .entries
            .iter()
            .filter(|entry| entry.label(labels::RUN) == Some(run));
        of_run
            .filter_map(|entry| entry.key.strip_prefix(prefix.as_str()).map(str::to_owned))
            .collect()
    }

    fn run_has_ended(&self, namespace: &str, run: &str) -> Option<bool> {
        let entry = self.cacher.storage(self.runs).get(&format!("{namespace}/{run}"))?;
        let run: PipelineRun = serde_json::from_slice(&entry.encoded).ok()?;
        Some(
            run.status
                .is_some_and(|status| truth(&status.conditions, SUCCEEDED) != Truth::Unknown),
        )
    }

    fn job_changes(&self) -> watch::Receiver<u64> {
        self.cacher.storage(self.jobs).subscribe()
    }

    fn run_changes(&self) -> watch::Receiver<u64> {
        self.cacher.storage(self.runs).subscribe()
    }
}
