//! The directory of one attempt: the only thing the agent and the shim share.
//!
//! | file | written by | what it says |
//! |---|---|---|
//! | `lock` | launch, shim | locked exclusively for the shim's whole life: who can lock it knows that the shim is gone |
//! | `shim.json` | shim | who the shim is |
//! | `started.json` | shim | the script was about to be started (durable before it is) |
//! | `spool` | shim | framed log records from offset 0 |
//! | `cancel` | agent | why the attempt is cancelled, in words, before the signal |
//! | `exit.json` | shim | how it ended (durable; the last thing written) |
//! | `shim.log` | shim | what the shim itself had to say, normally nothing |
//!
//! All but `spool` and `lock` appear whole or not at all. The directory is the agent's and is readable
//! by nobody else; no part of it is visible inside the sandbox.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The largest file of this directory that is read whole.
const MAX_FILE: u64 = 1 << 20;

/// Who a shim is. A process id alone says nothing: it may be another process's by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShimIdentity {
    /// Process id of the shim.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks after boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// The script was about to be started. From here on it may have run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Nanoseconds since the Unix epoch.
    pub started_at: u64,
}

/// Why a file of the attempt's directory could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AttemptDirError {
    /// The system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl AttemptDirError {
    /// Whether there was no room on the disk.
    pub(crate) fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// An attempt's directory, by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptDir {
    path: PathBuf,
}

impl AttemptDir {
    /// Names the directory; nothing is touched.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes the directory, readable by its owner alone. One that is there already is fine.
    ///
    /// # Errors
    /// The system's, when it cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, AttemptDirError> {
        let dir = Self::new(path);
        match fs::DirBuilder::new().mode(0o700).create(&dir.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(AttemptDirError::Io {
                action: "create",
                path: dir.path,
                source: error,
            }),
            _ => Ok(dir),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock file.
    pub fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The spool of framed log records.
    pub fn spool_path(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// What the shim itself had to say.
    pub fn shim_log_path(&self) -> PathBuf {
        self.path.join("shim.log")
    }

    /// Where [`Exit`] appears, for a reader that waits for it.
    pub fn exit_path(&self) -> PathBuf {
        self.path.join("exit.json")
    }

    /// Who the shim is; `None` if none has got that far.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn shim(&self) -> Result<Option<ShimIdentity>, AttemptDirError> {
        self.read("shim.json")
    }

    /// Whether and when the script was released to start.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn started(&self) -> Result<Option<Started>, AttemptDirError> {
        self.read("started.json")
    }

    /// How the attempt ended; `None` while it has not, or if its shim died first.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn exit(&self) -> Result<Option<Exit>, AttemptDirError> {
        self.read("exit.json")
    }

    /// Records why the attempt is cancelled. The signal ([`crate::signal_shim`]) comes after it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_cancel(&self, reason: &str) -> Result<(), AttemptDirError> {
        self.write("cancel", reason.as_bytes(), Durability::Volatile)
    }

    /// Why the attempt is cancelled, if anybody said so. Bounded to 4 KiB.
    pub(crate) fn cancel_reason(&self) -> Option<String> {
        let mut text = Vec::new();
        File::open(self.path.join("cancel"))
            .ok()?
            .take(4096)
            .read_to_end(&mut text)
            .ok()?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn write_shim(&self, shim: &ShimIdentity) -> Result<(), AttemptDirError> {
        self.write_json("shim.json", shim, Durability::Volatile)
    }

    pub(crate) fn write_started(&self, started: &Started) -> Result<(), AttemptDirError> {
        self.write_json("started.json", started, Durability::Durable)
    }

    pub(crate) fn write_exit(&self, exit: &Exit) -> Result<(), AttemptDirError> {
        self.write_json("exit.json", exit, Durability::Durable)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, AttemptDirError> {
        let path = self.path.join(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file,
        };
        let mut bytes = Vec::new();
        file.and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
            .map_err(|source| AttemptDirError::Io {
                action: "read",
                path: path.clone(),
                source,
            })?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| AttemptDirError::Damaged { path, source })
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T, durability: Durability) -> Result<(), AttemptDirError> {
        let bytes = serde_json::to_vec(value).expect("these types have text keys and no failing serializers");
        self.write(name, &bytes, durability)
    }

    /// Makes the file appear whole or not at all: a temporary one beside it, renamed over it.
    fn write(&self, name: &str, bytes: &[u8], durability: Durability) -> Result<(), AttemptDirError> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!(".{name}.tmp"));
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(bytes)?;
            if durability == Durability::Durable {
                file.sync_data()?;
            }
            fs::rename(&temporary, &path)?;
            if durability == Durability::Durable {
                File::open(&self.path)?.sync_all()?;
            }
            Ok(())
        };
        written().map_err(|source| AttemptDirError::Io {
            action: "write",
            path: path.clone(),
            source,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// Of use only while this boot lasts.
    Volatile,
    /// Must survive loss of power.
    Durable,
}
