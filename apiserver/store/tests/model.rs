//! Both stores against a model that remembers everything: random transactions, reads at any revision, compactions,
//! restarts, and watches that start anywhere and are read whenever.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use breakbulk_store::embedded::{self, Embedded};
use breakbulk_store::etcd::Etcd;
use breakbulk_store::testing::EtcdServer;
use breakbulk_store::{
    At, Compare, Error, Event, EventKind, KeyValue, Op, RangeQuery, Revision, Store, Txn, TxnOutcome, WatchBatch,
    WatchStream,
};
use bytes::Bytes;
use futures::StreamExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[derive(Debug, Clone)]
enum Expect {
    Current,
    Absent,
    Stale,
}

#[derive(Debug, Clone)]
enum Change {
    Put(u8),
    Delete,
}

#[derive(Debug, Clone)]
enum Step {
    Txn {
        compares: Vec<(u8, Expect)>,
        changes: BTreeMap<u8, Change>,
    },
    /// Several at once, which may end up in one group.
    Burst(Vec<(u8, Change)>),
    /// So many revisions back from the newest.
    Compact {
        back: u64,
    },
    Range {
        back: u64,
        prefix: u8,
        limit: usize,
    },
    Watch {
        back: u64,
        prefix: u8,
    },
    /// One batch of one of the watches.
    Read {
        watch: usize,
    },
    Restart,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![3 => any::<u8>().prop_map(Change::Put), 2 => Just(Change::Delete)]
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..8u8;
    let expect = prop_oneof![3 => Just(Expect::Current), 1 => Just(Expect::Absent), 1 => Just(Expect::Stale)];
    prop_oneof![
        8 => (
            prop::collection::vec((key.clone(), expect), 0..3),
            prop::collection::btree_map(key.clone(), change(), 0..4)
        )
            .prop_map(|(compares, changes)| Step::Txn { compares, changes }),
        2 => prop::collection::vec((key, change()), 1..6).prop_map(Step::Burst),
        2 => (0..12u64).prop_map(|back| Step::Compact { back }),
        3 => (0..12u64, 0..3u8, 0..4usize).prop_map(|(back, prefix, limit)| Step::Range { back, prefix, limit }),
        2 => (0..12u64, 0..3u8).prop_map(|(back, prefix)| Step::Watch { back, prefix }),
        3 => any::<usize>().prop_map(|watch| Step::Read { watch }),
        2 => Just(Step::Restart),
    ]
}

type State = BTreeMap<Bytes, KeyValue>;

/// Everything that ever happened, from where the test began.
struct Model {
    root: String,
    states: BTreeMap<Revision, State>,
    events: Vec<Event>,
    compacted: Revision,
}

impl Model {
    fn new(root: String, first: Revision) -> Self {
        Self {
            root,
            states: BTreeMap::from([(first, State::new())]),
            events: Vec::new(),
            compacted: Revision::ZERO,
        }
    }

    fn key(&self, number: u8) -> Bytes {
        // Two directories, so that prefixes separate.
        Bytes::from(format!("{}{}/{number}", self.root, if number < 4 { "a" } else { "b" }))
    }

    fn prefix(&self, number: u8) -> Bytes {
        Bytes::from(format!("{}{}", self.root, ["", "a/", "b/"][usize::from(number)]))
    }

    fn first(&self) -> Revision {
        *self.states.keys().next().unwrap()
    }

    fn current(&self) -> Revision {
        *self.states.keys().next_back().unwrap()
    }

    fn newest(&self) -> &State {
        &self.states[&self.current()]
    }

    fn back(&self, back: u64) -> Revision {
        Revision(self.current().0.saturating_sub(back)).max(self.first())
    }

