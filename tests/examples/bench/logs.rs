//! Logs: how soon a reader sees a line, and how much goes through.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use breakbulk_tests::up::Up;
use futures::TryStreamExt as _;

use crate::Effort;
use crate::floors::{self, megabytes};
use crate::report::{Figure, median, percentile};

/// Jobs that talk beside the one that is listened to.
const OTHERS: usize = 50;

/// From `echo` in a script to a follower, while fifty jobs run.
pub(crate) async fn echo(up: &Up, effort: Effort) -> Result<Vec<Figure>> {
    let floor = floors::tls_round_trip(effort.samples(2000)).await?;
    let others: String = (0..OTHERS).map(|job| format!("  o{job}: {}\n", talk("0.25"))).collect();
    up.cluster.run("others", &format!("jobs:\n{others}")).await?;
    for job in 0..OTHERS {
        up.cluster.job_running(&format!("others-o{job}")).await?;
    }
    up.cluster
        .run("talk", &format!("jobs:\n  only: {}\n", talk("0.02")))
        .await?;
    up.cluster.job_running("talk-only").await?;
    let (mut medians, mut worst) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let times = listen(up, effort.samples(400)).await?;
        medians.push(median(&times));
        worst.push(percentile(&times, 0.99));
    }
    for run in ["talk", "others"] {
        up.cluster.cancel(run).await?;
    }
    let what = "TLS round trip of 1 KB";
    Ok(vec![
        Figure::new("echo → follower, 50 jobs running, p50", "ms", medians)
            .floor(what, floor)
            .reach("≤ 2 ms"),
        Figure::new("echo → follower, 50 jobs running, p99", "ms", worst)
            .floor(what, floor)
            .reach("≤ 20 ms"),
    ])
}

/// A job that says the time, again and again. It asks for next to nothing, so that all fit on one small node.
fn talk(pause: &str) -> String {
    let script = format!("while true; do echo $EPOCHREALTIME; sleep {pause}; done");
    format!("{{ resources: {{ cpu: 1m }}, shell: [bash], run: '{script}' }}")
}

/// How old each line is when it arrives, in ms.
async fn listen(up: &Up, samples: usize) -> Result<Vec<f64>> {
    let mut log = up
        .cluster
        .log_stream("jobs/talk-only", "follow=true&tailLines=0")
        .await?;
    let mut times = Vec::with_capacity(samples);
    let mut rest = String::new();
    while times.len() < samples {
        let bytes = log.try_next().await?.context("the log ended")?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?
            .as_secs_f64();
        rest.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((line, behind)) = rest.split_once('\n') {
            if let Ok(said) = line.parse::<f64>() {
                times.push((now - said) * 1000.0);
            }
            rest = behind.to_owned();
        }
    }
    Ok(times)
}

/// What one job writes as fast as it can, stored and read live by one follower.
pub(crate) async fn throughput(up: &Up, effort: Effort) -> Result<Vec<Figure>> {
    let bytes = if effort.percent < 100 {
        100_000_000
    } else {
        1_000_000_000
    };
    let (mut floor, mut rates) = (Vec::new(), Vec::new());
    for round in 0..effort.rounds {
        floor.push(floors::pipe_to_reader(up.scratch(), bytes)?);
        let name = format!("loud-{round}");
        let script = floors::yes_script(bytes).replace('\'', "\"");
        up.cluster
            .run(&name, &format!("jobs: {{ only: {{ run: '{script}' }} }}"))
            .await?;
        up.cluster
            .job_until(&format!("{name}-only"), "to be claimed", |job| {
                job.last_attempt().is_some()
            })
            .await?;
        let mut log = up
            .cluster
            .log_stream(&format!("jobs/{name}-only"), "follow=true")
            .await?;
        let (mut got, mut start) = (0, None);
        while let Some(chunk) = log.try_next().await? {
            start.get_or_insert_with(Instant::now);
            got += chunk.len() as u64;
        }
        anyhow::ensure!(got == bytes, "the follower got {got} of {bytes} bytes");
        let start = start.context("nothing came")?;
        rates.push(megabytes(got) / start.elapsed().as_secs_f64());
    }
    Ok(vec![
        Figure::new("log of one job → store and one live follower", "MB/s", rates)
            .floor("pipe → socket → file and socket", median(&floor))
            .reach("≥ 150 MB/s"),
    ])
}
