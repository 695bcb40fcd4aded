//! One pass: which waiting job goes to which node, and why the others wait. A pure function of the ledger, the nodes
//! and the groups' holders.
//!
//! The order is priority, then the namespace that has least running, then age. A job goes to the node that is least
//! full with it. Small jobs may overtake a large one that finds no room.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::ledger::{Ledger, QueueKey, Rank, Waiting};
use super::node::{Amount, NodeView, Reason, Short};
use super::shape::Shape;
use crate::runtime::Key;

/// What came of a pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Jobs and their nodes.
    pub bind: Vec<(Key, String)>,
    /// Why jobs of a shape wait.
    pub waits: HashMap<Arc<Shape>, String>,
}

/// Plans a pass that binds at most `most` jobs. `holds` says whether a job (by namespace, group and uid) holds the
/// place it needs.
/// `now` tells for how long a job still keeps away from a node that gave it back.
pub fn plan(
    ledger: &Ledger,
    nodes: &[NodeView],
    holds: impl Fn(&str, &str, &str) -> bool,
    most: usize,
    now: Instant,
) -> Plan {
    let mut plan = Plan::default();
    let mut used: HashMap<&str, Amount> = ledger
        .used()
        .iter()
        .map(|(node, used)| (node.as_str(), *used))
        .collect();
    let mut running: HashMap<&str, usize> = ledger.running().iter().map(|(ns, n)| (ns.as_str(), *n)).collect();
    let mut heads: Vec<Head<'_>> = ledger.queues().iter().map(Head::of).collect();
    let mut full: HashSet<Arc<Shape>> = HashSet::new();
    while plan.bind.len() < most {
        // Those that wait for a place in a group are passed over; what they wait for is told elsewhere.
        heads.iter_mut().for_each(|head| head.pass_over(&holds));
        heads.retain(|head| head.first.is_some() && !full.contains(head.shape));
        let best = heads.iter_mut().min_by_key(|head| {
            let share = running.get(head.namespace).copied().unwrap_or(0);
            (
                head.first.map(|(rank, _)| rank.priority()),
                share,
                head.first.map(|(rank, _)| rank.order()),
            )
        });
        let Some((head, (rank, _))) = best.and_then(|head| head.first.map(|first| (head, first))) else {
            break;
        };
        let avoid = ledger.avoids(rank.key(), now);
        match place(nodes, &used, head.shape, avoid) {
            Ok(node) => {
                used.entry(node).or_default().add(head.shape.wants);
                *running.entry(head.namespace).or_default() += 1;
                plan.bind.push((rank.key().clone(), node.to_owned()));
                head.first = head.rest.next();
            }
            // Another of its shape may go where it may not.
            Err(_) if avoid.is_some() => head.first = head.rest.next(),
            Err(why) => {
                plan.waits.insert(Arc::clone(head.shape), why);
                full.insert(Arc::clone(head.shape));
            }
        }
    }
    plan
}

/// A queue while a pass goes through it.
struct Head<'a> {
    namespace: &'a str,
    shape: &'a Arc<Shape>,
    first: Option<(&'a Rank, &'a String)>,
    rest: std::collections::btree_map::Iter<'a, Rank, String>,
}

impl<'a> Head<'a> {
    fn of(((namespace, shape), waiting): (&'a QueueKey, &'a Waiting)) -> Self {
        let mut rest = waiting.iter();
        Self {
            namespace,
            shape,
            first: rest.next(),
            rest,
        }
    }

    fn pass_over(&mut self, holds: &impl Fn(&str, &str, &str) -> bool) {
        let Some(group) = &self.shape.group else { return };
        while let Some((_, uid)) = self.first
            && !holds(self.namespace, group, uid)
        {
            self.first = self.rest.next();
        }
    }
}

fn place<'a>(
    nodes: &'a [NodeView],
    used: &HashMap<&str, Amount>,
    shape: &Shape,
    avoid: Option<&str>,
) -> Result<&'a str, String> {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut best: Option<(u64, &str)> = None;
    for node in nodes.iter().filter(|node| Some(node.name.as_str()) != avoid) {
        let used = used.get(node.name.as_str()).copied().unwrap_or_default();
        match node.fits(used, shape) {
            Ok(()) => {
                let candidate = (node.score(used, shape), node.name.as_str());
                best = Some(best.map_or(candidate, |best| best.min(candidate)));
            }
            Err(reason) => reasons.push(reason),
        }
    }
    best.map(|(_, name)| name).ok_or_else(|| explain(nodes.len(), reasons))
}

/// `0/3 nodes fit: 2 busy (cpu), 1 cordoned`.
fn explain(nodes: usize, reasons: Vec<Reason>) -> String {
    if nodes == 0 {
        return "0/0 nodes fit: there are no nodes".to_owned();
    }
    let mut counts: BTreeMap<&'static str, (usize, BTreeSet<String>)> = BTreeMap::new();
    for reason in reasons {
        let (word, detail) = words(reason);
        let (count, details) = counts.entry(word).or_default();
        *count += 1;
        details.extend(detail);
    }
    let mut parts: Vec<_> = counts.into_iter().collect();
    parts.sort_by_key(|(word, (count, _))| (std::cmp::Reverse(*count), *word));
    let parts: Vec<_> = parts
        .into_iter()
        .map(|(word, (count, details))| {
            let details: Vec<_> = details.into_iter().collect();
            if details.is_empty() {
                format!("{count} {word}")
            } else {
                format!("{count} {word} ({})", details.join(", "))
            }
        })
        .collect();
    format!("0/{nodes} nodes fit: {}", parts.join(", "))
}

fn words(reason: Reason) -> (&'static str, Option<String>) {
    let name = |short: Short| match short {
        Short::Slots => "jobs",
        Short::Cpu => "cpu",
        Short::Memory => "memory",
    };
    match reason {
        Reason::Busy(short) => ("busy", Some(name(short).to_owned())),
        Reason::Cordoned => ("cordoned", None),
        Reason::NotReady => ("not ready", None),
        Reason::Label => ("without the labels asked for", None),
        Reason::Taint(key) => ("tainted", Some(key)),
        Reason::TooSmall(short) => ("too small", Some(name(short).to_owned())),
    }
}
