//! SIGKILL at any moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use breakbulk_store::{Revision, Store, TxnOutcome};

use super::{check_history, open, pair, pair_number};

const DIR: &str = "BREAKBULK_STORE_TEST_DIR";
const WRITERS: usize = 4;

/// Not a test of its own: the process that the next one kills. It says every acknowledgement on its standard output.
#[test]
fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let store = open(Path::new(&dir));
    println!("\nopened");
    runtime.block_on(futures::future::join_all((0..WRITERS).map(async |writer| {
        let mut number = pair_number(&store, writer).await;
        loop {
            number += 1;
            let TxnOutcome::Committed { revision } = store.txn(pair(writer, number)).await.unwrap() else {
                panic!("nothing to conflict with")
            };
            println!("\nack {writer} {number} {revision}");
            // Often, so that many snapshots are made in a short life.
            if number % 4 == 0 {
                store.compact(Revision(revision.0.saturating_sub(3))).await.unwrap();
            }
        }
    })));
}

/// Runs the process for a while, kills it, and returns what it acknowledged last for each writer, and its last revision.
fn run_and_kill(dir: &Path, after: Duration) -> (BTreeMap<usize, u64>, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::the_process_that_is_killed", "--exact", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (opened_sender, opened) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut acknowledged, mut revision) = (BTreeMap::new(), 0);
        for line in output.lines().map_while(Result::ok) {
            if line == "opened" {
                let _ = opened_sender.send(());
            }
            // The last line may be cut: it counts only if it is whole, which its next line shows.
            let words: Vec<&str> = line.split(' ').collect();
            if let ["ack", writer, number, at] = words.as_slice() {
                acknowledged.insert(writer.parse().unwrap(), number.parse().unwrap());
                revision = revision.max(at.parse().unwrap());
            }
        }
        (acknowledged, revision)
    });
    opened.recv().expect("the process opens the store");
    // A crash may come at any moment: each case has its own.
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[tokio::test]
async fn a_process_killed_at_any_moment_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut kills = 0;
    let mut acknowledged_in_all = 0;
    while kills < 20 {
        let (acknowledged, revision) = run_and_kill(dir.path(), Duration::from_micros(500 + kills * 7919 % 60_000));
        let store = open(dir.path());
        assert!(store.current_revision().await.unwrap() >= Revision(revision));
        for (writer, number) in acknowledged {
            let kept = pair_number(&store, writer).await;
            // One more may have become durable without its answer getting out.
            assert!(
                kept == number || kept == number + 1,
                "writer {writer}: {number} acknowledged, {kept} kept"
            );
            acknowledged_in_all += number;
        }
        check_history(&store).await;
        kills += 1;
    }
    assert!(acknowledged_in_all > 0, "nothing was ever acknowledged");
}
