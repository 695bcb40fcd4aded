//! Generated files: `schemas/crds/*.yaml`, written by the schemas crate itself from its table of kinds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace;

const CRDS: &str = "schemas/crds";

/// Writes them anew; what no kind generates any more is removed.
pub(crate) fn write() -> Result<()> {
    let directory = workspace::root().join(CRDS);
    let fresh = generate()?;
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {CRDS}"))?;
    for stale in read(&directory)?.keys().filter(|name| !fresh.contains_key(*name)) {
        std::fs::remove_file(directory.join(stale)).with_context(|| format!("cannot remove {CRDS}/{stale}"))?;
        println!("removed {CRDS}/{stale}");
    }
    for (name, text) in &fresh {
        std::fs::write(directory.join(name), text).with_context(|| format!("cannot write {CRDS}/{name}"))?;
    }
    println!("{CRDS}: {} files", fresh.len());
    Ok(())
}

/// Compares them with what would be written; every file that differs is one line.
pub(crate) fn check() -> Result<Vec<String>> {
    let fresh = generate()?;
    let there = read(&workspace::root().join(CRDS))?;
    let names: std::collections::BTreeSet<&String> = fresh.keys().chain(there.keys()).collect();
    let stale = names.into_iter().filter(|name| fresh.get(*name) != there.get(*name));
    Ok(stale
        .map(|name| format!("{CRDS}/{name} is stale: run `cargo xtask codegen`"))
        .collect())
}

fn generate() -> Result<BTreeMap<String, String>> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let mut cargo = process::cargo([
        "run",
        "--quiet",
        "--package",
        "breakbulk-schemas",
        "--example",
        "crds",
        "--",
    ]);
    cargo.arg(directory.path());
    process::output(cargo)?;
    read(directory.path())
}

fn read(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(files);
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", directory.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("cannot read {name}"))?;
            files.insert(name, text);
        }
    }
    Ok(files)
}
