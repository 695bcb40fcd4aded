//! The programs that tests run against, where the machine has none: etcd and kubectl, from Debian's packages.
//!
//! The packages are unpacked into the user's cache and not installed: that needs no root, and starts no service.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// A program and the Debian package that holds it.
const TOOLS: &[(&str, &str)] = &[("etcd", "etcd-server"), ("kubectl", "kubernetes-client")];

/// Sees to it that all are there. Gives the directories to put behind the PATH.
pub(crate) fn provide() -> Result<Vec<PathBuf>> {
    let cache = cache()?;
    let mut directories = Vec::new();
    for (program, package) in TOOLS {
        if process::find(program).is_some() {
            continue;
        }
        let directory = cache.join(package);
        let bin = directory.join("usr/bin");
        if !bin.join(program).is_file() {
            eprintln!(
                "xtask: there is no {program} on the PATH; fetching Debian's {package} into {}",
                directory.display()
            );
            unpack(package, &directory).with_context(|| {
                format!(
                    "{program} is missing and could not be fetched. The tests need it: install it (on Debian and \
                     Ubuntu: `apt-get install {package}`) so that it is on the PATH, and start again"
                )
            })?;
        }
        directories.push(bin);
    }
    Ok(directories)
}

/// The PATH with these directories behind it.
pub(crate) fn path(directories: &[PathBuf]) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(directories.iter().cloned());
    std::env::join_paths(all).context("a directory cannot be put on the PATH")
}

fn cache() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("breakbulk/tools"))
}

fn unpack(package: &str, directory: &Path) -> Result<()> {
    for program in ["apt-get", "dpkg-deb"] {
        if process::find(program).is_none() {
            bail!("this machine has no {program}");
        }
    }
    let parent = directory.parent().context("the cache is the root directory")?;
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Beside its place, then moved there: what is there is whole.
    let scratch = tempfile::tempdir_in(parent).context("cannot make a temporary directory")?;
    let (archives, tree, lists) = (
        scratch.path().join("deb"),
        scratch.path().join("tree"),
        scratch.path().join("lists"),
    );
    std::fs::create_dir(&archives)?;
    if download(package, &archives, None).is_err() {
        std::fs::create_dir_all(lists.join("partial"))?;
        process::output(apt(&["update"], Some(&lists)))?;
        download(package, &archives, Some(&lists))?;
    }
    for archive in std::fs::read_dir(&archives)? {
        let mut dpkg = process::command("dpkg-deb");
        dpkg.arg("--extract").arg(archive?.path()).arg(&tree);
        process::output(dpkg)?;
    }
    std::fs::rename(&tree, directory).with_context(|| format!("cannot move {package} into the cache"))
}

fn download(package: &str, archives: &Path, lists: Option<&Path>) -> Result<()> {
    let mut apt = apt(&["download", package], lists);
    apt.current_dir(archives);
    process::output(apt).map(drop)
}

/// With `lists`, package lists of our own: the machine's may be absent, and not ours to renew.
fn apt(args: &[&str], lists: Option<&Path>) -> std::process::Command {
    let mut apt = process::command("apt-get");
    apt.arg("--quiet").arg("--quiet");
    if let Some(lists) = lists {
        apt.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        apt.arg("-o").arg(format!("Dir::Cache={}", lists.display()));
    }
    // apt fetches as a user of its own, who cannot write here; as root it can stay root.
    apt.args(["-o", "APT::Sandbox::User=root"]).args(args);
    apt
}
