//! What a transaction may look like, checked before any store sees it.
//!
//! The limits are etcd's defaults (`--max-txn-ops`, `--max-request-bytes`), for both stores: what one takes the other
//! takes, so that an export of one can always be imported into the other.

use std::collections::HashSet;

use crate::{Error, Op, Result, Txn};

/// The most operations, and the most compares, of one transaction.
pub const MAX_TXN_OPS: usize = 128;

/// The most bytes of keys and values of one transaction: etcd's 1.5 MiB, less some room for its framing.
pub const MAX_TXN_BYTES: usize = 3 * 512 * 1024 - 16 * 1024;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 4096;

/// Refuses a transaction that is too large, has an unusable key, or changes one key twice.
pub(crate) fn check(txn: &Txn) -> Result<()> {
    if txn.ops.len() > MAX_TXN_OPS || txn.compares.len() > MAX_TXN_OPS {
        return Err(Error::Invalid(format!(
            "a transaction of {} operations and {} compares: at most {MAX_TXN_OPS} of each are allowed",
            txn.ops.len(),
            txn.compares.len(),
        )));
    }
    let mut bytes = 0;
    for key in txn.compares.iter().map(|c| c.key()).chain(txn.ops.iter().map(Op::key)) {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Error::Invalid(format!(
                "a key of {} bytes: a key has between 1 and {MAX_KEY_BYTES} bytes",
                key.len(),
            )));
        }
        bytes += key.len();
    }
    bytes += txn.ops.iter().map(value_len).sum::<usize>();
    if bytes > MAX_TXN_BYTES {
        return Err(Error::Invalid(format!(
            "a transaction of {bytes} bytes: at most {MAX_TXN_BYTES} are allowed"
        )));
    }
    let mut seen = HashSet::with_capacity(txn.ops.len());
    match txn.ops.iter().find(|op| !seen.insert(op.key())) {
        Some(op) => Err(Error::Invalid(format!(
            "the key {:?} is changed twice in one transaction",
            String::from_utf8_lossy(op.key()),
        ))),
        None => Ok(()),
    }
}

fn value_len(op: &Op) -> usize {
    match op {
        Op::Put { value, .. } => value.len(),
        Op::Delete { .. } => 0,
    }
}
