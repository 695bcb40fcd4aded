//! What the agent asks of a shim: one attempt's script and everything around it.
//!
//! A [`Spec`] travels once, as JSON in memory (never on disk), from the agent to the shim. It is checked
//! by [`Spec::validate`] on both sides: the agent's user gets the errors, the shim trusts nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::layer::Layer;

/// The longest script, in bytes. It travels as a file, so the kernel's argument limit does not apply.
const MAX_SCRIPT: usize = 16 << 20;
/// The longest whole environment, in bytes: the kernel allows a quarter of the stack limit, and one
/// variable may not pass 128 KiB.
const MAX_ENV: usize = 1 << 20;
const MAX_ENV_VALUE: usize = (128 << 10) - 4096;
const MAX_NAME: usize = 253;

/// One attempt, as the shim is to run it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Name of the attempt, unique on this host among the living: it names the cgroup.
    /// Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The script, byte for byte. It is put into a read-only file whose path is appended to `shell`.
    pub script: String,
    /// The interpreter and its options, such as `["bash", "-euo", "pipefail"]`. A name without a slash
    /// is looked for in the job's `PATH`.
    pub shell: Vec<String>,
    /// The whole environment of the script. `PATH`, `HOME`, `TMPDIR`, `USER`, `LOGNAME`, `SHELL`, `CI_OUTPUT`
    /// and `CI_WORKSPACE` are set by the sandbox when they are absent.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// A directory of the host that the script sees as `/workspace`, writable, and starts in.
    pub workspace: PathBuf,
    /// Where below the workspace the script starts; empty means at its root.
    #[serde(default)]
    pub working_dir: PathBuf,
    /// A directory of the host for `/tmp` and the home directory: they are `tmp` and `home` below it, made when
    /// they are missing, and its owner is the workspace's. Without it both are in memory, bounded
    /// by [`Limits::tmp_bytes`] and counted against the job's memory.
    #[serde(default)]
    pub scratch: Option<PathBuf>,
    /// Secrets as files, below `/run/secrets`, readable by the script alone.
    #[serde(default)]
    pub secret_files: Vec<SecretFile>,
    /// Values that must not appear in the log. Shorter ones than [`crate::MIN_SECRET_LEN`] are not masked.
    #[serde(default)]
    pub masks: Vec<Secret>,
    /// What the script may use.
    #[serde(default)]
    pub limits: Limits,
    /// How long the script may run; `None` means without end.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How long a script that was asked to end (SIGTERM) may take before it is killed.
    pub grace: Duration,
    /// What the script reaches of the network.
    #[serde(default)]
    pub network: Network,
    /// Paths of the host the script sees read-only at the same path, such as a toolchain under `/opt`.
    #[serde(default)]
    pub expose: Vec<PathBuf>,
    /// The host name the script sees.
    #[serde(default = "default_hostname")]
    pub hostname: String,
    /// Where the job's cgroups go: a path below the shim's own cgroup of each hierarchy or, when it is
    /// absolute, from the hierarchy's top. It is made when it is missing and left in place. `None` means
    /// directly below the shim's own cgroup.
    #[serde(default)]
    pub cgroup_parent: Option<PathBuf>,
    /// The first of two host user ids for this job alone, when the shim is root. `None` lets the shim
    /// take ids that no other living shim has.
    #[serde(default)]
    pub uid_base: Option<u32>,
    /// Layers this attempt must have: it fails on a host that lacks one. Others are used as far as they go,
    /// and what was missing stands in [`crate::Exit::missing`].
    #[serde(default)]
    pub require: BTreeSet<Layer>,
    /// Whether processes of the job may look into each other.
    #[serde(default)]
    pub tracing: Tracing,
    /// The largest spool, in bytes on disk. What comes after is counted in a gap record.
    #[serde(default = "default_log_quota")]
    pub log_quota_bytes: u64,
}

fn default_hostname() -> String {
    "job".to_owned()
}

fn default_log_quota() -> u64 {
    10 << 30
}

