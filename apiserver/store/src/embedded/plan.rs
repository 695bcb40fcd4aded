//! What a group of transactions will do: decided before anything is written.
//!
//! Pure: it looks at the published state and at what earlier transactions of the same group will change, and says for
//! each how it ends. Nothing of it is visible to anyone until the group is durable.

use std::collections::HashMap;

use bytes::Bytes;

use super::index::Index;
use crate::{KeyValue, Op, Revision, Txn, TxnOutcome};

/// A group being planned on top of a state.
pub(crate) struct Plan<'a> {
    index: &'a Index,
    current: Revision,
    changed: HashMap<Bytes, Option<KeyValue>>,
    commits: Vec<Vec<Op>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        Self {
            index,
            current: index.current(),
            changed: HashMap::new(),
            commits: Vec::new(),
        }
    }

    /// The revision after everything planned so far.
    pub(crate) fn current(&self) -> Revision {
        self.current
    }

    /// What is to be written: the operations of each revision, from the one after the state's on.
    pub(crate) fn into_commits(self) -> Vec<Vec<Op>> {
        self.commits
    }

    /// Decides one transaction.
    pub(crate) fn txn(&mut self, txn: Txn) -> TxnOutcome {
        let holds = txn
            .compares
            .iter()
            .all(|compare| self.get(compare.key()).map_or(Revision::ZERO, |kv| kv.mod_revision) == compare.expected());
        if !holds {
            let current = txn.compares.iter().map(|compare| self.get(compare.key())).collect();
            return TxnOutcome::Conflict {
                current,
                revision: self.current,
            };
        }
        let ops: Vec<Op> = txn.ops.into_iter().filter(|op| self.changes_something(op)).collect();
        if !ops.is_empty() {
            self.current = self.current.next();
            for op in &ops {
                let after = self.after(op);
                self.changed.insert(op.key().clone(), after);
            }
            self.commits.push(ops);
        }
        TxnOutcome::Committed { revision: self.current }
    }

    fn get(&self, key: &[u8]) -> Option<KeyValue> {
        match self.changed.get(key) {
            Some(changed) => changed.clone(),
            None => self.index.get(key),
        }
    }

    fn changes_something(&self, op: &Op) -> bool {
        match op {
            Op::Put { .. } => true,
            Op::Delete { key } => self.get(key).is_some(),
        }
    }

    fn after(&self, op: &Op) -> Option<KeyValue> {
        let Op::Put { key, value } = op else { return None };
        let create_revision = self.get(key).map_or(self.current, |kv| kv.create_revision);
        Some(KeyValue {
            key: key.clone(),
            value: value.clone(),
            create_revision,
            mod_revision: self.current,
        })
    }
}
