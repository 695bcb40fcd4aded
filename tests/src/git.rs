//! A real repository to work on: a bare one, and a clone of it to push from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The pair of them.
pub struct Repository {
    bare: PathBuf,
    clone: PathBuf,
}

impl Repository {
    /// Makes them below `directory`, with one commit on `main`.
    ///
    /// # Errors
    /// When git fails.
    pub fn new(directory: &Path) -> Result<Self> {
        let repository = Self {
            bare: directory.join("project.git"),
            clone: directory.join("project"),
        };
        git(
            directory,
            &["init", "--quiet", "--bare", "--initial-branch=main", "project.git"],
        )?;
        git(directory, &["clone", "--quiet", "project.git", "project"])?;
        git(&repository.clone, &["symbolic-ref", "HEAD", "refs/heads/main"])?;
        repository.push("main", "README", "a project\n")?;
        Ok(repository)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("file://{}", self.bare.display())
    }

    /// Writes a file, commits and pushes it to a branch; gives the commit.
    ///
    /// # Errors
    /// When git fails.
    pub fn push(&self, branch: &str, file: &str, text: &str) -> Result<String> {
        let path = self.clone.join(file);
        let parent = path.parent().context("a file has a directory")?;
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {file}"))?;
        git(&self.clone, &["add", "--all"])?;
        git(
            &self.clone,
            &[
                "commit",
                "--quiet",
                "--allow-empty",
                "--message",
                &format!("Change {file}"),
            ],
        )?;
        git(
            &self.clone,
            &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")],
        )?;
        Ok(git(&self.clone, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Tags the last commit and pushes the tag.
    ///
    /// # Errors
    /// When git fails.
    pub fn tag(&self, tag: &str) -> Result<()> {
        git(&self.clone, &["tag", tag])?;
        git(&self.clone, &["push", "--quiet", "origin", &format!("refs/tags/{tag}")]).map(drop)
    }
}

fn git(directory: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
        .args(args);
    // The machine's own settings must not decide how a test goes.
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().context("cannot start git")?;
    if !output.status.success() {
        bail!(
            "git {} failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
