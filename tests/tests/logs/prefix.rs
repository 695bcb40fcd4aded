//! The promise about logs, under the harshest treatment: whatever is killed, what a reader has is a prefix of what the
//! script wrote, and in the end it has all of it.

use anyhow::Result;
use breakbulk_client::logs::{LogEvent, LogOptions, LogTarget, Payload, follow};
use breakbulk_tests::cluster::NAMESPACE;
use breakbulk_tests::store::Kind;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};

/// Numbered lines, so that a missing or doubled byte is seen where it happens.
const SCRIPT: &str = "for i in $(seq 1 400); do echo line $i; sleep 0.01; done";

fn expected() -> String {
    (1..=400).map(|i| format!("line {i}\n")).collect()
}

/// Follows a job's log to its end through whatever happens to the server; every step is checked to be a prefix.
async fn follow_to_the_end(up: &Up, job: &str) -> Result<String> {
    let target = LogTarget::Job {
        name: job.to_owned(),
        attempt: None,
    };
    let mut reader = follow(up.cluster.client.clone(), NAMESPACE, &target, LogOptions::default());
    let (mut got, want) = (String::new(), expected());
    while let Some(event) = reader.next().await? {
        let LogEvent::Chunk(chunk) = event else { continue };
        let Payload::Data(bytes) = chunk.payload else {
            anyhow::bail!("a gap")
        };
        got.push_str(&String::from_utf8_lossy(&bytes));
        assert!(
            want.starts_with(&got),
            "not a prefix: …{}",
            &got[got.len().saturating_sub(200)..]
        );
    }
    Ok(got)
}

async fn killed_in_the_middle(kind: Kind) -> Result<()> {
    let mut up = Up::start(kind, &[]).await?;
    up.cluster
        .run("talk", &format!("jobs: {{ only: {{ run: '{SCRIPT}' }} }}"))
        .await?;
    up.cluster.job_running("talk-only").await?;
    for round in 1..=2 {
        // Killed when the reader's view has grown since the last time.
        wait::until("the log to grow", wait::SOON, async || {
            let lines = up.cluster.log("talk-only", "").await?.lines().count();
            if lines > round * 60 {
                Ok(Look::Done(()))
            } else {
                Ok(Look::NotYet(format!("{lines} lines")))
            }
        })
        .await?;
        up.kill().await?;
        up.restart().await?;
    }
    let got = tokio::time::timeout(wait::SOON, follow_to_the_end(&up, "talk-only")).await??;
    assert_eq!(got, expected());
    up.cluster.succeeded("talk").await?;
    let job = up.cluster.job("talk", "only").await?;
    assert_eq!(
        job.status.unwrap_or_default().attempts.len(),
        1,
        "the script was started once"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_whole_though_everything_but_the_shim_is_killed_twice() -> Result<()> {
    killed_in_the_middle(Kind::Embedded).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_whole_though_everything_but_the_shim_is_killed_twice_over_etcd() -> Result<()> {
    killed_in_the_middle(Kind::Etcd).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_lives_through_a_restart_of_the_server() -> Result<()> {
    let mut up = Up::start(Kind::Embedded, &[]).await?;
    up.cluster
        .run("talk", &format!("jobs: {{ only: {{ run: '{SCRIPT}' }} }}"))
        .await?;
    up.cluster.job_running("talk-only").await?;
    let target = LogTarget::Job {
        name: "talk-only".to_owned(),
        attempt: None,
    };
    let mut reader = follow(up.cluster.client.clone(), NAMESPACE, &target, LogOptions::default());
    let (mut got, want) = (String::new(), expected());
    let mut restarted = false;
    while let Some(event) = tokio::time::timeout(wait::SOON, reader.next()).await?? {
        if let LogEvent::Chunk(chunk) = event {
            let Payload::Data(bytes) = chunk.payload else {
                anyhow::bail!("a gap")
            };
            got.push_str(&String::from_utf8_lossy(&bytes));
            assert!(
                want.starts_with(&got),
                "not a prefix: …{}",
                &got[got.len().saturating_sub(200)..]
            );
        }
        if !restarted && got.lines().count() > 50 {
            up.stop().await?;
            up.restart().await?;
            restarted = true;
        }
    }
    assert!(restarted);
    assert_eq!(got, want);
    Ok(())
}
