//! Tells waiting Jobs what they wait for, in their `Scheduled` condition. Late, seldom and only when the words change:
//! a job that is bound within a second is never written to for this.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use breakbulk_schemas::concurrency_group::MemberKind;
use breakbulk_schemas::condition::{self, SCHEDULED, Truth, Wanted};
use breakbulk_schemas::job::Job;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::shape::Shape;
use crate::concurrency_group;
use crate::runtime::Key;
use crate::world::World;

/// How long a job waits before it is told why.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long words stay before they are replaced by others.
const STAY: Duration = Duration::from_secs(10);
/// How many jobs are told in one go: with thousands waiting for the same thing, the oldest speak for all.
const AT_ONCE: usize = 10;

#[derive(Debug)]
struct Waiter {
    since: Instant,
    shape: Arc<Shape>,
    told: Option<(Instant, String)>,
}

/// Who waits since when, and what was told.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    waiters: HashMap<Key, Waiter>,
    /// In the order in which they are served.
    order: Vec<Key>,
    reasons: HashMap<Arc<Shape>, String>,
}

impl Explainer {
    /// Nobody waits.
    pub(super) fn clear(&mut self) {
        self.waiters.clear();
        self.order.clear();
    }

    /// Takes in who waits after a pass.
    pub(super) fn note(&mut self, ledger: &Ledger, reasons: HashMap<Arc<Shape>, String>) {
        self.reasons = reasons;
        // Only the first of each queue can be told anyway.
        let mut seen = HashSet::new();
        self.order.clear();
        for ((_, shape), waiting) in ledger.queues() {
            for rank in waiting.keys().take(AT_ONCE) {
                let key = rank.key();
                seen.insert(key.clone());
                self.order.push(key.clone());
                let since = Instant::now();
                self.waiters.entry(key.clone()).or_insert_with(|| Waiter {
                    since,
                    shape: Arc::clone(shape),
                    told: None,
                });
            }
        }
        self.waiters.retain(|key, _| seen.contains(key));
    }

    /// What is to be told now, to those who have waited long enough. It counts as told: should it fail, it is told
    /// again when these words may be replaced.
    pub(super) fn due(&mut self, world: &World) -> Vec<Telling> {
        let mut due = Vec::new();
        for key in &self.order {
            let patient = |waiter: &&mut Waiter| waiter.since.elapsed() >= PATIENCE;
            let Some(waiter) = self.waiters.get_mut(key).filter(patient) else {
                continue;
            };
            if due.len() == AT_ONCE || waiter.told.as_ref().is_some_and(|(at, _)| at.elapsed() < STAY) {
                continue;
            }
            let Some(job) = world.jobs.get(key).filter(|job| job.spec.node_name.is_none()) else {
                continue;
            };
            let Some((reason, message)) = why(world, &job, &waiter.shape, &self.reasons) else {
                continue;
            };
            if waiter.told.as_ref().is_some_and(|(_, told)| *told == message) {
                continue;
            }
            waiter.told = Some((Instant::now(), message.clone()));
            due.push(Telling { job, reason, message });
        }
        due
    }
}

/// Words for one job.
#[derive(Debug)]
pub(super) struct Telling {
    job: Arc<Job>,
    reason: &'static str,
    message: String,
}

impl Telling {
    /// Writes them down.
    pub(super) async fn write(self, world: &World) {
        let Self { job, reason, message } = self;
        let old = job.status.clone().unwrap_or_default();
        let mut new = old.clone();
        let wanted = Wanted {
            kind: SCHEDULED,
            truth: Truth::False,
            reason,
            message,
        };
        condition::set(&mut new.conditions, wanted, job.metadata.generation, Timestamp::now());
        if let Err(error) = world.jobs.patch_status(&job, &old, &new).await {
            tracing::debug!(key = %Key::of(&*job), %error, "could not say why the job waits");
        }
    }
}

fn why(
    world: &World,
    job: &Job,
    shape: &Arc<Shape>,
    reasons: &HashMap<Arc<Shape>, String>,
) -> Option<(&'static str, String)> {
    if let Some(group) = &shape.group {
        let group = world.groups.get(&Key::of(job).sibling(group));
        let uid = job.uid().unwrap_or_default();
        if let Some(message) = concurrency_group::waits(group.as_deref(), MemberKind::Job, &uid) {
            return Some(("WaitsForGroup", message));
        }
    }
    reasons.get(shape).map(|message| ("Unschedulable", message.clone()))
}
