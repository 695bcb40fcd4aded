//! Who waits and what is taken, kept up to date with every change of a Job: a view derived from the objects, that can
//! be built anew from them at any time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use breakbulk_schemas::job::{Job, outcome};
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use super::node::Amount;
use super::shape::Shape;
use crate::runtime::{Change, Key};

/// The order within a queue: priority, then age, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The negated priority: smaller is first.
    priority: i32,
    created: Timestamp,
    key: Key,
}

impl Rank {
    /// Whose it is.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Priority and age, to compare jobs of different queues.
    pub fn order(&self) -> (i32, Timestamp) {
        (self.priority, self.created)
    }

    /// The negated priority.
    pub fn priority(&self) -> i32 {
        self.priority
    }
}

/// Waiting jobs of one namespace and one shape, with their uids.
pub type Waiting = BTreeMap<Rank, String>;

/// A queue's name.
pub type QueueKey = (String, Arc<Shape>);

#[derive(Clone, Debug)]
enum Entry {
    Waits {
        queue: QueueKey,
        rank: Rank,
    },
    Placed {
        node: String,
        namespace: String,
        takes: Amount,
    },
}

/// A node that gave a job back.
#[derive(Clone, Debug)]
struct Refusal {
    node: String,
    until: Instant,
    count: u32,
}

/// How long a node is left alone by a job that it gave back, the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The view.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: HashMap<Key, Entry>,
    /// Bindings under way: taken for done until the server has answered.
    binding: HashMap<Key, String>,
    /// Jobs that were given back, and by whom last.
    refusals: HashMap<Key, Refusal>,
    queues: BTreeMap<QueueKey, Waiting>,
    used: HashMap<String, Amount>,
    running: HashMap<String, usize>,
}

impl Ledger {
    /// Takes in a change. Returns whether the next pass may decide otherwise than the last.
    pub fn changed(&mut self, change: &Change<'_, Job>) -> bool {
        let before = self.entries.contains_key(change.key);
        self.forget(change.key);
        self.note_refusal(change);
        if let Some(job) = change.new {
            self.note(change.key, job);
        }
        before || self.entries.contains_key(change.key)
    }

    /// The node that a job is to be kept away from for now: it gave the job back.
    pub fn avoids(&self, key: &Key, now: Instant) -> Option<&str> {
        self.refusals
            .get(key)
            .filter(|refusal| refusal.until > now)
            .map(|refusal| refusal.node.as_str())
    }

    /// A binding that was taken back for the same attempt was refused by its node; an end or a claim settles it.
    fn note_refusal(&mut self, change: &Change<'_, Job>) {
        let Some(new) = change
            .new
            .filter(|job| !job.is_ended() && job.last_attempt().is_none_or(|last| last.number < job.spec.attempt))
        else {
            self.refusals.remove(change.key);
            return;
        };
        let Some(old) = change
            .old
            .filter(|old| old.spec.attempt == new.spec.attempt && old.uid() == new.uid())
        else {
            return;
        };
        if let (Some(node), None) = (&old.spec.node_name, &new.spec.node_name) {
            let count = self.refusals.get(change.key).map_or(0, |refusal| refusal.count) + 1;
            let pause = FIRST_PAUSE.saturating_mul(1 << (count - 1).min(6)).min(LONGEST_PAUSE);
            let refusal = Refusal {
                node: node.clone(),
                until: Instant::now() + pause,
                count,
            };
            self.refusals.insert(change.key.clone(), refusal);
        }
    }

    /// Takes it that a job goes to a node.
    pub fn bind(&mut self, key: &Key, node: &str) {
        self.binding.insert(key.clone(), node.to_owned());
        if let Some(Entry::Waits { queue, .. }) = self.entries.get(key) {
            let takes = queue.1.wants;
            self.forget(key);
            self.place(key, node.to_owned(), takes);
        }
    }

    /// A binding was answered; `job` is what is known now.
    pub fn answered(&mut self, key: &Key, job: Option<&Job>) {
        self.binding.remove(key);
        self.forget(key);
        if let Some(job) = job {
            self.note(key, job);
        }
    }

    /// The queues.
    pub fn queues(&self) -> &BTreeMap<QueueKey, Waiting> {
        &self.queues
    }

    /// What is taken, by node.
    pub fn used(&self) -> &HashMap<String, Amount> {
        &self.used
    }

    /// How many jobs have a node, by namespace.
    pub fn running(&self) -> &HashMap<String, usize> {
        &self.running
    }

    fn note(&mut self, key: &Key, job: &Job) {
        if job.is_ended() || job.metadata.deletion_timestamp.is_some() && job.last_attempt().is_none() {
            return;
        }
        let state = outcome::state(&job.spec, job.status.as_ref());
        let node = job.spec.node_name.clone().or_else(|| self.binding.get(key).cloned());
        match (state, node) {
            (outcome::State::Active(attempt), _) => {
                let node = attempt.node.clone();
                self.place(key, node, Shape::of(&job.spec).wants);
            }
            (outcome::State::Waiting, Some(node)) => self.place(key, node, Shape::of(&job.spec).wants),
            (outcome::State::Waiting, None) => self.wait(key, job),
            _ => {}
        }
    }

    fn wait(&mut self, key: &Key, job: &Job) {
        let shape = Shape::of(&job.spec);
        let queue = (key.namespace.clone(), Arc::new(shape));
        let rank = Rank {
            priority: job.spec.priority.unwrap_or(0).saturating_neg(),
            created: job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            key: key.clone(),
        };
        self.queues
            .entry(queue.clone())
            .or_default()
            .insert(rank.clone(), job.uid().unwrap_or_default());
        self.entries.insert(key.clone(), Entry::Waits { queue, rank });
    }

    fn place(&mut self, key: &Key, node: String, takes: Amount) {
        self.used.entry(node.clone()).or_default().add(takes);
        *self.running.entry(key.namespace.clone()).or_default() += 1;
        let namespace = key.namespace.clone();
        self.entries
            .insert(key.clone(), Entry::Placed { node, namespace, takes });
    }

    fn forget(&mut self, key: &Key) {
        match self.entries.remove(key) {
            Some(Entry::Waits { queue, rank }) => {
                if let Some(waiting) = self.queues.get_mut(&queue) {
                    waiting.remove(&rank);
                    if waiting.is_empty() {
                        self.queues.remove(&queue);
                    }
                }
            }
            Some(Entry::Placed { node, namespace, takes }) => {
                if let Some(used) = self.used.get_mut(&node) {
                    used.remove(takes);
                    if *used == Amount::default() {
                        self.used.remove(&node);
                    }
                }
                if let Some(count) = self.running.get_mut(&namespace) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.running.remove(&namespace);
                    }
                }
            }
            None => {}
        }
    }
}
