//! Runs tests over one server, several at a time, and counts them against the list.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use breakbulk_tests::cluster::Cluster;
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;

use crate::case::Case;
use crate::checklist::{self, Line, State};

/// How many tests run at a time. They mostly wait, for controllers and for each other's kubectl.
const AT_A_TIME: usize = 8;
/// No test takes so long.
const LONGEST: Duration = Duration::from_secs(150);
/// Set to a part of a name: only tests that have it in theirs are run.
const ONLY: &str = "BREAKBULK_CONFORMANCE_ONLY";

/// A ported test.
#[derive(Clone, Copy)]
pub struct Test {
    /// Upstream's name.
    pub name: &'static str,
    /// The test.
    pub run: for<'a> fn(&'a Case) -> LocalBoxFuture<'a, Result<()>>,
}

/// A table of tests: `tests!["upstream's name" => function, …]`.
#[macro_export]
macro_rules! tests {
    ($($name:literal => $function:path),* $(,)?) => {
        &[$($crate::suite::Test { name: $name, run: |case| ::std::boxed::Box::pin($function(case)) }),*]
    };
}

/// How the tests of a table went over one server.
#[derive(Debug, Default)]
pub struct Outcome {
    passed: usize,
    waiting_passed: Vec<&'static str>,
    failed: BTreeMap<&'static str, String>,
    waiting_failed: BTreeMap<&'static str, String>,
}

/// Runs every test.
///
/// # Errors
/// When the list cannot be read.
pub async fn run(cluster: &Cluster, tests: &[Test]) -> Result<Outcome> {
    let list = checklist::all()?;
    let only = std::env::var(ONLY).unwrap_or_default();
    let chosen = tests.iter().filter(|test| test.name.contains(&only));
    let mut running = futures::stream::iter(chosen)
        .map(|test| async move {
            let begun = Instant::now();
            (test.name, one(cluster, test).await, begun.elapsed())
        })
        .buffer_unordered(AT_A_TIME);
    let mut outcome = Outcome::default();
    while let Some((name, result, took)) = running.next().await {
        let state = list.iter().find(|line| line.name == name).map(|line| line.state);
        let waits = state == Some(State::Waiting);
        let word = if result.is_ok() {
            "ok"
        } else if waits {
            "waits"
        } else {
            "FAILED"
        };
        println!("{word:6} {:5.1} s  {name}", took.as_secs_f32());
        match (result, waits) {
            (Ok(()), false) => outcome.passed += 1,
            (Ok(()), true) => outcome.waiting_passed.push(name),
            (Err(error), false) => drop(outcome.failed.insert(name, format!("{error:?}"))),
            (Err(error), true) => drop(outcome.waiting_failed.insert(name, format!("{error:?}"))),
        }
    }
    Ok(outcome)
}

async fn one(cluster: &Cluster, test: &Test) -> Result<()> {
    let base = test.name.split_whitespace().nth(1).unwrap_or("conformance");
    let base: String = base.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    let whole = async {
        let case = Case::begin(cluster, &base.to_lowercase()).await?;
        let done = (test.run)(&case).await;
        case.end().await.and(done)
    };
    // A panic of a test is its failure, and no other's.
    let guarded = std::panic::AssertUnwindSafe(whole);
    let caught = futures::FutureExt::catch_unwind(guarded);
    match tokio::time::timeout(LONGEST, caught).await.context("it did not end")? {
        Ok(done) => done,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            bail!(
                "{}",
                text.or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("it panicked")
            )
        }
    }
}

impl Outcome {
    /// Prints the count, and fails if a test did.
    ///
    /// # Errors
    /// Naming the tests that failed, and why.
    pub fn conclude(&self, store: &str) -> Result<()> {
        let list = checklist::all()?;
        let count = |state| list.iter().filter(|line: &&Line| line.state == state).count();
        for name in &self.waiting_passed {
            println!("passes, though the list says that it waits: {name}");
        }
        for (name, why) in &self.waiting_failed {
            println!("waits: {name}\n    {}", why.lines().next().unwrap_or_default());
        }
        println!(
            "conformance on {store}: {} passed of {} listed ({} failed; {} checked in other crates, {} waiting, {} not \
             applicable: they need running pods or Go programs)",
            self.passed + self.waiting_passed.len(),
            list.len(),
            self.failed.len(),
            count(State::Elsewhere),
            count(State::Waiting),
            count(State::NotApplicable),
        );
        if self.failed.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (name, why) in &self.failed {
            let _ = write!(text, "\n\n{name}\n  {}", why.replace('\n', "\n  "));
        }
        bail!("{} of upstream's tests failed:{text}", self.failed.len())
    }
}
