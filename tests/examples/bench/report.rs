//! Figures, and how they are shown.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// The median of each round.
    pub(crate) rounds: Vec<f64>,
    /// What this machine can do at best, and by what that was measured.
    pub(crate) floor: Option<Floor>,
    /// What kube-apiserver over etcd takes on such a machine, measured apart.
    pub(crate) peer: Option<f64>,
    /// What is to be reached, for people.
    pub(crate) reach: Option<&'static str>,
}

/// What the machine itself takes for the least that must be done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Floor {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
}

impl Figure {
    /// A figure without a floor or a mark.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self {
            what: what.into(),
            unit,
            rounds,
            floor: None,
            peer: None,
            reach: None,
        }
    }

    /// With its floor.
    pub(crate) fn floor(self, what: &'static str, value: f64) -> Self {
        Self {
            floor: Some(Floor { what, value }),
            ..self
        }
    }

    /// With the figure of kube-apiserver.
    pub(crate) fn peer(self, value: f64) -> Self {
        Self {
            peer: Some(value),
            ..self
        }
    }

    /// With the mark to reach.
    pub(crate) fn reach(self, reach: &'static str) -> Self {
        Self {
            reach: Some(reach),
            ..self
        }
    }
}

/// The value below which this part of the samples lies. Zero of none.
pub(crate) fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// The middle one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// Prints the table.
pub(crate) fn print(figures: &[Figure]) {
    let head = [
        "what",
        "median",
        "rounds",
        "floor, measured now",
        "kube-apiserver (ratio)",
        "to reach",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(figures.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

fn row(figure: &Figure) -> [String; 6] {
    let unit = figure.unit;
    let (low, high) = (percentile(&figure.rounds, 0.0), percentile(&figure.rounds, 1.0));
    let spread = if figure.rounds.len() > 1 {
        format!("{}–{}", short(low), short(high))
    } else {
        String::new()
    };
    let floor = figure
        .floor
        .as_ref()
        .map(|floor| format!("{} {unit} ({})", short(floor.value), floor.what));
    [
        figure.what.clone(),
        format!("{} {unit}", short(median(&figure.rounds))),
        spread,
        floor.unwrap_or_default(),
        figure.peer.map(|peer| against(figure, peer)).unwrap_or_default(),
        figure.reach.unwrap_or_default().to_owned(),
    ]
}

/// The peer's figure, and how many times better ours is.
fn against(figure: &Figure, peer: f64) -> String {
    let ours = median(&figure.rounds);
    let ratio = if figure.unit == "/s" { ours / peer } else { peer / ours };
    format!("{} {} ({} ×)", short(peer), figure.unit, short(ratio))
}

/// Three digits are more than such a machine repeats.
fn short(value: f64) -> String {
    match value {
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Writes them as JSON into the current directory.
pub(crate) fn write(figures: &[Figure], rounds: usize) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let all = serde_json::json!({
        "time": jiff::Timestamp::now().to_string(),
        "machine": { "cores": cores, "kernel": kernel.trim() },
        "rounds": rounds,
        "figures": figures,
    });
    let file = Path::new("bench-results.json");
    let text = serde_json::to_string_pretty(&all).context("figures are not JSON")?;
    std::fs::write(file, text + "\n").context("cannot write bench-results.json")?;
    eprintln!("written to {}", file.display());
    Ok(())
}
