//! Running git: without any configuration but ours, without prompts, within a deadline, and with everything it
//! started gone when it is over.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::source::{SourceError, path_of};

/// What is kept of git's words.
const MAX_WORDS: usize = 4096;

/// Why git did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("cannot run git")]
    Spawn(#[source] std::io::Error),
    #[error("git {command} failed: {words}")]
    Failed { command: String, words: String },
    #[error("git {command} took longer than {} s", deadline.as_secs())]
    Deadline { command: String, deadline: Duration },
    #[error("cannot write {path}")]
    Write {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the repository has no commit {0}")]
    NoCommit(String),
    #[error("cannot use its credentials")]
    Source(#[from] SourceError),
}

/// Variables for git, and what they refer to.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    variables: Vec<(String, String)>,
    settings: Vec<(String, String)>,
    files: Vec<File>,
    hidden: Vec<String>,
}

impl Environment {
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A setting, handed over in the environment: unlike an argument it is not for everybody to see.
    pub(crate) fn config(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Keeps a file open for as long as this lives; returns its path.
    pub(crate) fn keep(&mut self, file: File) -> String {
        let path = path_of(&file);
        self.files.push(file);
        path
    }

    /// A text that must not appear in an error.
    pub(crate) fn hide(&mut self, text: &str) {
        if !text.is_empty() {
            self.hidden.push(text.to_owned());
        }
    }
}

/// One call of git.
pub(crate) struct Git<'a> {
    /// The repository: its `GIT_DIR`.
    pub(crate) repository: &'a Path,
    /// What it may use.
    pub(crate) environment: &'a Environment,
    /// How long it may take.
    pub(crate) deadline: Duration,
}

impl Git<'_> {
    /// Runs a command and returns what it prints, at most a few KiB of it.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String, GitError> {
        self.run_with(arguments, |_| {}, "").await
    }

    /// The same with more of the command set, and with words on its standard input.
    pub(crate) async fn run_with(
        &self,
        arguments: &[&str],
        set: impl FnOnce(&mut Command),
        input: &str,
    ) -> Result<String, GitError> {
        let name = arguments.first().copied().unwrap_or_default().to_owned();
        let mut command = self.command(arguments);
        set(&mut command);
        let mut child = Group::new(command.spawn().map_err(GitError::Spawn)?);
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let (stdin, stdout, stderr) = (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
        let talk = async {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A git that does not read to the end says why in its own words.
                    let _ = stdin.write_all(input.as_bytes()).await;
                }
            };
            tokio::join!(feed, read(stdout, &mut said), read(stderr, &mut complained));
            child.0.wait().await
        };
        let status = match tokio::time::timeout(self.deadline, talk).await {
            Ok(status) => status.map_err(GitError::Spawn)?,
            Err(_) => {
                return Err(GitError::Deadline {
                    command: name,
                    deadline: self.deadline,
                });
            }
        };
        child.1 = None;
        if status.success() {
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
        Err(GitError::Failed {
            command: name,
            words: self.words(&complained),
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            )
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_DIR", self.repository)
            .envs(self.environment.variables.iter().map(|(name, value)| (name, value)));
        let fixed = [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.symlinks", "true"),
            ("submodule.recurse", "false"),
            ("fetch.recurseSubmodules", "false"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("advice.detachedHead", "false"),
            ("protocol.version", "2"),
            ("transfer.fsckObjects", "false"),
            ("credential.helper", ""),
        ];
        let own = self.environment.settings.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let mut count = 0;
        for (key, value) in fixed.into_iter().chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command
            .env("GIT_CONFIG_COUNT", count.to_string())
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Git's complaint, on one line, without what must not be seen.
    fn words(&self, complained: &[u8]) -> String {
        let text = String::from_utf8_lossy(complained);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut words = lines.collect::<Vec<_>>().join("; ");
        for hidden in &self.environment.hidden {
            words = words.replace(hidden.as_str(), "***");
        }
        words.retain(|c| !c.is_control());
        if words.is_empty() {
            "without a word".to_owned()
        } else {
            words
        }
    }
}

/// A child with everything it has started, killed together when it is given up.
struct Group(Child, Option<Pid>);

impl Group {
    fn new(child: Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Self(child, leader)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child has not been waited for, so its id is still its own.
        if let Some(leader) = self.1 {
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

/// Reads to the end and keeps the beginning.
async fn read(from: Option<impl tokio::io::AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = MAX_WORDS.saturating_sub(into.len()).min(count);
        into.extend_from_slice(&buffer[..room]);
    }
}
