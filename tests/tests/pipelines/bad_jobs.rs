//! Jobs that misbehave: each ends with its own reason, its log is what it wrote, and the next job runs as if nothing
//! had happened.

use anyhow::{Context as _, Result};
use breakbulk_schemas::job::{Attempt, AttemptReason};
use breakbulk_tests::store::Kind;
use breakbulk_tests::up::{self, Up};

/// Runs one script as the only job of a run, to its end, and shows that the node is still fit.
async fn attempt(up: &Up, name: &str, template: &str) -> Result<Attempt> {
    up.cluster.run(name, &format!("jobs:\n  bad:\n{template}")).await?;
    up.cluster.ended(name).await?;
    let job = up.cluster.job(name, "bad").await?;
    let attempt = job.last_attempt().cloned().context("it was not attempted")?;
    let after = format!("{name}-after");
    up.cluster
        .run(&after, "jobs: { good: { run: 'echo still here' } }")
        .await?;
    up.cluster.succeeded(&after).await?;
    Ok(attempt)
}

async fn with(test: impl AsyncFnOnce(&Up) -> Result<()>) -> Result<()> {
    up::with(Kind::Embedded, test).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_that_does_not_exist_is_named() -> Result<()> {
    with(async |up| {
        let bad = attempt(up, "no-shell", "    shell: [/opt/nowhere/zsh]\n    run: echo hi\n").await?;
        assert_eq!((bad.reason, bad.exit_code), (Some(AttemptReason::SetupFailed), None));
        let message = bad.message.unwrap_or_default();
        assert!(message.contains("/opt/nowhere/zsh"), "{message:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_utf_8_are_kept_as_they_are() -> Result<()> {
    with(async |up| {
        let bad = attempt(up, "bytes", "    run: printf 'a\\377\\376\\000b\\303\\n'\n").await?;
        assert_eq!(bad.reason, Some(AttemptReason::Succeeded));
        assert_eq!(up.cluster.whole_log_bytes("bytes-bad").await?, b"a\xff\xfe\x00b\xc3\n");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_without_an_end_is_kept_whole() -> Result<()> {
    with(async |up| {
        let bad = attempt(up, "endless", "    run: head -c 5000000 /dev/zero | tr '\\0' x\n").await?;
        assert_eq!(bad.reason, Some(AttemptReason::Succeeded));
        let log = up.cluster.whole_log_bytes("endless-bad").await?;
        assert_eq!(log.len(), 5_000_000);
        assert!(log.iter().all(|byte| *byte == b'x'));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_arrive_whole_and_sealed() -> Result<()> {
    with(async |up| {
        let script = "seq 1 20000000 | head -c 100000000";
        let bad = attempt(up, "much", &format!("    run: {script} || true\n")).await?;
        assert_eq!(bad.reason, Some(AttemptReason::Succeeded));
        let job = up.cluster.job_until("much-bad", "to have its log sealed", |job| {
            job.last_attempt().is_some_and(|attempt| attempt.log.is_some())
        });
        let sealed = job
            .await?
            .last_attempt()
            .and_then(|a| a.log.clone())
            .context("no seal")?;
        assert_eq!(sealed.length, 100_000_000);
        let mut sum = std::process::Command::new("sh");
        let sum = sum
            .args(["-c", &format!("{script} | sha256sum")])
            .output()
            .context("cannot start sh")?;
        let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
        assert_eq!(sum.split_whitespace().next(), Some(sealed.digest.as_str()));
        let tail = up.cluster.log("much-bad", "tailLines=1").await?;
        assert!(tail.len() < 20, "{tail:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_left_behind_does_not_outlive_its_job() -> Result<()> {
    with(async |up| {
        let mark = format!("31{:06}", std::process::id() % 1_000_000);
        let run = format!("(setsid sleep {mark} >/dev/null 2>&1 &) ; (setsid sh -c 'sleep {mark}' &) ; echo done");
        let bad = attempt(up, "daemon", &format!("    run: \"{run}\"\n")).await?;
        assert_eq!((bad.reason, bad.exit_code), (Some(AttemptReason::Succeeded), Some(0)));
        assert_eq!(up.cluster.whole_log("daemon-bad").await?, "done\n");
        let left = std::process::Command::new("pgrep")
            .args(["-fx", &format!("sleep {mark}")])
            .output();
        assert!(
            left.context("cannot start pgrep")?.stdout.is_empty(),
            "nothing of it is left"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signal_that_ended_a_script_is_told() -> Result<()> {
    with(async |up| {
        let bad = attempt(up, "signal", "    run: kill -KILL $$\n").await?;
        assert_eq!(bad.reason, Some(AttemptReason::Failed));
        assert_eq!((bad.exit_code, bad.signal), (None, Some(9)));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_bomb_ends_with_its_job() -> Result<()> {
    with(async |up| {
        let bad = attempt(
            up,
            "bomb",
            "    timeout: 3s\n    run: 'f() { f | f & }; f; sleep 100'\n",
        )
        .await?;
        assert!(bad.reason.is_some_and(|reason| reason != AttemptReason::Succeeded));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_takes_more_memory_than_it_asked_for_is_ended_for_that() -> Result<()> {
    with(async |up| {
        let script =
            "    resources: { memory: 64Mi }\n    run: head -c 400000000 /dev/zero | tail -c 399999999 >/dev/null\n";
        let bad = attempt(up, "hog", script).await?;
        if bad.reason == Some(AttemptReason::Succeeded) {
            println!("SKIPPED: this host gives no memory cgroup to limit a job with");
            return Ok(());
        }
        assert_eq!(bad.reason, Some(AttemptReason::OutOfMemory), "{:?}", bad.message);
        Ok(())
    })
    .await
}
