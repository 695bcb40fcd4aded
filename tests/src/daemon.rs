//! A server process under test: started, known to be ready by a line it prints, ended by signal, and gone at the end of
//! the test. What it prints is kept in a file and shown when a test fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

use crate::wait::{self, Look};

/// How long a process may take to be ready.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end in order.
const STOP: Duration = Duration::from_secs(30);

/// A running process.
pub struct Daemon {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Daemon {
    /// Starts it. Its output goes behind what is in the file `output`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, mut command: Command, output: &Path) -> Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(output);
        let file = file.with_context(|| format!("cannot open {}", output.display()))?;
        command
            .stdin(Stdio::null())
            .stderr(file.try_clone().context("cannot duplicate a file descriptor")?)
            .stdout(file);
        let mut command = tokio::process::Command::from(command);
        let child = command
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output: output.to_path_buf(),
        })
    }

    /// Starts it and waits for a line of its output that `ready` knows; gives that line's find.
    ///
    /// # Errors
    /// When it ends or stays silent instead.
    pub async fn start<T>(
        name: &str,
        command: Command,
        output: &Path,
        ready: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T)> {
        let before = std::fs::read_to_string(output).map_or(0, |text| text.len());
        let mut daemon = Self::spawn(name, command, output)?;
        let found = daemon.line(before, ready).await?;
        Ok((daemon, found))
    }

    async fn line<T>(&mut self, from: usize, ready: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            let ended = self.child.try_wait().context("cannot look at a process")?;
            let text = std::fs::read_to_string(&self.output).unwrap_or_default();
            let new = text.get(from..).unwrap_or_default();
            if let Some(found) = new.lines().find_map(&ready) {
                return Ok(found);
            }
            if let Some(status) = ended {
                bail!("{} ended before it was ready ({status}); it said:\n{new}", self.name);
            }
            if tokio::time::Instant::now() > deadline {
                bail!("{} was not ready after {START:?}; it said:\n{new}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Its process id; none once it has ended and was waited for.
    pub fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} has ended", self.name))?;
        kill(pid, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Kills it at once, as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> Result<()> {
        let _ = self.signal(Signal::SIGKILL);
        self.child
            .wait()
            .await
            .with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    /// Asks it to end, by SIGTERM, and waits until it has.
    ///
    /// # Errors
    /// When it does not end, or ends with a failure.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(status) => status.with_context(|| format!("cannot wait for {}", self.name))?,
            Err(_) => bail!(
                "{} did not end within {STOP:?} of SIGTERM; it said:\n{}",
                self.name,
                self.tail()
            ),
        };
        if !status.success() {
            bail!(
                "{} ended with {status} after SIGTERM; it said:\n{}",
                self.name,
                self.tail()
            );
        }
        Ok(())
    }

    /// Waits until its output has a line that `wanted` knows.
    ///
    /// # Errors
    /// When there is none for long.
    pub async fn said<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        wait::until(format!("{} to say {what}", self.name), wait::SOON, async || {
            let text = std::fs::read_to_string(&self.output).unwrap_or_default();
            Ok(Look::some(text.lines().find_map(&wanted), || self.tail()))
        })
        .await
    }

    /// The end of its output, for the words of a failed test.
    pub fn tail(&self) -> String {
        tail(&self.output, 60)
    }
}

/// The last lines of a file.
pub fn tail(file: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// How many processes have all of these in their arguments.
pub fn running_with(words: &[&str]) -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let arguments = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let has = |bytes: &Vec<u8>| {
        let text = String::from_utf8_lossy(bytes);
        words.iter().all(|word| text.contains(word))
    };
    arguments.filter(has).count()
}

/// Kills every process that has this path in its arguments: shims outlive the agent by design, and a test's directory
/// is about to be removed.
pub fn kill_all_under(directory: &Path) {
    let needle = directory.as_os_str().as_encoded_bytes();
    let own = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<i32>() else { continue };
        let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        if name != own && arguments.windows(needle.len()).any(|window| window == needle) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