    fn apply(&mut self, revision: Revision, ops: &[Op]) {
        let mut state = self.newest().clone();
        for op in ops {
            let prev = state.get(op.key()).cloned();
            let (kind, kv) = match op {
                Op::Put { key, value } => {
                    let create_revision = prev.as_ref().map_or(revision, |kv| kv.create_revision);
                    let kv = KeyValue {
                        key: key.clone(),
                        value: value.clone(),
                        create_revision,
                        mod_revision: revision,
                    };
                    state.insert(key.clone(), kv.clone());
                    (EventKind::Put, kv)
                }
                Op::Delete { key } if prev.is_none() => {
                    assert!(!state.contains_key(key));
                    continue;
                }
                Op::Delete { key } => {
                    state.remove(key);
                    let (create_revision, value) = (Revision::ZERO, Bytes::new());
                    (
                        EventKind::Delete,
                        KeyValue {
                            key: key.clone(),
                            value,
                            create_revision,
                            mod_revision: revision,
                        },
                    )
                }
            };
            self.events.push(Event { kind, kv });
        }
        self.states.insert(revision, state);
    }

    fn changes(&self, ops: &[Op]) -> bool {
        ops.iter()
            .any(|op| matches!(op, Op::Put { .. }) || self.newest().contains_key(op.key()))
    }

    fn expected(&self, prefix: &[u8], after: Revision, until: Revision) -> Vec<Event> {
        let of_prefix = |event: &&Event| event.kv.key.starts_with(prefix);
        let in_time = |event: &&Event| event.kv.mod_revision > after && event.kv.mod_revision <= until;
        self.events.iter().filter(of_prefix).filter(in_time).cloned().collect()
    }
}

enum Subject {
    Embedded {
        dir: tempfile::TempDir,
        options: embedded::Options,
        store: Option<Embedded>,
    },
    Etcd(Etcd),
}

impl Subject {
    fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded { store, .. } => store.as_ref().unwrap(),
            Self::Etcd(store) => store,
        }
    }

    fn restart(&mut self) {
        if let Self::Embedded { dir, options, store } = self {
            drop(store.take());
            *store = Some(Embedded::open(dir.path(), options.clone()).unwrap());
        }
    }
}

struct Watching {
    prefix: Bytes,
    position: Revision,
    stream: Option<WatchStream>,
}

struct Run {
    model: Model,
    subject: Subject,
    watches: Vec<Watching>,
}

