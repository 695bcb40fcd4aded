//! What of a job decides where it can go. Jobs of one shape are alike to the scheduler: when one finds no node in a
//! pass, none of them does, so a thousand waiting jobs cost little more than one.

use std::collections::BTreeMap;

use breakbulk_schemas::job::JobSpec;
use breakbulk_schemas::quota::{DEFAULT_CPU, DEFAULT_MEMORY};
use breakbulk_schemas::{Scalar, quantity};
use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::node::Amount;

/// What decides where a job can go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// What it takes.
    pub wants: Amount,
    /// Labels the node must have.
    pub selector: BTreeMap<String, String>,
    /// Taints it puts up with.
    pub tolerations: Vec<Tolerated>,
    /// The group it needs a place in.
    pub group: Option<String>,
}

/// A toleration that can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tolerated {
    key: Option<String>,
    exists: bool,
    value: String,
    effect: Option<String>,
}

/// Whether a taint is put up with.
pub trait Tolerates {
    /// By the rules of core/v1.
    fn tolerates(&self, taint: &Taint) -> bool;
}

impl Tolerates for Tolerated {
    fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.as_ref().is_none_or(|effect| *effect == taint.effect);
        let key = match &self.key {
            Some(key) => *key == taint.key,
            // An empty key with `Exists` tolerates everything.
            None => self.exists,
        };
        effect && key && (self.exists || self.value == taint.value.clone().unwrap_or_default())
    }
}

impl From<&Toleration> for Tolerated {
    fn from(toleration: &Toleration) -> Self {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            key: some(&toleration.key),
            exists: toleration.operator.as_deref() == Some("Exists"),
            value: toleration.value.clone().unwrap_or_default(),
            effect: some(&toleration.effect),
        }
    }
}

impl Shape {
    /// The shape of a job.
    pub fn of(spec: &JobSpec) -> Self {
        let read = |value: &Option<Scalar>, parse: fn(&Scalar) -> Result<u64, quantity::QuantityError>| {
            value.as_ref().and_then(|value| parse(value).ok())
        };
        Self {
            wants: Amount {
                cpu: read(&spec.resources.cpu, quantity::cpu_millis).unwrap_or(DEFAULT_CPU),
                memory: read(&spec.resources.memory, quantity::memory_bytes).unwrap_or(DEFAULT_MEMORY),
                slots: 1,
            },
            selector: spec.node_selector.clone(),
            tolerations: spec.tolerations.iter().map(Tolerated::from).collect(),
            group: spec.concurrency.as_ref().map(|wanted| wanted.group.clone()),
        }
    }
}
