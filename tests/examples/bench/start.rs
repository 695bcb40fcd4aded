//! How soon the server is ready, and what it costs to do nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use breakbulk_tests::binaries;
use breakbulk_tests::store::Kind;
use breakbulk_tests::up::{self, Up};

use crate::Effort;
use crate::floors::{self, millis};
use crate::report::{Figure, median};
use crate::server::memory_field;

/// For how long it is watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) async fn measure(kind: Kind, effort: Effort) -> Result<Vec<Figure>> {
    let floor = floors::start_of(&binaries::find("bulk")?, effort.samples(20))?;
    let mut fresh = Vec::new();
    let mut again = Vec::new();
    for _ in 0..effort.rounds {
        fresh.push(median(&times(kind, effort, false).await?));
        again.push(median(&times(kind, effort, true).await?));
    }
    let up = Up::start(kind, &[]).await?;
    let mut idle = idle(&up, effort).await?;
    let mut figures = vec![
        Figure::new("bulk up → ready, fresh", "ms", fresh)
            .floor("bulk --help", floor)
            .reach("≤ 300 ms"),
        Figure::new("bulk up → ready, again", "ms", again)
            .floor("bulk --help", floor)
            .reach("≤ 300 ms"),
    ];
    figures.append(&mut idle);
    Ok(figures)
}

async fn times(kind: Kind, effort: Effort, again: bool) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..effort.samples(5) {
        let mut bare = up::Bare::prepare(kind).await?;
        if again {
            bare.start().await?;
            bare.stop().await?;
        }
        let start = Instant::now();
        bare.start().await?;
        times.push(millis(start.elapsed()));
        bare.stop().await?;
    }
    Ok(times)
}

async fn idle(up: &Up, effort: Effort) -> Result<Vec<Figure>> {
    let pid = up.pid().context("bulk up is not running")?;
    // What starting left to do is done by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut processor = Vec::new();
    for _ in 0..effort.rounds {
        let before = processor_seconds(pid.as_raw())?;
        let start = Instant::now();
        tokio::time::sleep(IDLE.mul_f64(if effort.percent < 100 { 0.3 } else { 1.0 })).await;
        processor.push(100.0 * (processor_seconds(pid.as_raw())? - before) / start.elapsed().as_secs_f64());
    }
    let field = |name: &str| memory_field(pid.as_raw(), name);
    Ok(vec![
        Figure::new("idle bulk up: memory, PSS", "MB", field("Pss:")?.into_iter().collect()).reach("≤ 40 MB"),
        Figure::new("idle bulk up: memory, RSS", "MB", field("Rss:")?.into_iter().collect()).reach("≤ 40 MB"),
        Figure::new("idle bulk up: processor", "% of a core", processor).reach("< 1 %"),
    ])
}

/// User and system time of a process so far.
fn processor_seconds(pid: i32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("cannot read stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("stat has no name")?;
    let ticks = |index: usize| fields.split(' ').nth(index).and_then(|text| text.parse::<f64>().ok());
    // Fields 14 and 15, counted from 1, of which the first two are behind us; a tick is 10 ms on every Linux.
    let both = ticks(11).zip(ticks(12)).context("stat is too short")?;
    Ok((both.0 + both.1) / 100.0)
}