impl Run {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Txn { compares, changes } => self.txn(&compares, &changes).await,
            Step::Burst(changes) => self.burst(changes).await,
            Step::Compact { back } => {
                let at = self.model.back(back);
                self.subject.store().compact(at).await.unwrap();
                self.model.compacted = self.model.compacted.max(at);
            }
            Step::Range { back, prefix, limit } => self.range(back, prefix, limit).await,
            Step::Watch { back, prefix } => {
                let (prefix, position) = (self.model.prefix(prefix), self.model.back(back));
                self.watches.push(Watching {
                    prefix,
                    position,
                    stream: None,
                });
            }
            Step::Read { watch } if !self.watches.is_empty() => {
                let watch = watch % self.watches.len();
                let current = self.model.current();
                let watching = &self.watches[watch];
                if !self
                    .model
                    .expected(&watching.prefix, watching.position, current)
                    .is_empty()
                {
                    self.read(watch).await;
                }
            }
            Step::Read { .. } => {}
            Step::Restart => {
                for watching in &mut self.watches {
                    watching.stream = None;
                }
                self.subject.restart();
                assert_eq!(
                    self.subject.store().current_revision().await.unwrap(),
                    self.model.current()
                );
            }
        }
    }

    fn op(&self, key: u8, change: &Change) -> Op {
        let key = self.model.key(key);
        match change {
            Change::Put(value) => Op::Put {
                key,
                // Many are larger than the smallest log file.
                value: Bytes::from(vec![*value; usize::from(*value) * 4]),
            },
            Change::Delete => Op::Delete { key },
        }
    }

    async fn txn(&mut self, compares: &[(u8, Expect)], changes: &BTreeMap<u8, Change>) {
        let state = self.model.newest();
        let compares: Vec<Compare> = compares
            .iter()
            .map(|(key, expect)| {
                let key = self.model.key(*key);
                let modified = state.get(&key).map_or(Revision::ZERO, |kv| kv.mod_revision);
                match expect {
                    Expect::Current => Compare::ModRevision { key, equals: modified },
                    Expect::Absent => Compare::Absent { key },
                    Expect::Stale => Compare::ModRevision {
                        key,
                        equals: Revision(modified.0 + 1),
                    },
                }
            })
            .collect();
        let modified = |key: &Bytes| state.get(key).map_or(Revision::ZERO, |kv| kv.mod_revision);
        let holds = compares
            .iter()
            .all(|compare| modified(compare.key()) == compare.expected());
        let ops: Vec<Op> = changes.iter().map(|(key, change)| self.op(*key, change)).collect();
        let outcome = self
            .subject
            .store()
            .txn(Txn {
                compares: compares.clone(),
                ops: ops.clone(),
            })
            .await
            .unwrap();
        match outcome {
            TxnOutcome::Committed { revision } => {
                assert!(holds, "it committed although a compare does not hold");
                let expected = if self.model.changes(&ops) {
                    self.model.current().next()
                } else {
                    self.model.current()
                };
                assert_eq!(revision, expected);
                if revision > self.model.current() {
                    self.model.apply(revision, &ops);
                }
            }
            TxnOutcome::Conflict { current, revision } => {
                assert!(!holds, "it conflicted although all compares hold");
                assert_eq!(revision, self.model.current());
                let expected: Vec<_> = compares
                    .iter()
                    .map(|compare| state.get(compare.key()).cloned())
                    .collect();
                assert_eq!(current, expected);
            }
        }
    }

    async fn burst(&mut self, changes: Vec<(u8, Change)>) {
        let ops: Vec<Op> = changes.iter().map(|(key, change)| self.op(*key, change)).collect();
        let store = self.subject.store();
        let txns = ops.iter().map(|op| {
            store.txn(Txn {
                compares: vec![],
                ops: vec![op.clone()],
            })
        });
        let outcomes = futures::future::join_all(txns).await;
        // In the order of their revisions; those that changed nothing share one with what was before them.
        let mut applied: Vec<(Revision, Op)> = Vec::new();
        for (outcome, op) in outcomes.into_iter().zip(ops) {
            let TxnOutcome::Committed { revision } = outcome.unwrap() else {
                panic!("nothing to conflict with")
            };
            applied.push((revision, op));
        }
        applied.sort_by_key(|(revision, op)| (*revision, matches!(op, Op::Delete { .. })));
        let mut by_revision: BTreeMap<Revision, Vec<Op>> = BTreeMap::new();
        for (revision, op) in applied {
            by_revision.entry(revision).or_default().push(op);
        }
        for (revision, ops) in by_revision {
            if revision == self.model.current() {
                // Only deletes that found nothing.
                assert!(ops.iter().all(|op| matches!(op, Op::Delete { .. })));
                continue;
            }
            assert_eq!(revision, self.model.current().next());
            let changing = ops.iter().position(|op| self.model.changes(std::slice::from_ref(op)));
            let changing = ops[changing.expect("a revision changes something")].clone();
            self.model.apply(revision, &[changing]);
        }
        let page = store.range(RangeQuery::prefix(self.model.prefix(0))).await.unwrap();
        assert!(page.items.iter().eq(self.model.newest().values()));
    }

    async fn range(&self, back: u64, prefix: u8, limit: usize) {
        let (revision, prefix) = (self.model.back(back), self.model.prefix(prefix));
        let query = RangeQuery::prefix(prefix.clone())
            .limit(limit)
            .at(At::Exactly(revision));
        match self.subject.store().range(query).await {
            Ok(page) => {
                assert!(revision >= self.model.compacted, "{revision} was compacted");
                let all: Vec<_> = self.model.states[&revision]
                    .values()
                    .filter(|kv| kv.key.starts_with(&prefix))
                    .cloned()
                    .collect();
                let take = if limit == 0 { all.len() } else { limit.min(all.len()) };
                assert_eq!(page.items, all[..take]);
                assert_eq!((page.more, page.count), (take < all.len(), all.len() as u64));
            }
            Err(Error::Compacted { .. }) => assert!(revision < self.model.compacted, "{revision} is still there"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads a batch of a watch that is behind; one that may no longer be able to catch up is dropped when it says so.
    async fn read(&mut self, watch: usize) {
        let watching = &mut self.watches[watch];
        let stream = match watching.stream.take() {
            Some(stream) => Ok(stream),
            None => {
                self.subject
                    .store()
                    .watch(watching.prefix.clone(), watching.position)
                    .await
            }
        };
        let batch = match stream {
            Ok(mut stream) => {
                let batch = next(self.subject.store(), &mut stream).await;
                watching.stream = Some(stream);
                batch
            }
            Err(error) => Err(error),
        };
        match batch {
            Ok(batch) => self.check(watch, &batch),
            Err(error) => {
                assert!(error.needs_list(), "{error}");
                let position = self.watches[watch].position;
                assert!(
                    position < self.model.compacted,
                    "the history still reaches {position}: {error}"
                );
                self.watches.remove(watch);
            }
        }
    }

    fn check(&mut self, watch: usize, batch: &WatchBatch) {
        let watching = &mut self.watches[watch];
        assert!(batch.revision <= self.model.current());
        assert!(batch.revision >= watching.position);
        let expected = self.model.expected(&watching.prefix, watching.position, batch.revision);
        assert_eq!(
            batch.events, expected,
            "from {} to {}",
            watching.position, batch.revision
        );
        watching.position = batch.revision;
    }

    /// Every watch that is left catches up, or says why it can't.
    async fn finish(mut self) {
        while let Some(watching) = self.watches.last() {
            if watching.position == self.model.current() {
                self.watches.pop();
            } else {
                self.read(self.watches.len() - 1).await;
            }
        }
        let page = self
            .subject
            .store()
            .range(RangeQuery::prefix(self.model.prefix(0)))
            .await
            .unwrap();
        assert!(page.items.iter().eq(self.model.newest().values()));
    }
}

async fn next(store: &dyn Store, stream: &mut WatchStream) -> Result<WatchBatch, Error> {
    for _ in 0..100 {
        store.request_progress().await.unwrap();
        if let Ok(batch) = tokio::time::timeout(Duration::from_millis(200), stream.next()).await {
            return batch.expect("it has not ended before");
        }
    }
    panic!("the watch delivers nothing")
}

async fn run(subject: Subject, root: String, steps: Vec<Step>) {
    let first = subject.store().current_revision().await.unwrap();
    let mut run = Run {
        model: Model::new(root, first),
        subject,
        watches: Vec::new(),
    };
    for step in steps {
        run.step(step).await;
    }
    run.finish().await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    }
}

#[test]
fn the_embedded_store_agrees_with_the_model() {
    let runtime = runtime();
    // Small files, so that they are rotated, and snapshots written, all the time; and large ones.
    let input = (
        prop_oneof![Just(512u64), Just(4096), Just(1 << 20)],
        prop::collection::vec(step(), 1..80),
    );
    TestRunner::new(config(96))
        .run(&input, |(segment_bytes, steps)| {
            let dir = tempfile::tempdir().unwrap();
            let options = embedded::Options {
                segment_bytes,
                ..embedded::Options::default()
            };
            let store = Some(Embedded::open(dir.path(), options.clone()).unwrap());
            runtime.block_on(run(Subject::Embedded { dir, options, store }, "/".to_owned(), steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_store_on_etcd_agrees_with_the_model() {
    let runtime = runtime();
    let server = runtime.block_on(EtcdServer::start()).unwrap();
    let cases = AtomicU64::new(0);
    TestRunner::new(config(24))
        .run(&prop::collection::vec(step(), 1..50), |steps| {
            let store = runtime.block_on(Etcd::connect(&server.options())).unwrap();
            let root = format!("/{}/", cases.fetch_add(1, Ordering::Relaxed));
            runtime.block_on(run(Subject::Etcd(store), root, steps));
            Ok(())
        })
        .unwrap();
}
