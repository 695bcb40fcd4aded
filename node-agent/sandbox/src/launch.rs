//! Starting a shim, asking whether it lives, and signalling it: the agent's side.
//!
//! The life of a shim is told by its lock, which is taken before the shim starts and handed to it, so
//! there is no moment in which a started shim looks dead. Process ids are only used behind a pidfd whose
//! start time was compared.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags};

use crate::attempt_dir::{AttemptDir, AttemptDirError, ShimIdentity};
use crate::spec::{Spec, SpecError};
use crate::sys;

/// Why a shim was not started or not signalled.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The spec is wrong; nothing was touched.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The attempt's directory does not play along.
    #[error(transparent)]
    Dir(#[from] AttemptDirError),
    /// A shim of this attempt lives.
    #[error("a shim of this attempt is running already")]
    Running,
    /// This attempt was started before. A script starts at most once, so it is never started again.
    #[error("this attempt was started before, and an attempt starts at most once")]
    StartedBefore,
    /// The lock could not be opened or asked for.
    #[error("cannot use the attempt's lock")]
    Lock(#[source] io::Error),
    /// The spec could not be handed over.
    #[error("cannot hand the spec to the shim")]
    Handover(#[source] io::Error),
    /// The shim could not be started.
    #[error("cannot start the shim {path:?}")]
    Spawn {
        /// The shim's program.
        path: std::path::PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The shim could not be signalled.
    #[error("cannot signal the shim")]
    Signal(#[source] io::Error),
}

/// What a shim can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End the script: SIGTERM, its grace, then a kill. The outcome is `Cancelled`.
    Cancel,
    /// Kill the shim and with it the whole tree, at once. No outcome is recorded.
    Kill,
}

/// Starts the shim at `shim` for the attempt in `dir`, which must exist.
///
/// Returns as soon as the shim is started; it is the caller's child only in that it has to be waited for
/// to leave the process table. It does not end with the caller. This blocks for about a millisecond.
///
/// # Errors
/// When the spec is not valid, the attempt was started before, or the system refuses.
pub fn spawn_shim(shim: &Path, dir: &AttemptDir, spec: &Spec) -> Result<Child, LaunchError> {
    spec.validate()?;
    let lock = open_lock(dir).map_err(LaunchError::Lock)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LaunchError::Running),
        Err(TryLockError::Error(error)) => return Err(LaunchError::Lock(error)),
    }
    if dir.started()?.is_some() || dir.exit()?.is_some() {
        return Err(LaunchError::StartedBefore);
    }
    let input = in_memory(spec).map_err(LaunchError::Handover)?;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.shim_log_path());
    let log = log.map_err(LaunchError::Handover)?;
    // The lock travels as standard output: it belongs to the open file, which the shim keeps.
    Command::new(shim)
        .arg(dir.path())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(lock))
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|source| LaunchError::Spawn {
            path: shim.to_owned(),
            source,
        })
}

/// Whether the attempt's shim lives, by its lock.
///
/// # Errors
/// When the lock file cannot be opened; a missing one means that no shim lives.
pub fn is_alive(dir: &AttemptDir) -> io::Result<bool> {
    let lock = match File::open(dir.lock_path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        lock => lock?,
    };
    // Shared, so that two who ask at once do not take each other for the shim.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Signals the attempt's shim, and nobody else. `Ok(false)` means that there is none to signal (any more).
///
/// # Errors
/// When its identity cannot be read or the system refuses.
pub fn signal_shim(dir: &AttemptDir, signal: Signal) -> Result<bool, LaunchError> {
    if !is_alive(dir).map_err(LaunchError::Lock)? {
        return Ok(false);
    }
    let Some(shim) = dir.shim()? else { return Ok(false) };
    let Some(pid) = Pid::from_raw(shim.pid) else {
        return Ok(false);
    };
    let gone = |error: rustix::io::Errno| error == rustix::io::Errno::SRCH;
    let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Err(error) if gone(error) => return Ok(false),
        pidfd => pidfd.map_err(|error| LaunchError::Signal(error.into()))?,
    };
    // Compared after the pidfd was opened: now the id cannot change hands any more.
    if sys::identity_of(shim.pid).ok() != Some(shim) {
        return Ok(false);
    }
    let signal = match signal {
        Signal::Cancel => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    match rustix::process::pidfd_send_signal(&pidfd, signal) {
        Err(error) if gone(error) => Ok(false),
        sent => sent.map(|()| true).map_err(|error| LaunchError::Signal(error.into())),
    }
}

pub(crate) fn open_lock(dir: &AttemptDir) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.lock_path())
}

/// The spec as JSON in a file that exists in memory alone: it holds secrets, and a pipe could block us.
fn in_memory(spec: &Spec) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("spec", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(io::BufWriter::new(&mut file), spec)?;
    file.flush()?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// The shim's own identity.
pub(crate) fn own_identity() -> io::Result<ShimIdentity> {
    sys::identity_of(rustix::process::getpid().as_raw_pid())
}
