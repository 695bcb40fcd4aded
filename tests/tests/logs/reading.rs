//! The ways to read a log.

use anyhow::{Context as _, Result};
use breakbulk_client::logs::{LogEvent, LogOptions, LogTarget, Payload, follow};
use breakbulk_tests::cluster::NAMESPACE;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use futures::TryStreamExt as _;

on_both_stores!(
    a_follower_sees_a_line_while_the_script_still_runs,
    a_reader_chooses_where_to_begin_and_how_much,
    a_run_has_one_log_of_all_its_jobs,
    a_watch_goes_on_behind_any_of_its_events,
    bulk_follows_a_run_and_tells_its_end_by_its_exit_code,
);

async fn a_follower_sees_a_line_while_the_script_still_runs(up: &Up) -> Result<()> {
    up.cluster
        .run("live", "jobs: { talk: { run: 'echo first; sleep 1000' } }")
        .await?;
    up.cluster.job_running("live-talk").await?;
    let mut stream = up.cluster.log_stream("jobs/live-talk", "follow=true").await?;
    let first = stream.try_next().await?.context("the log ended")?;
    assert_eq!(first, "first\n");
    up.cluster.cancel("live").await?;
    while stream.try_next().await?.is_some() {}
    Ok(())
}

async fn a_reader_chooses_where_to_begin_and_how_much(up: &Up) -> Result<()> {
    up.cluster
        .run("lines", "jobs: { count: { run: 'seq 1 1000; sleep 0.05; echo late' } }")
        .await?;
    up.cluster.succeeded("lines").await?;
    let whole = up.cluster.whole_log("lines-count").await?;
    assert_eq!(whole.lines().count(), 1001);
    let log = async |query: &str| up.cluster.log("lines-count", query).await;
    assert_eq!(log("tailLines=2").await?, "1000\nlate\n");
    assert_eq!(log("tailLines=0").await?, "");
    assert_eq!(log("limitBytes=6").await?, "1\n2\n3\n");
    assert_eq!(log("sinceTime=2100-01-01T00:00:00Z").await?, "");
    assert_eq!(log("sinceTime=2000-01-01T00:00:00Z").await?, whole);
    let stamped = log("timestamps=true&tailLines=1").await?;
    let (time, rest) = stamped.split_once(' ').context("no timestamp")?;
    assert!(
        time.parse::<jiff::Timestamp>().is_ok() && rest == "late\n",
        "{stamped:?}"
    );
    assert!(log("tailLines=-1").await.is_err(), "what makes no sense is refused");
    Ok(())
}

async fn a_run_has_one_log_of_all_its_jobs(up: &Up) -> Result<()> {
    let spec = "jobs: { a: { run: 'echo one; echo two' }, b: { needs: [a], run: 'echo three' } }";
    up.cluster.run("both", spec).await?;
    let followed = up.cluster.log_bytes("pipelineruns/both", "follow=true").await?;
    let followed = String::from_utf8_lossy(&followed).into_owned();
    let mut lines: Vec<&str> = followed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[a] one", "[a] two", "[b] three"], "{followed}");
    Ok(())
}

/// Reads to the end; gives each chunk with the cursor behind it.
async fn chunks(up: &Up, options: LogOptions) -> Result<Vec<(String, breakbulk_client::logs::Cursor)>> {
    let target = LogTarget::Job {
        name: "many-count".to_owned(),
        attempt: None,
    };
    let mut reader = follow(up.cluster.client.clone(), NAMESPACE, &target, options);
    let mut chunks = Vec::new();
    while let Some(event) = reader.next().await? {
        let LogEvent::Chunk(chunk) = event else { continue };
        let Payload::Data(bytes) = chunk.payload else {
            anyhow::bail!("a gap in a whole log")
        };
        chunks.push((String::from_utf8_lossy(&bytes).into_owned(), chunk.cursor));
    }
    Ok(chunks)
}

async fn a_watch_goes_on_behind_any_of_its_events(up: &Up) -> Result<()> {
    let script = "for i in $(seq 1 20); do echo $i; sleep 0.01; done";
    up.cluster
        .run("many", &format!("jobs: {{ count: {{ run: '{script}' }} }}"))
        .await?;
    up.cluster.succeeded("many").await?;
    let whole = up.cluster.whole_log("many-count").await?;
    let all = chunks(up, LogOptions::default()).await?;
    let text = |chunks: &[(String, _)]| chunks.iter().map(|(text, _)| text.as_str()).collect::<String>();
    assert_eq!(text(&all), whole);
    assert!(all.len() > 1, "the script wrote at several times");
    for (index, (_, cursor)) in all.iter().enumerate() {
        let options = LogOptions {
            after: Some(cursor.clone()),
            ..LogOptions::default()
        };
        assert_eq!(
            text(&chunks(up, options).await?),
            text(&all[index + 1..]),
            "behind event {index}"
        );
    }
    Ok(())
}

async fn bulk_follows_a_run_and_tells_its_end_by_its_exit_code(up: &Up) -> Result<()> {
    let manifest = r"
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: three-ends }
spec:
  params: { script: { default: echo fine } }
  jobs: { only: { env: { SCRIPT: '${{ params.script }}' }, run: 'eval $SCRIPT' } }
";
    let bulk = up.bulk()?;
    let applied = bulk.call_with(&["apply", "-f", "-"], manifest).await?;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let well = bulk.call(&["run", "three-ends", "--follow"]).await?;
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(well.stdout.contains("fine"), "{well:?}");
    let badly = bulk
        .call(&["run", "three-ends", "-p", "script=exit 7", "--follow"])
        .await?;
    assert_eq!(badly.code, Some(1), "{badly:?}");
    let none = bulk.call(&["run", "no-such-pipeline", "--follow"]).await?;
    assert!(matches!(none.code, Some(1 | 125)), "{none:?}");
    let follow = bulk.call(&[
        "run",
        "three-ends",
        "--name",
        "to-cancel",
        "-p",
        "script=sleep 1000",
        "--follow",
    ]);
    let cancel = async {
        up.cluster
            .job_until("to-cancel-only", "to be claimed", |job| job.last_attempt().is_some())
            .await?;
        bulk.run(&["cancel", "run/to-cancel"]).await
    };
    let (followed, cancelled) = tokio::join!(follow, cancel);
    cancelled?;
    let followed = followed?;
    assert_eq!(followed.code, Some(130), "{followed:?}");
    Ok(())
}
