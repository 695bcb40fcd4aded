//! The writer: the one thread that changes the store.
//!
//! It takes all transactions that wait, plans them one after the other, writes them as one frame, syncs, publishes them
//! to readers and watchers, and only then answers. While it syncs, the next group gathers: the busier the store, the
//! larger the groups. Forgetting old history and writing snapshots are started from here too, since only here it is
//! known that nothing else changes the state.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::index::Index;
use super::log::{AppendError, Log, StoreId};
use super::plan::Plan;
use super::record::{self, Millis, Record};
use super::upkeep::{Snapshots, Task};
use super::watch::{Ask, Watchers};
use super::{History, Options, Shared};
use crate::{Condition, Error, Op, Result, Revision, Txn, TxnOutcome};

/// Transactions per group: more than there are callers in practice, so that a group is bounded at all.
const GROUP_TXNS: usize = 1024;
/// Bytes per group after which it is closed: about what a disk writes in a few milliseconds.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// Changes forgotten at a time: readers wait as long as that takes, about a millisecond.
const FORGET_AT_ONCE: usize = 1024;

/// What the writer is asked to do.
pub(crate) enum Command {
    Txn {
        txn: Txn,
        reply: oneshot::Sender<Result<TxnOutcome>>,
    },
    Compact {
        at: Revision,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Nothing but an answer: that the writer is there, and how it is.
    Check {
        reply: oneshot::Sender<Result<Condition>>,
    },
    /// From the thread that writes a snapshot: it ends.
    SnapshotEnded,
    Close {
        reply: oneshot::Sender<()>,
    },
}

type Answer = Box<dyn FnOnce(Option<Error>) + Send>;

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) myself: mpsc::WeakSender<Command>,
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) snapshots: Snapshots,
    /// Held until the thread ends.
    pub(crate) lock: File,
    /// Forgotten in memory, not yet written to the log.
    pub(crate) unwritten_compaction: Option<Revision>,
    pub(crate) payload: Vec<u8>,
}

/// A group that is decided but not yet durable.
struct Group {
    commits: Vec<Vec<Op>>,
    compact: Option<Revision>,
    answers: Vec<Answer>,
    checks: Vec<oneshot::Sender<Result<Condition>>>,
    first: Revision,
}

