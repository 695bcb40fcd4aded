//! `cargo xtask test`: every test of the workspace, with real etcd and real kubectl, on both stores. Ends with one line
//! that counts what passed, failed and was skipped.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{process, tools, workspace};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only tests of these packages
    #[arg(short, long, value_name = "PACKAGE")]
    package: Vec<String>,
    /// Only tests whose names contain one of these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// The profile of `xtask/nextest.toml`.
const PROFILE: &str = "all";

/// What a test prints when the machine lacks what it needs.
const SKIPPED: &str = "SKIPPED: ";

/// How the line begins in which a suite counts what passed of upstream's list.
const SUITE: &str = "conformance on ";

/// Gets the tools, builds the binaries, runs the tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    let path = tools::path(&tools::provide()?)?;
    // The tests drive these as processes; cargo would build them for tests of their own packages only.
    process::run(process::cargo(["build", "--quiet", "--workspace", "--bins"]))?;
    let nextest = process::output(process::cargo(["nextest", "--version"])).is_ok();
    let mut counts = if nextest {
        with_nextest(args, &path)?
    } else {
        with_cargo(args, &path)?
    };
    if nextest && args.names.is_empty() {
        let mut docs = cargo_test(args, &path);
        docs.arg("--doc");
        counts.add(&counted(docs)?);
    }
    println!(
        "{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    if counts.failed > 0 {
        bail!("{} tests failed", counts.failed)
    } else {
        Ok(())
    }
}

fn with_nextest(args: &Args, path: &OsString) -> Result<Counts> {
    // Its own directory, wherever cargo builds into.
    let report = workspace::root().join("target/nextest").join(PROFILE).join("junit.xml");
    // What an earlier run left is not ours.
    let _ = std::fs::remove_file(&report);
    let mut cargo = process::cargo(["nextest", "run", "--no-fail-fast", "--profile", PROFILE]);
    cargo
        .arg("--config-file")
        .arg(workspace::root().join("xtask/nextest.toml"))
        .env("PATH", path);
    // A failed test says what it saw; where in the test runner that was is of no use.
    cargo.env("RUST_LIB_BACKTRACE", "0");
    packages(&mut cargo, args);
    cargo.args(&args.names);
    let ran = process::run(cargo);
    let text = match std::fs::read_to_string(&report) {
        Ok(text) => text,
        // No report: it did not come to the tests.
        Err(_) => {
            return ran.and(Err(anyhow::anyhow!(
                "cargo nextest wrote no report to {}",
                report.display()
            )));
        }
    };
    // What a suite says of itself, whether it passed or not.
    for line in text.lines().filter(|line| line.starts_with(SUITE)) {
        println!("{line}");
    }
    let counts = read_report(&text);
    // A failure that no test accounts for, such as a run that was interrupted, is still a failure.
    if counts.failed == 0 {
        ran.map(|()| counts)
    } else {
        Ok(counts)
    }
}

/// Counts the cases of a JUnit report.
fn read_report(text: &str) -> Counts {
    let mut counts = Counts::default();
    for case in text.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or(case);
        if case.contains("<failure") || case.contains("<error") {
            counts.failed += 1;
        } else if let Some((_, why)) = case.split_once(SKIPPED) {
            let name = case
                .split("name=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .unwrap_or("a test");
            eprintln!("skipped {name}: {}", why.lines().next().unwrap_or_default());
            counts.skipped += 1;
        } else {
            counts.passed += 1;
        }
    }
    counts
}

fn with_cargo(args: &Args, path: &OsString) -> Result<Counts> {
    let mut cargo = cargo_test(args, path);
    cargo.args(["--", "--show-output"]).args(&args.names);
    counted(cargo)
}

fn cargo_test(args: &Args, path: &OsString) -> Command {
    let mut cargo = process::cargo(["test", "--no-fail-fast"]);
    packages(&mut cargo, args);
    cargo.env("PATH", path);
    cargo
}

fn packages(cargo: &mut Command, args: &Args) {
    if args.package.is_empty() {
        cargo.arg("--workspace");
    }
    for package in &args.package {
        cargo.args(["--package", package]);
    }
}

/// Runs `cargo test`, showing what it prints, and adds up its result lines.
fn counted(mut cargo: Command) -> Result<Counts> {
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let stdout = child.stdout.take().context("cargo test has no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what cargo test prints")?;
        println!("{line}");
        counts.read_line(&line);
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    if !status.success() && counts.failed == 0 {
        bail!("cargo test failed ({status}) without a failed test: see above");
    }
    Ok(counts)
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
    fn read_line(&mut self, line: &str) {
        if line.trim_start().starts_with(SKIPPED) {
            self.skipped += 1;
            self.passed = self.passed.saturating_sub(1);
        }
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        let number = |word: &str| {
            let (before, _) = result.split_once(word)?;
            before
                .rsplit([' ', '.'])
                .find(|part| !part.is_empty())?
                .parse::<usize>()
                .ok()
        };
        self.passed += number(" passed").unwrap_or(0);
        self.failed += number(" failed").unwrap_or(0);
        self.skipped += number(" ignored").unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let mut counts = Counts::default();
        counts.read_line("running 3 tests");
        counts.read_line("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        counts.read_line("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured");
        assert_eq!(
            counts,
            Counts {
                passed: 14,
                failed: 3,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_report_tells_passed_from_failed_and_skipped() {
        let report = r#"<testsuites><testsuite>
            <testcase name="a" classname="x"/>
            <testcase name="b"><system-out>SKIPPED: no cgroups here</system-out></testcase>
            <testcase name="c"><failure type="test failure"/><system-out>SKIPPED: x</system-out></testcase>
        </testsuite></testsuites>"#;
        assert_eq!(
            read_report(report),
            Counts {
                passed: 1,
                failed: 1,
                skipped: 1
            }
        );
    }
}
