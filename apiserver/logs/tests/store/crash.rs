//! `kill -9` of a writing server: what was acknowledged as durable is there.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use breakbulk_logs::{Options, ReadOptions};

use crate::agent::{Agent, frame};
use crate::readers::{content, read_all};
use crate::server::Server;

const CHILD: &str = "BREAKBULK_LOGS_TEST_SERVER";

/// Not a test by itself: the process that `kill -9` hits. Serves the directory it is given until killed.
#[test]
fn server_process() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::start(Path::new(&directory), Options::default()).await;
        println!("LISTENING {}", server.address);
        std::future::pending::<()>().await;
    });
}

fn spawn(directory: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::server_process", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.map_while(Result::ok).find_map(|line| {
        let (_, address) = line.split_once("LISTENING ")?;
        address.trim().parse().ok()
    });
    (child, address.expect("the child says where it listens"))
}

#[tokio::test]
async fn what_was_durable_is_there_after_the_server_is_killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<u8> = (0u32..200_000).flat_map(u32::to_le_bytes).collect();
    let mut sent = 0;
    for round in 1..8usize {
        let (mut child, address) = spawn(dir.path());
        let mut agent = Agent::connect(address).await;
        let opened = agent.open(1, "log").await.unwrap();
        let mut at = usize::try_from(opened.committed).unwrap();
        assert!(at >= sent, "lost what was durable");
        let end = (at + 13_000 * round).min(all.len());
        while at < end {
            let next = (at + 997).min(end);
            agent.append(1, frame(&all, at, next)).await.unwrap();
            at = next;
        }
        agent.durable(end as u64).await;
        sent = end;
        // More is on its way, unacknowledged, when the server dies.
        agent.send(1, crate::agent::append(frame(&all, at, at + 5000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let server = Server::start(dir.path(), Options::default()).await;
    let (chunks, end) = read_all(&server.store, "log", ReadOptions::default()).await;
    let length = usize::try_from(end.length).unwrap();
    assert!(length >= sent);
    assert!(content(&chunks) == all[..length]);
    server.stop().await;
}
