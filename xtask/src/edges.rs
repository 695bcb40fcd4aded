//! Which of our crates may depend on which. The table is the rule, layer by layer; a new edge fails the check until
//! it stands here, where a reviewer sees it.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::workspace::{self, Package};

/// A crate and the crates of ours that it builds on.
struct Row {
    name: &'static str,
    /// In the product, or in a build script.
    needs: &'static [&'static str],
    /// In its tests alone.
    tests: &'static [&'static str],
}

const fn row(name: &'static str, needs: &'static [&'static str]) -> Row {
    Row {
        name,
        needs,
        tests: &[],
    }
}

const fn row_with_tests(name: &'static str, needs: &'static [&'static str], tests: &'static [&'static str]) -> Row {
    Row { name, needs, tests }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Layer 0: nouns and mechanisms. None knows another, but that whoever handles log bytes knows their format.
    row("breakbulk-schemas", &[]),
    row("breakbulk-log-record", &[]),
    row("breakbulk-log-api", &[]),
    row("breakbulk-store", &[]),
    row("breakbulk-protobuf", &[]),
    row("breakbulk-structured-merge", &[]),
    row("breakbulk-cel", &[]),
    row("breakbulk-sandbox", &["breakbulk-log-record"]),
    // Layer 1.
    row("breakbulk-client", &["breakbulk-schemas"]),
    row("breakbulk-logs", &["breakbulk-log-api", "breakbulk-log-record"]),
    // Layer 2: processes. They meet on the wire only.
    row("breakbulk-apiserver", &["breakbulk-schemas", "breakbulk-store", "breakbulk-logs", "breakbulk-log-api", "breakbulk-log-record", "breakbulk-protobuf", "breakbulk-structured-merge", "breakbulk-cel"]),
    row("breakbulk-controllers", &["breakbulk-schemas", "breakbulk-client"]),
    row("breakbulk-node-agent", &["breakbulk-schemas", "breakbulk-client", "breakbulk-log-api", "breakbulk-log-record", "breakbulk-sandbox"]),
    // Layer 3: what composes or drives the processes.
    row("breakbulk-cli", &["breakbulk-schemas", "breakbulk-client", "breakbulk-apiserver", "breakbulk-controllers", "breakbulk-node-agent"]),
    row_with_tests("breakbulk-tests", &["breakbulk-schemas", "breakbulk-client"], &["breakbulk-store"]),
    row_with_tests("breakbulk-conformance", &["breakbulk-tests"], &["breakbulk-schemas"]),
    row("xtask", &[]),
];

/// Compares the table with the manifests; every difference is one line.
pub(crate) fn check() -> Result<Vec<String>> {
    let packages = workspace::metadata()?.packages;
    let mut wrong = Vec::new();
    for package in &packages {
        match TABLE.iter().find(|row| row.name == package.name) {
            Some(row) => compare(row, package, &packages, &mut wrong),
            None => wrong.push(format!(
                "{}: the crate is not in the table of xtask/src/edges.rs",
                package.name
            )),
        }
    }
    for row in TABLE.iter().filter(|row| !packages.iter().any(|p| p.name == row.name)) {
        wrong.push(format!(
            "{}: in the table of xtask/src/edges.rs, but no longer in the workspace",
            row.name
        ));
    }
    Ok(wrong)
}

fn compare(row: &Row, package: &Package, packages: &[Package], wrong: &mut Vec<String>) {
    let ours = |name: &str| packages.iter().any(|p| p.name == name);
    let edges = |dev: bool| -> BTreeSet<&str> {
        let kind = |kind: &Option<String>| (kind.as_deref() == Some("dev")) == dev;
        let found = package
            .dependencies
            .iter()
            .filter(|d| kind(&d.kind) && ours(&d.name) && d.name != package.name);
        found.map(|d| d.name.as_str()).collect()
    };
    let needs: BTreeSet<&str> = row.needs.iter().copied().collect();
    let tests: BTreeSet<&str> = row.tests.iter().copied().collect();
    for edge in edges(false).difference(&needs) {
        wrong.push(format!("{} → {edge}: a new edge; the layers do not have it", row.name));
    }
    for edge in needs.difference(&edges(false)) {
        wrong.push(format!(
            "{} → {edge}: in the table, but not in the manifest any more",
            row.name
        ));
    }
    for edge in edges(true).difference(&tests).filter(|edge| !needs.contains(**edge)) {
        wrong.push(format!("{} → {edge}: a new edge in its tests", row.name));
    }
}
