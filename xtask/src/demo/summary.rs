//! The table at the end of the demo: run, job, node, queued, duration, exit code.

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::demo::server::Server;
use crate::process;

const HEAD: [&str; 6] = ["RUN", "JOB", "NODE", "QUEUED", "DURATION", "EXIT CODE"];

/// Prints it for all runs there are, oldest first.
pub(crate) fn print(server: &Server) -> Result<()> {
    let text = process::output(server.bulk(&["get", "jobs", "-o", "json"]))?;
    let jobs: Value = serde_json::from_str(&text).context("bulk get jobs printed no JSON")?;
    let mut jobs = jobs["items"].as_array().cloned().unwrap_or_default();
    jobs.sort_by_key(|job| {
        job["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|v| v.parse::<u64>().ok())
    });
    jobs.sort_by_key(|job| job["metadata"]["creationTimestamp"].as_str().map(str::to_owned));
    let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned))
        .chain(jobs.iter().map(row))
        .collect();
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
    Ok(())
}

fn row(job: &Value) -> [String; 6] {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (run, name) = (
        text(&job["metadata"]["labels"]["breakbulk.dev/run"]),
        text(&job["metadata"]["name"]),
    );
    let attempt = job["status"]["attempts"]
        .as_array()
        .and_then(|attempts| attempts.last())
        .unwrap_or(&Value::Null);
    let created = time(&job["metadata"]["creationTimestamp"]);
    let started = time(&attempt["startTime"]).or_else(|| time(&attempt["claimTime"]));
    let between =
        |from: Option<Timestamp>, to: Option<Timestamp>| from.zip(to).map(|(from, to)| to.duration_since(from));
    let exit = attempt["exitCode"]
        .as_i64()
        .map_or_else(|| text(&attempt["reason"]), |code| code.to_string());
    [
        run.clone(),
        name.strip_prefix(&format!("{run}-")).unwrap_or(&name).to_owned(),
        text(&attempt["node"]),
        between(created, started).map_or_else(|| "-".to_owned(), queued),
        between(started, time(&attempt["finishTime"]))
            .map_or_else(|| "-".to_owned(), |d| format!("{:.1}s", d.as_secs_f64())),
        exit,
    ]
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Creation times are whole seconds, so nothing finer can be said.
fn queued(time: SignedDuration) -> String {
    if time.as_secs() < 1 {
        "<1s".to_owned()
    } else {
        format!("{}s", time.as_secs())
    }
}
