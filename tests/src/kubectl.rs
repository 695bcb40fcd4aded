//! kubectl as a user has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cluster::NAMESPACE;
use crate::daemon::Daemon;

/// kubectl, with a kubeconfig and a home of the test's own (its discovery cache lives there).
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// The one on the PATH.
    pub fn new(kubeconfig: &Path, home: &Path) -> Self {
        Self {
            program: "kubectl".into(),
            kubeconfig: kubeconfig.to_path_buf(),
            home: home.to_path_buf(),
        }
    }

    /// Another version of it.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// A command with these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig);
        command.args(["--namespace", NAMESPACE]).args(args).stdin(Stdio::null());
        command
    }

    /// Runs it; gives what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args).await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {} failed ({}): {said}", args.join(" "), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it, expecting it to fail; gives what it said.
    ///
    /// # Errors
    /// When it does not fail.
    pub async fn fails(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args).await?;
        if output.status.success() {
            bail!("kubectl {} did not fail", args.join(" "));
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts it in the background (`-w`), with its output in a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, args: &[&str], output: &Path) -> Result<Daemon> {
        Daemon::spawn(&format!("kubectl {}", args.join(" ")), self.command(args), output)
    }

    async fn output(&self, args: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command(args));
        command
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot start kubectl")
    }
}
