//! The scheduler: one loop over all waiting Jobs and all Nodes. It binds by compare-and-swap on the Job, takes its own
//! bindings for done until the server has answered, and tells every Job that waits for long what it waits for.
//!
//! A pass begins with every change that may matter, without delay; changes during a pass lead to one more. The node's
//! agent has the last word: it may give a binding back.

mod explain;
pub mod ledger;
pub mod node;
pub mod plan;
pub mod shape;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breakbulk_schemas::concurrency_group::MemberKind;
use breakbulk_schemas::job::Job;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use self::explain::Explainer;
use self::ledger::Ledger;
use self::node::NodeView;
use crate::concurrency_group;
use crate::runtime::{ApiError, Change, Key};
use crate::world::World;

/// How many bindings are under way at the same time: enough to fill the server's group commit, and each a connection
/// of its own.
const AT_ONCE: usize = 16;

/// How often it is looked whether something has to be explained.
const EXPLAIN: Duration = Duration::from_millis(500);

/// The scheduler.
#[derive(Debug)]
pub struct Scheduler {
    world: Arc<World>,
    ledger: Mutex<Ledger>,
    wake: Notify,
}

impl Scheduler {
    /// A scheduler over `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            ledger: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Takes in that a Job changed.
    pub fn job_changed(&self, change: &Change<'_, Job>) {
        if self.lock().changed(change) {
            self.wake.notify_one();
        }
    }

    /// Asks for a pass: a node or a group changed.
    pub fn look(&self) {
        self.wake.notify_one();
    }

    /// Runs for ever. Being dropped drops bindings under way, which is what a crash does.
    pub async fn run(&self) {
        let mut binding = FuturesUnordered::new();
        let mut telling = FuturesUnordered::new();
        let mut explainer = Explainer::default();
        let mut tick = tokio::time::interval(EXPLAIN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for (key, node) in self.pass(AT_ONCE.saturating_sub(binding.len()), &mut explainer) {
                binding.push(async move {
                    let result = self.bind(&key, &node).await;
                    (key, node, result)
                });
            }
            // Every arm is cancel-safe: a wake-up is kept by `Notify`, ticks by the interval, the others are only polled.
            tokio::select! {
                () = self.wake.notified() => {}
                Some((key, node, result)) = binding.next() => self.bound(&key, &node, &result),
                _ = tick.tick() => telling.extend(explainer.due(&self.world).into_iter().map(|due| due.write(&self.world))),
                Some(()) = telling.next() => {}
            }
        }
    }

    fn pass(&self, most: usize, explainer: &mut Explainer) -> Vec<(Key, String)> {
        let mut ledger = self.lock();
        if ledger.queues().is_empty() {
            explainer.clear();
            return Vec::new();
        }
        let nodes: Vec<NodeView> = self
            .world
            .nodes
            .cache()
            .all()
            .iter()
            .map(|node| NodeView::of(node))
            .collect();
        let holds = |namespace: &str, group: &str, uid: &str| {
            let group = self.world.groups.get(&Key::new(namespace, group));
            concurrency_group::waits(group.as_deref(), MemberKind::Job, uid).is_none()
        };
        let plan = plan::plan(&ledger, &nodes, holds, most, Instant::now());
        for (key, node) in &plan.bind {
            ledger.bind(key, node);
        }
        explainer.note(&ledger, plan.waits);
        plan.bind
    }

    async fn bind(&self, key: &Key, node: &str) -> Result<(), ApiError> {
        let Some(job) = self.world.jobs.get(key) else {
            return Ok(());
        };
        if job.spec.node_name.is_some() || job.spec.cancel || job.is_ended() {
            return Ok(());
        }
        self.world
            .jobs
            .patch(&job, json!({ "spec": { "nodeName": node } }))
            .await?;
        Ok(())
    }

    fn bound(&self, key: &Key, node: &str, result: &Result<(), ApiError>) {
        match result {
            Ok(()) => tracing::debug!(%key, node, "bound"),
            Err(error) if error.is_conflict() || error.is_not_found() => {
                tracing::debug!(%key, node, "the job changed before it was bound; looking again");
            }
            Err(error) => tracing::warn!(%key, node, %error, "could not bind"),
        }
        // The next turn of the loop makes the next pass.
        self.lock().answered(key, self.world.jobs.get(key).as_deref());
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
