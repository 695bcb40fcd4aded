//! A node as the scheduler sees it: what it offers, and whether a job may go there at all.

use std::collections::BTreeMap;

use breakbulk_schemas::condition::READY;
use breakbulk_schemas::{Scalar, quantity};
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;

use super::shape::{Shape, Tolerates};

/// How many jobs a node takes at the same time, as its agent writes it.
pub const SLOTS: &str = "breakbulk.dev/jobs";

/// An amount of what jobs take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Amount {
    /// Processors in thousandths.
    pub cpu: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Jobs.
    pub slots: u64,
}

impl Amount {
    /// Takes more.
    pub fn add(&mut self, other: Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.slots = self.slots.saturating_add(other.slots);
    }

    /// Gives back.
    pub fn remove(&mut self, other: Self) {
        self.cpu = self.cpu.saturating_sub(other.cpu);
        self.memory = self.memory.saturating_sub(other.memory);
        self.slots = self.slots.saturating_sub(other.slots);
    }

    /// What is short, if `wanted` is to come on top of `used`: the first of slots, cpu, memory.
    pub fn short(self, used: Self, wanted: Self) -> Option<Short> {
        let over = |offered: u64, used: u64, wanted: u64| used.saturating_add(wanted) > offered;
        if over(self.slots, used.slots, wanted.slots) {
            return Some(Short::Slots);
        }
        if over(self.cpu, used.cpu, wanted.cpu) {
            return Some(Short::Cpu);
        }
        over(self.memory, used.memory, wanted.memory).then_some(Short::Memory)
    }
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Short {
    /// Places for jobs.
    Slots,
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
}

/// Why a node does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Others use it; it would fit if it were free.
    Busy(Short),
    /// It is cordoned.
    Cordoned,
    /// It is not ready, or has not been heard of.
    NotReady,
    /// It lacks a label.
    Label,
    /// It has a taint that the job does not tolerate.
    Taint(String),
    /// It could never offer that much.
    TooSmall(Short),
}

/// What the scheduler knows of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it offers.
    pub offers: Amount,
    /// Its agent says it is ready.
    pub ready: bool,
    /// The operator wants no new jobs there.
    pub cordoned: bool,
    /// Taints that keep jobs away.
    pub taints: Vec<Taint>,
}

impl NodeView {
    /// Reads a Node. What it does not say it does not limit, but for processors and memory, without which it takes
    /// nothing.
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let status = node.status.clone().unwrap_or_default();
        let offers = status.allocatable.or(status.capacity).unwrap_or_default();
        let ready = status
            .conditions
            .iter()
            .flatten()
            .any(|c| c.type_ == READY && c.status == "True");
        let taints = spec.taints.unwrap_or_default();
        Self {
            name: node.name_any(),
            labels: node.labels().clone(),
            offers: Amount {
                cpu: read(&offers, "cpu", quantity::cpu_millis).unwrap_or(0),
                memory: read(&offers, "memory", quantity::memory_bytes).unwrap_or(0),
                slots: read(&offers, SLOTS, quantity::memory_bytes)
                    .or_else(|| read(&offers, "pods", quantity::memory_bytes))
                    .unwrap_or(u64::MAX),
            },
            ready: ready && node.metadata.deletion_timestamp.is_none(),
            cordoned: spec.unschedulable.unwrap_or(false),
            taints: taints
                .into_iter()
                .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
                .collect(),
        }
    }

    /// Whether a job of this shape fits beside what is used; if not, why.
    pub fn fits(&self, used: Amount, shape: &Shape) -> Result<(), Reason> {
        if self.cordoned {
            return Err(Reason::Cordoned);
        }
        if !self.ready {
            return Err(Reason::NotReady);
        }
        if shape
            .selector
            .iter()
            .any(|(key, value)| self.labels.get(key) != Some(value))
        {
            return Err(Reason::Label);
        }
        if let Some(taint) = self
            .taints
            .iter()
            .find(|taint| !shape.tolerations.iter().any(|t| t.tolerates(taint)))
        {
            return Err(Reason::Taint(taint.key.clone()));
        }
        if let Some(short) = self.offers.short(Amount::default(), shape.wants) {
            return Err(Reason::TooSmall(short));
        }
        self.offers
            .short(used, shape.wants)
            .map_or(Ok(()), |short| Err(Reason::Busy(short)))
    }

    /// How full it would be, in thousandths of its scarcest part: fewer is better, so that jobs spread.
    pub fn score(&self, used: Amount, shape: &Shape) -> u64 {
        let share = |used: u64, wanted: u64, offered: u64| {
            if offered == 0 || offered == u64::MAX {
                0
            } else {
                used.saturating_add(wanted).saturating_mul(1000) / offered
            }
        };
        let wants = shape.wants;
        share(used.cpu, wants.cpu, self.offers.cpu)
            .max(share(used.memory, wants.memory, self.offers.memory))
            .max(share(used.slots, wants.slots, self.offers.slots))
    }
}

fn read(
    from: &BTreeMap<String, Quantity>,
    name: &str,
    parse: fn(&Scalar) -> Result<u64, quantity::QuantityError>,
) -> Option<u64> {
    parse(&Scalar::from(from.get(name)?.0.as_str())).ok()
}
