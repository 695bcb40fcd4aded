//! kubectl for one namespace, in any version, with what it says on both its outputs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;

/// How long a call may take; one that hangs is a failure.
const LONGEST: Duration = Duration::from_secs(90);

/// kubectl with the server's kubeconfig and a cache of its own.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    namespace: String,
}

/// How a call went.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended with exit code 0.
    pub fine: bool,
    /// What it printed.
    pub out: String,
    /// What it said beside.
    pub err: String,
}

impl Kubectl {
    /// The newest on this machine.
    pub fn new(kubeconfig: &Path, home: &Path, namespace: &str) -> Self {
        Self {
            program: programs().pop().unwrap_or_else(|| "kubectl".into()),
            kubeconfig: kubeconfig.to_path_buf(),
            home: home.to_path_buf(),
            namespace: namespace.to_owned(),
        }
    }

    /// Another version.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.to_path_buf();
        self
    }

    /// A command with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .env_remove("KUBECACHEDIR");
        command.args(["--namespace", &self.namespace]).args(arguments);
        command
    }

    /// Runs a command to its end, with a text on its standard input.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn run_command(&self, command: Command, input: &str) -> Result<Said> {
        let mut command = tokio::process::Command::from(command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl has no input")?;
        let feed = async {
            // It may end without reading all of it.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let both = async { tokio::join!(child.wait_with_output(), feed).0 };
        let output = tokio::time::timeout(LONGEST, both)
            .await
            .context("kubectl does not end")?
            .context("cannot wait for kubectl")?;
        let text = |bytes: &[u8]| without_colours(&String::from_utf8_lossy(bytes));
        Ok(Said {
            fine: output.status.success(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        })
    }

    /// Runs it, however it ends.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn call(&self, arguments: &[&str], input: &str) -> Result<Said> {
        self.run_command(self.command(arguments), input).await
    }

    /// Runs it, expecting it to succeed; gives what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let said = self.call(arguments, input).await?;
        if !said.fine {
            bail!("kubectl {} failed: {}{}", arguments.join(" "), said.out, said.err);
        }
        Ok(said.out)
    }

    /// Runs it, expecting it to fail; gives what it said.
    ///
    /// # Errors
    /// When it does not fail.
    pub async fn fails(&self, arguments: &[&str], input: &str) -> Result<String> {
        let said = self.call(arguments, input).await?;
        if said.fine {
            bail!("kubectl {} did not fail: {}", arguments.join(" "), said.out);
        }
        Ok(said.err)
    }
}

/// `cluster-info` is in colours, terminal or not.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| {
        all + piece.split_once('m').map_or(piece, |(_, rest)| rest)
    })
}

/// Every kubectl of this machine, oldest first: those with their version in the name, or else the one on the PATH.
pub fn programs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Where a kubectl is a link, the others are beside what it points to.
    let targets = directories
        .iter()
        .filter_map(|directory| std::fs::canonicalize(directory.join("kubectl")).ok());
    let beside: Vec<PathBuf> = targets
        .filter_map(|file| file.parent().map(Path::to_path_buf))
        .collect();
    directories.extend(beside);
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in directories
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let minor = name.strip_prefix("kubectl.1.").and_then(|minor| minor.parse().ok());
        if let Some(minor) = minor
            && !found.iter().any(|(other, _)| *other == minor)
        {
            found.push((minor, entry.path()));
        }
    }
    found.sort();
    let versions: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
    if versions.is_empty() {
        vec!["kubectl".into()]
    } else {
        versions
    }
}