impl Spec {
    /// A spec with nothing but a script, for `bash -euo pipefail`, in `workspace`.
    pub fn new(name: impl Into<String>, workspace: impl Into<PathBuf>, script: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            script: script.into(),
            shell: ["bash", "-euo", "pipefail"].map(str::to_owned).to_vec(),
            env: Vec::new(),
            workspace: workspace.into(),
            working_dir: PathBuf::new(),
            scratch: None,
            secret_files: Vec::new(),
            masks: Vec::new(),
            limits: Limits::default(),
            timeout: None,
            grace: Duration::from_secs(10),
            network: Network::default(),
            expose: Vec::new(),
            hostname: default_hostname(),
            cgroup_parent: None,
            uid_base: None,
            require: BTreeSet::new(),
            tracing: Tracing::default(),
            log_quota_bytes: default_log_quota(),
        }
    }

    /// Reports everything that is wrong with the spec, so that it is corrected in one go.
    ///
    /// # Errors
    /// All problems found, each naming the field.
    pub fn validate(&self) -> Result<(), SpecError> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, problem: &dyn Fn() -> String| {
            if !ok {
                problems.push(problem());
            }
        };
        check(is_name(&self.name), &|| {
            format!("name {:?}: letters, digits, '-', '_' and '.' only", self.name)
        });
        check(self.script.len() <= MAX_SCRIPT, &|| {
            format!("script: over {MAX_SCRIPT} bytes")
        });
        check(self.shell.first().is_some_and(|s| !s.is_empty()), &|| {
            "shell: names no program".to_owned()
        });
        check(!self.shell.iter().any(|s| s.contains('\0')), &|| {
            "shell: holds a NUL byte".to_owned()
        });
        check(self.workspace.is_absolute(), &|| {
            format!("workspace {:?}: not absolute", self.workspace)
        });
        check(is_below(&self.working_dir), &|| {
            format!("workingDir {:?}: leaves the workspace", self.working_dir)
        });
        check(self.scratch.as_ref().is_none_or(|p| p.is_absolute()), &|| {
            "scratch: not absolute".to_owned()
        });
        check(is_name(&self.hostname) && self.hostname.len() <= 64, &|| {
            format!("hostname {:?}", self.hostname)
        });
        check(
            self.cgroup_parent
                .as_ref()
                .is_none_or(|p| is_below(p.strip_prefix("/").unwrap_or(p))),
            &|| "cgroupParent: not a plain path".into(),
        );
        problems.extend(self.list_problems());
        if problems.is_empty() {
            Ok(())
        } else {
            Err(SpecError(problems))
        }
    }

    /// What is wrong with the parts there may be many of.
    fn list_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, problem: &dyn Fn() -> String| {
            if !ok {
                problems.push(problem());
            }
        };
        for var in &self.env {
            check(is_env_name(&var.name), &|| {
                format!("env {:?}: not a variable name", var.name)
            });
            check(!var.value.contains('\0'), &|| {
                format!("env {:?}: holds a NUL byte", var.name)
            });
            check(var.value.len() <= MAX_ENV_VALUE, &|| {
                format!("env {:?}: over {MAX_ENV_VALUE} bytes", var.name)
            });
        }
        let env: usize = self.env.iter().map(|v| v.name.len() + v.value.len() + 2).sum();
        check(env <= MAX_ENV, &|| {
            format!("env: {env} bytes together, at most {MAX_ENV}")
        });
        for file in &self.secret_files {
            check(is_name(&file.name), &|| {
                format!("secretFiles {:?}: not a plain file name", file.name)
            });
        }
        for path in &self.expose {
            let plain =
                path.is_absolute() && path.parent().is_some() && is_below(path.strip_prefix("/").unwrap_or(path));
            check(plain, &|| format!("expose {path:?}: not a plain absolute path"));
        }
        problems
    }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain) && !name.starts_with('.')
}

fn is_env_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

fn is_below(path: impl AsRef<std::path::Path>) -> bool {
    path.as_ref()
        .components()
        .all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir))
}

/// Everything that is wrong with a [`Spec`].
#[derive(Debug, thiserror::Error)]
#[error("the attempt's spec is not valid: {}", .0.join("; "))]
pub struct SpecError(pub Vec<String>);

/// One variable of the script's environment.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnvVar {
    /// Name: not empty, without `=`.
    pub name: String,
    /// Value; it may be a secret, so it is never shown by `Debug`.
    pub value: String,
}

impl EnvVar {
    /// `name=value`.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// A file below `/run/secrets`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretFile {
    /// Plain file name.
    pub name: String,
    /// What is in it.
    pub content: Secret,
}

/// Bytes that are never shown. As JSON they are a string of hexadecimal digits, since they need not be
/// text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the value.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(value.into())
    }

    /// The value: keep it out of logs, errors and argument lists.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        // The text is a secret: the error must not quote it.
        let wrong = || serde::de::Error::custom("a secret is not an even number of hexadecimal digits");
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = |p: &[u8]| match p {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        text.as_bytes()
            .chunks(2)
            .map(pair)
            .collect::<Option<Vec<u8>>>()
            .map(Self)
            .ok_or_else(wrong)
    }
}

/// Shows bytes as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// What the script and everything it starts may use together. `None` means without limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// Memory in bytes, with page cache and in-memory files.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Size of `/tmp`, of the home directory and of `/dev/shm`, each, where they are in memory.
    pub tmp_bytes: Option<u64>,
    /// Largest single file.
    pub file_bytes: Option<u64>,
    /// Open files per process.
    pub open_files: Option<u64>,
}

/// What a script reaches of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Network {
    /// The host's own network, with everything that listens on it.
    #[default]
    Host,
    /// A network of its own with nothing but a loopback interface, which is up.
    None,
}

/// Whether processes of a job may look into each other: debuggers, `strace`, the leak checkers of compilers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tracing {
    /// `ptrace` and its like fail.
    #[default]
    Forbidden,
    /// They work within the job.
    Allowed,
}
