//! Generated files: the definitions of our own kinds (as YAML for people, as JSON for the program), written by the schemas
//! crate from its types, and the schemas of Kubernetes' own kinds, written by the API server's example.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace;

const CRDS: &str = "schemas/crds";
const KINDS: &str = "schemas/src/kinds.json";
const KUBERNETES: &str = "apiserver/src/openapi/kubernetes.json";

/// Generated files by their paths in the workspace.
type Files = BTreeMap<String, String>;

/// Writes them anew; what no kind generates any more is removed.
pub(crate) fn write() -> Result<()> {
    let fresh = generate()?;
    for stale in there()?.keys().filter(|path| !fresh.contains_key(*path)) {
        std::fs::remove_file(workspace::root().join(stale)).with_context(|| format!("cannot remove {stale}"))?;
        println!("removed {stale}");
    }
    for (path, text) in &fresh {
        std::fs::write(workspace::root().join(path), text).with_context(|| format!("cannot write {path}"))?;
    }
    println!("{} files", fresh.len());
    Ok(())
}

/// Compares them with what would be written; every file that differs is one line.
pub(crate) fn check() -> Result<Vec<String>> {
    let (fresh, there) = (generate()?, there()?);
    let paths: std::collections::BTreeSet<&String> = fresh.keys().chain(there.keys()).collect();
    let stale = paths.into_iter().filter(|path| fresh.get(*path) != there.get(*path));
    Ok(stale
        .map(|path| format!("{path} is stale: run `cargo xtask codegen`"))
        .collect())
}

fn generate() -> Result<Files> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let of = |path: &str| directory.path().join(path);
    for path in [CRDS, "schemas/src", "apiserver/src/openapi"] {
        std::fs::create_dir_all(of(path)).with_context(|| format!("cannot make {path}"))?;
    }
    run("breakbulk-schemas", "crds", &[&of(CRDS), &of(KINDS)])?;
    run("breakbulk-apiserver", "kubernetes-definitions", &[&of(KUBERNETES)])?;
    files(directory.path())
}

fn run(package: &str, example: &str, arguments: &[&Path]) -> Result<()> {
    let mut cargo = process::cargo(["run", "--quiet", "--package", package, "--example", example, "--"]);
    cargo.args(arguments);
    process::output(cargo).map(drop)
}

fn there() -> Result<Files> {
    files(&workspace::root())
}

/// The generated files below a root.
fn files(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    for path in [KINDS, KUBERNETES] {
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            files.insert(path.to_owned(), text);
        }
    }
    let Ok(entries) = std::fs::read_dir(root.join(CRDS)) else {
        return Ok(files);
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {CRDS}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("cannot read {name}"))?;
            files.insert(format!("{CRDS}/{name}"), text);
        }
    }
    Ok(files)
}
