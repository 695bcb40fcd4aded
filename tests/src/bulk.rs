//! The command line `bulk` as a user has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;

use crate::binaries;

/// `bulk`, with a kubeconfig.
pub struct Bulk {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

/// How a call went.
#[derive(Debug)]
pub struct Called {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said beside.
    pub stderr: String,
}

impl Bulk {
    /// The one under test.
    ///
    /// # Errors
    /// When it was not built.
    pub fn new(kubeconfig: &Path, home: &Path) -> Result<Self> {
        let program = binaries::find("bulk")?;
        Ok(Self {
            program,
            kubeconfig: kubeconfig.to_path_buf(),
            home: home.to_path_buf(),
        })
    }

    /// A command with these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env_remove("NO_COLOR");
        command
    }

    /// Calls it, with this on its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn call_with(&self, args: &[&str], input: &str) -> Result<Called> {
        let mut command = tokio::process::Command::from(self.command(args));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start bulk")?;
        let mut stdin = child.stdin.take().context("bulk has no input")?;
        let feed = async {
            // It may end without reading all of it.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output.context("cannot wait for bulk")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Called {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// Calls it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn call(&self, args: &[&str]) -> Result<Called> {
        self.call_with(args, "").await
    }

    /// Calls it, expecting exit code 0; gives what it printed.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let called = self.call(args).await?;
        if called.code != Some(0) {
            bail!(
                "bulk {} ended with {:?}: {}{}",
                args.join(" "),
                called.code,
                called.stdout,
                called.stderr
            );
        }
        Ok(called.stdout)
    }
}
