//! The ingest against a model: a vector of bytes and how much of it is stored.

use std::path::{Path, PathBuf};

use breakbulk_log_api::rejected::Reason;
use breakbulk_logs::ReadOptions;
use bytes::Bytes;
use proptest::prelude::*;

use crate::agent::{Agent, frame};
use crate::readers::{content, read_all};
use crate::server::{Server, small};

#[derive(Clone, Debug)]
enum Op {
    /// Sends bytes from near the committed offset on, cut into records of a length.
    Send {
        back: usize,
        ahead: usize,
        len: usize,
        cut: usize,
    },
    /// The same with one bit flipped.
    Corrupt { len: usize, bit: usize },
    /// A new stream, the old one gone.
    Reconnect,
    /// The server ends in order and starts again.
    Restart,
    /// The machine dies: a segment loses its end, or has rubbish there.
    Crash {
        segment: usize,
        lost: u64,
        rubbish: Vec<u8>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..60, 0usize..3, 1usize..200, 1usize..90)
            .prop_map(|(back, ahead, len, cut)| Op::Send { back, ahead: ahead / 2, len, cut }),
        1 => (1usize..50, any::<usize>()).prop_map(|(len, bit)| Op::Corrupt { len, bit }),
        1 => Just(Op::Reconnect),
        1 => Just(Op::Restart),
        1 => (any::<usize>(), 0u64..120, proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(segment, lost, rubbish)| Op::Crash { segment, lost, rubbish }),
    ]
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let Ok(shards) = std::fs::read_dir(dir.join("default")) else {
        return out;
    };
    for shard in shards {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            out.push(file.unwrap().path());
        }
    }
    out.sort();
    out
}

struct World {
    dir: tempfile::TempDir,
    server: Option<Server>,
    agent: Agent,
    all: Vec<u8>,
    committed: usize,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), small()).await;
        let mut agent = Agent::connect(server.address).await;
        agent.open(1, "log").await.unwrap();
        let all = (0..100_000u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2])
            .collect();
        Self {
            dir,
            server: Some(server),
            agent,
            all,
            committed: 0,
        }
    }

    fn pieces(&self, from: usize, len: usize, cut: usize) -> Bytes {
        let end = (from + len).min(self.all.len());
        let pieces: Vec<Bytes> = (from..end)
            .step_by(cut)
            .map(|at| frame(&self.all, at, (at + cut).min(end)))
            .collect();
        Bytes::from(pieces.concat())
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Send { back, ahead, len, cut } => {
                let from = self.committed.saturating_sub(*back) + ahead * (back + 1);
                let result = self.agent.append(1, self.pieces(from, *len, *cut)).await;
                if from > self.committed {
                    let refused = result.unwrap_err();
                    assert_eq!(
                        (refused.reason(), refused.committed),
                        (Reason::Offset, self.committed as u64)
                    );
                } else {
                    self.committed = self.committed.max(from + len);
                    assert_eq!(result.unwrap(), self.committed as u64);
                }
            }
            Op::Corrupt { len, bit } => {
                let mut bytes = self.pieces(self.committed, *len, *len).to_vec();
                let bit = bit % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                let refused = self.agent.append(1, Bytes::from(bytes)).await.unwrap_err();
                assert_eq!(
                    (refused.reason(), refused.committed),
                    (Reason::Corrupt, self.committed as u64)
                );
            }
            Op::Reconnect => self.connect().await,
            Op::Restart => {
                let before = self.committed;
                self.restart(|_| ()).await;
                assert_eq!(self.committed, before);
            }
            Op::Crash { segment, lost, rubbish } => {
                let before = self.committed;
                self.restart(|dir| damage(dir, *segment, *lost, rubbish)).await;
                assert!(
                    *lost > 0 || self.committed == before,
                    "rubbish at an end must cost nothing"
                );
            }
        }
    }

    async fn connect(&mut self) {
        self.agent = Agent::connect(self.server.as_ref().unwrap().address).await;
        let opened = self.agent.open(1, "log").await.unwrap();
        assert!(opened.committed <= self.committed as u64);
        self.committed = usize::try_from(opened.committed).unwrap();
    }

    async fn restart(&mut self, between: impl FnOnce(&Path)) {
        self.server.take().unwrap().stop().await;
        between(self.dir.path());
        self.server = Some(Server::start(self.dir.path(), small()).await);
        self.connect().await;
    }

    async fn check(&self) {
        let (chunks, end) = read_all(&self.server.as_ref().unwrap().store, "log", ReadOptions::default()).await;
        assert_eq!(content(&chunks), &self.all[..self.committed]);
        assert_eq!(end.length, self.committed as u64);
    }

    async fn finish(mut self) {
        let rest = self.pieces(self.committed, 200, 70);
        let end = self.committed + 200;
        self.agent.append(1, rest).await.unwrap();
        self.agent.seal(1, &self.all[..end]).await.unwrap();
        self.committed = end;
        self.check().await;
        self.server.take().unwrap().stop().await;
    }
}

/// Cuts the end of one segment, or puts rubbish behind the last.
fn damage(dir: &Path, segment: usize, lost: u64, rubbish: &[u8]) {
    let files = segments(dir);
    let path = &files[segment % files.len()];
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(lost)).unwrap();
    let last = std::fs::OpenOptions::new()
        .append(true)
        .open(files.last().unwrap())
        .unwrap();
    std::io::Write::write_all(&mut &last, rubbish).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_and_whatever_dies_a_prefix_is_stored_once(ops in proptest::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in &ops {
                world.apply(op).await;
                world.check().await;
            }
            world.finish().await;
        });
    }
}
