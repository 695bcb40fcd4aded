//! Watches: how soon many of them know of a change, and what one costs that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use breakbulk_tests::store::Kind;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Effort;
use crate::api::{CONFIG_MAPS, config_map};
use crate::floors::millis;
use crate::report::{Figure, median};
use crate::server::Server;
use crate::wire::Wire;

/// Watchers, what the peer takes for so many, and what is to be reached, in ms.
const STEPS: [(usize, f64, &str); 3] = [(1, 2.6, "≤ 0.6 ms"), (100, 4.9, "≤ 1.5 ms"), (1000, 17.0, "≤ 8 ms")];
/// The watchers of one connection.
const PER_CONNECTION: usize = 250;
/// Watches that wait, and their connections.
const IDLE: usize = 5000;
const IDLE_CONNECTIONS: usize = 20;

/// How many have seen the current change.
#[derive(Default)]
pub(crate) struct Seen {
    count: AtomicUsize,
    all: Notify,
}

impl Seen {
    fn more(&self, lines: usize) {
        self.count.fetch_add(lines, Ordering::AcqRel);
        self.all.notify_one();
    }

    /// Returns when so many have seen it; begins anew.
    pub(crate) async fn everybody(&self, watchers: usize) {
        while self.count.load(Ordering::Acquire) < watchers {
            self.all.notified().await;
        }
        self.count.fetch_sub(watchers, Ordering::AcqRel);
    }
}

pub(crate) async fn fan_out(kind: Kind, effort: Effort, peer: Option<&Wire>) -> Result<Vec<Figure>> {
    let server = Server::start(kind).await?;
    for wire in [Some(&server.wire), peer].into_iter().flatten() {
        let object = config_map("watched", 600);
        wire.line().await?.ask("POST", CONFIG_MAPS, object).await?;
    }
    let mut figures = Vec::new();
    for (watchers, known, reach) in STEPS {
        let (mut ours, mut theirs, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..effort.rounds {
            let samples = effort.samples(if watchers > 100 { 100 } else { 300 });
            floors.push(crate::floors::fan_out(watchers, PER_CONNECTION, samples).await?);
            ours.push(told(&server.wire, watchers, samples, round).await?);
            if let Some(wire) = peer {
                theirs.push(told(wire, watchers, samples, round).await?);
            }
        }
        let what = format!("patch → event at the last of {watchers} watchers, p50");
        let figure = Figure::new(what, "ms", ours).floor("bare HTTP/2 over TLS", median(&floors));
        let peer = if theirs.is_empty() { known } else { median(&theirs) };
        figures.push(figure.peer(peer).reach(reach));
    }
    Ok(figures)
}

/// From a patch to the event at the last of so many watchers, in ms.
async fn told(wire: &Wire, watchers: usize, samples: usize, round: usize) -> Result<f64> {
    let mut line = wire.line().await?;
    let path = format!("{CONFIG_MAPS}/watched");
    let (seen, mut tasks) = watch(wire, watchers, PER_CONNECTION, &watch_path(), 1).await?;
    let mut times = Vec::new();
    for count in 0..samples {
        let change = json!({ "data": { "count": format!("{count}-{watchers}-{round}") } });
        let start = Instant::now();
        let patched = line.ask("PATCH", &path, change.to_string());
        let all = async {
            seen.everybody(watchers).await;
            anyhow::Ok(millis(start.elapsed()))
        };
        times.push(tokio::try_join!(patched, all)?.1);
    }
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    Ok(median(&times))
}

fn watch_path() -> String {
    format!("{CONFIG_MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dwatched")
}

/// Opens watches that count what they see, and waits for the events that each begins with.
pub(crate) async fn watch(
    wire: &Wire,
    watchers: usize,
    per_connection: usize,
    path: &str,
    first_events: usize,
) -> Result<(Arc<Seen>, JoinSet<()>)> {
    let seen = Arc::new(Seen::default());
    let mut tasks = JoinSet::new();
    for first in (0..watchers).step_by(per_connection) {
        let mut lines = wire.lines().await?;
        for _ in first..(first + per_connection).min(watchers) {
            let body = lines.open(path).await?;
            tasks.spawn(count_lines(body, seen.clone()));
        }
    }
    seen.everybody(watchers * first_events).await;
    Ok((seen, tasks))
}

async fn count_lines(mut body: Incoming, seen: Arc<Seen>) {
    while let Some(Ok(frame)) = body.frame().await {
        let ends = frame
            .data_ref()
            .map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
        seen.more(ends);
    }
}

pub(crate) async fn idle(kind: Kind, effort: Effort) -> Result<Vec<Figure>> {
    let server = Server::start(kind).await?;
    let watches = effort.samples(IDLE);
    let before = server.memory()?;
    let mut open = Vec::with_capacity(watches);
    let mut connections = Vec::new();
    for _ in 0..IDLE_CONNECTIONS {
        connections.push(server.wire.lines().await?);
    }
    let path = format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true");
    for index in 0..watches {
        open.push(connections[index % IDLE_CONNECTIONS].open(&path).await?);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let each = (server.memory()? - before) / watches as f64 / 1000.0;
    drop(open);
    Ok(vec![
        Figure::new(
            format!("idle watch ({watches} on {IDLE_CONNECTIONS} connections), PSS"),
            "KB",
            vec![each],
        )
        .peer(12.4)
        .reach("≤ 6 KB"),
    ])
}
