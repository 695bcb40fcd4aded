//! Upstream's list of tests, and what became of each here: `upstream.list`.
//!
//! One line per test: its state, a tab, upstream's name without the `[Conformance]` at its end, and, but for ported ones,
//! a tab and why.

use anyhow::{Context as _, Result, bail};

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is among our tests, under upstream's name.
    Ported,
    /// It is among the tests of a crate of ours, which the note names.
    Elsewhere,
    /// It waits for something that the server does not have yet. Its test, if there is one, runs and may fail.
    Waiting,
    /// It makes no sense here: it needs running containers, or Go programs.
    NotApplicable,
}

/// A line of the list.
#[derive(Clone, Debug)]
pub struct Line {
    /// What became of it.
    pub state: State,
    /// Upstream's name.
    pub name: &'static str,
    /// Why, or where.
    pub note: &'static str,
}

const LIST: &str = include_str!("../upstream.list");

/// The whole list.
///
/// # Errors
/// When a line is none.
pub fn all() -> Result<Vec<Line>> {
    LIST.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(parse)
        .collect()
}

fn parse(line: &'static str) -> Result<Line> {
    let mut parts = line.splitn(3, '\t');
    let state = match parts.next() {
        Some("ported") => State::Ported,
        Some("elsewhere") => State::Elsewhere,
        Some("waiting") => State::Waiting,
        Some("n/a") => State::NotApplicable,
        _ => bail!("a line of the list has no state: {line}"),
    };
    let name = parts
        .next()
        .with_context(|| format!("a line of the list has no name: {line}"))?;
    let note = parts.next().unwrap_or_default();
    if note.is_empty() != (state == State::Ported) {
        bail!("a note says why a test is not ported, and only that: {line}");
    }
    Ok(Line { state, name, note })
}