impl Writer {
    /// Runs until the store is closed or dropped.
    pub(crate) fn run(mut self) {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = self.commands.blocking_recv() else {
                break;
            };
            let mut group = self.gather(first, &mut closing);
            let checks = std::mem::take(&mut group.checks);
            self.commit(group);
            self.answer(checks);
            self.forget();
            self.snapshot_if_due();
        }
        self.close();
        // Only now another process may open the directory, and only then the caller hears of it.
        let _ = self.lock.unlock();
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Takes what waits, and decides it.
    fn gather(&mut self, first: Command, closing: &mut Option<oneshot::Sender<()>>) -> Group {
        let shared = Arc::clone(&self.shared);
        let index = shared.read();
        let first_revision = index.current().next();
        let mut plan = Plan::new(&index);
        let (mut answers, mut checks) = (Vec::<Answer>::new(), Vec::new());
        let (mut compact, mut bytes) = (None, 0);
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Txn { txn, reply } => {
                    bytes += txn.ops.iter().map(op_bytes).sum::<usize>();
                    let outcome = plan.txn(txn);
                    answers.push(Box::new(move |error| {
                        let _ = reply.send(error.map_or(Ok(outcome), Err));
                    }));
                }
                Command::Compact { at, reply } if at > plan.current() => {
                    let _ = reply.send(Err(Error::Future {
                        requested: at,
                        current: plan.current(),
                    }));
                }
                Command::Compact { at, reply } => {
                    compact = compact.max(Some(at));
                    answers.push(Box::new(move |error| {
                        let _ = reply.send(error.map_or(Ok(()), Err));
                    }));
                }
                Command::Check { reply } => checks.push(reply),
                Command::SnapshotEnded => self.end_snapshot(),
                Command::Close { reply } => {
                    *closing = Some(reply);
                    break;
                }
            }
            if answers.len() + checks.len() >= GROUP_TXNS || bytes >= GROUP_BYTES {
                break;
            }
            next = self.commands.try_recv().ok();
        }
        let compact = compact.filter(|at| *at > index.compacted());
        Group {
            commits: plan.into_commits(),
            compact,
            answers,
            checks,
            first: first_revision,
        }
    }

    /// Makes a group durable, publishes it, answers.
    fn commit(&mut self, group: Group) {
        let Group {
            commits,
            compact,
            answers,
            first,
            ..
        } = group;
        let at = Millis::now();
        let changes = !commits.is_empty() || compact.is_some();
        if changes && let Err(error) = self.write(&commits, compact, first, at) {
            for answer in answers {
                answer(Some(error()));
            }
            return;
        }
        let mut wake = Vec::new();
        if changes {
            let mut index = self.shared.write();
            for ops in commits {
                self.shared.watchers.mark(index.apply(at, ops), &mut wake);
            }
            if let Some(at) = compact {
                index.compact(at);
            }
        }
        for answer in answers {
            answer(None);
        }
        Watchers::wake(&wake);
    }

    /// Answers those who only want to know how the store is: what was handed over before is on the disk.
    fn answer(&self, checks: Vec<oneshot::Sender<Result<Condition>>>) {
        for check in checks {
            let condition = match self.shared.failure() {
                Some(message) => Err(Error::Failed { message }),
                None => Ok(Condition {
                    revision: self.shared.read().current(),
                    failed_snapshots: self.snapshots.failed(),
                }),
            };
            let _ = check.send(condition);
        }
    }

    /// Writes and syncs; on failure, a maker of the error to answer with.
    fn write(
        &mut self,
        commits: &[Vec<Op>],
        compact: Option<Revision>,
        first: Revision,
        at: Millis,
    ) -> Result<(), Box<dyn Fn() -> Error>> {
        if let Some(message) = self.shared.failure() {
            return Err(Box::new(move || Error::Failed {
                message: message.clone(),
            }));
        }
        self.payload.clear();
        let mut revision = first;
        for ops in commits {
            record::put_txn(&mut self.payload, revision, at, ops);
            revision = revision.next();
        }
        let compacted = compact.max(self.unwritten_compaction);
        if let Some(at) = compacted {
            record::put(&mut self.payload, &Record::Compacted(at));
        }
        let appended = self.log.append(&self.payload, first);
        self.payload.shrink_to(256 * 1024);
        match appended {
            Ok(()) => {
                self.unwritten_compaction = None;
                Ok(())
            }
            Err(AppendError::Full(error)) => {
                tracing::error!(%error, "the store's disk is full");
                let (kind, text) = (error.kind(), error.to_string());
                Err(Box::new(move || {
                    let source = std::io::Error::new(kind, text.clone());
                    Error::ReadOnly {
                        source: Some(source.into()),
                    }
                }))
            }
            Err(AppendError::Broken(message)) => {
                tracing::error!(%message, "the store stops after a failed disk operation");
                self.shared.fail(message.clone());
                Err(Box::new(move || Error::Ambiguous {
                    source: message.clone().into(),
                }))
            }
        }
    }

    /// Forgets history beyond its bounds, a little at a time.
    fn forget(&mut self) {
        let target = to_forget(&self.shared.read(), &self.options.history, Millis::now());
        if let Some(at) = target {
            self.shared.write().compact(at);
            self.unwritten_compaction = self.unwritten_compaction.max(Some(at));
        }
    }

    /// Starts a snapshot when it would free at least as much log as it writes.
    fn snapshot_if_due(&mut self) {
        let compacted = self.shared.read().compacted();
        let superfluous: u64 = self.log.sealed_until(compacted).map(|segment| segment.bytes).sum();
        if self.shared.failure().is_some() || !self.snapshots.are_due(superfluous, &self.options) {
            return;
        }
        let (revision, items) = self.shared.read().oldest_state();
        let task = Task {
            dir: self.dir.clone(),
            store: self.store,
            disk: Arc::clone(&self.options.disk),
            revision,
            items,
        };
        let not_again_before = superfluous + self.options.segment_bytes;
        self.snapshots.begin(task, not_again_before, self.myself.clone());
    }

    fn end_snapshot(&mut self) {
        if let Some(revision) = self.snapshots.end(&self.options) {
            self.log.remove_until(revision);
        }
    }

    fn close(&mut self) {
        self.shared.close();
        self.shared.watchers.wake_all(Ask::Close);
        self.commands.close();
        // Those that came too late are told so by their dropped reply; a snapshot thread by its failing send.
        while self.commands.try_recv().is_ok() {}
        self.end_snapshot();
        if self.shared.failure().is_none() {
            let next = self.shared.read().current().next();
            let mut payload = Vec::new();
            if let Some(at) = self.unwritten_compaction {
                record::put(&mut payload, &Record::Compacted(at));
            }
            record::put(&mut payload, &Record::Closed);
            if let Err(error) = self.log.append(&payload, next) {
                tracing::warn!(?error, dir = %self.dir.display(), "the store could not be marked as closed in order");
            }
        }
    }
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Put { key, value } => key.len() + value.len(),
        Op::Delete { key } => key.len(),
    }
}

/// Up to which revision the history is to be forgotten now, if it is beyond a bound by more than a sixteenth (so that
/// it is not done at every write).
fn to_forget(index: &Index, bounds: &History, now: Millis) -> Option<Revision> {
    let (mut count, mut bytes) = index.history_size();
    let oldest_allowed = Millis(
        now.0
            .saturating_sub(u64::try_from(bounds.max_age.as_millis()).unwrap_or(u64::MAX)),
    );
    let grace = Millis(
        oldest_allowed
            .0
            .saturating_sub(u64::try_from(bounds.max_age.as_millis() / 16).unwrap_or(0)),
    );
    let too_old = index.oldest_changes().next().is_some_and(|(_, at, _)| at < grace);
    let too_many = count > bounds.max_revisions + bounds.max_revisions / 16;
    let too_large = bytes > bounds.max_bytes + bounds.max_bytes / 16;
    if !(too_old || too_many || too_large) {
        return None;
    }
    let mut target = None;
    for (revision, at, size) in index.oldest_changes().take(FORGET_AT_ONCE) {
        if count <= bounds.max_revisions && bytes <= bounds.max_bytes && at >= oldest_allowed {
            break;
        }
        count -= 1;
        bytes -= size;
        target = Some(revision);
    }
    target
}
