//! Where things are: the workspace's root and its sources, and the directory that cargo builds into.
//!
//! Reads; changes nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// The workspace's root: the parent of this package.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// What `cargo metadata` tells, as far as it is needed here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// The members and nothing else.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds into.
    pub(crate) target_directory: PathBuf,
}

/// A member.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of a member's manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// None: a normal dependency; else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// Asks cargo.
pub(crate) fn metadata() -> Result<Metadata> {
    let text = process::output(process::cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("cannot read what cargo metadata says")
}

/// The files that git knows or would add, with these endings, relative to the root and in order.
pub(crate) fn files(endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut git = process::command("git");
    git.current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = process::output(git)?;
    let wanted = |name: &&str| endings.iter().any(|ending| name.ends_with(ending));
    let mut files: Vec<PathBuf> = listed.split('\0').filter(wanted).map(PathBuf::from).collect();
    // A file that was removed but not committed yet is still listed.
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
