//! The shim's own life: take over the attempt's directory, make the sandbox, watch it, record the end.
//!
//! [`run`] is the sequence; [`launch`] makes the sandbox from the outside (its inside is `crate::sandbox`);
//! [`watch`] carries the output, the clock and the signals until the script has ended.

mod launch;
mod ownership;
mod watch;

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use crate::attempt_dir::{AttemptDir, AttemptDirError};
use crate::exit::{Exit, LogEnd, Outcome, Outputs, Usage};
use crate::launch::{open_lock, own_identity};
use crate::sandbox::{At, Failure, Step};
use crate::spec::Spec;
use crate::spool::Spool;
use crate::sys;

/// The largest spec, in bytes of JSON.
const MAX_SPEC: u64 = 64 << 20;
/// How often, a second apart, the end is tried to be written to a full disk.
const RECORD_TRIES: u32 = 600;

/// Runs the attempt in `dir`, whose spec is on standard input, to its end.
///
/// Standard output may be the lock, taken by whoever started us; standard error is for what the shim itself has to
/// say. The exit code is 0 if the end is on record, whatever it was.
pub fn run(dir: AttemptDir) -> ExitCode {
    match try_run(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulk-shim: {}: {error}", dir.path().display());
            ExitCode::FAILURE
        }
    }
}

/// Why no end could be recorded.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot take over from the starting process: {0}")]
    TakeOver(io::Error),
    #[error("another shim has the attempt's lock")]
    Locked,
    #[error("this attempt was started before")]
    StartedBefore,
    #[error("{error}: {}", std::error::Error::source(error).map(ToString::to_string).unwrap_or_default())]
    Dir {
        #[from]
        error: AttemptDirError,
    },
}

fn try_run(dir: &AttemptDir) -> Result<(), RunError> {
    sys::close_inherited().map_err(RunError::TakeOver)?;
    let _lock = take_lock(dir)?;
    let _ = rustix::process::setsid();
    let signals = sys::take_signals(&[libc::SIGTERM, libc::SIGINT]).map_err(RunError::TakeOver)?;
    dir.write_shim(&own_identity().map_err(RunError::TakeOver)?)?;
    if dir.started()?.is_some() || dir.exit()?.is_some() {
        return Err(RunError::StartedBefore);
    }
    let exit = match read_spec() {
        Ok(spec) => attempt(dir, &spec, signals),
        Err(failure) => no_start(failure),
    };
    record(dir, &exit)
}

/// Writes the end down. A full disk may have room again soon, and nothing else is worth as much to wait for.
fn record(dir: &AttemptDir, exit: &Exit) -> Result<(), RunError> {
    for _ in 0..RECORD_TRIES {
        match dir.write_exit(exit) {
            Err(error) if error.is_full() => std::thread::sleep(Duration::from_secs(1)),
            written => return Ok(written?),
        }
    }
    Ok(dir.write_exit(exit)?)
}

/// The lock comes as standard output from [`crate::spawn_shim`]; started by hand, we take it ourselves.
fn take_lock(dir: &AttemptDir) -> Result<File, RunError> {
    let own = open_lock(dir).map_err(RunError::TakeOver)?;
    let given = File::from(sys::take_standard(1).map_err(RunError::TakeOver)?);
    let same = |a: &File, b: &File| -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let (a, b) = (a.metadata()?, b.metadata()?);
        Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    let lock = if same(&own, &given).map_err(RunError::TakeOver)? {
        given
    } else {
        own
    };
    for _ in 0..100 {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            // Somebody who asks whether we live holds it for a moment.
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            Err(TryLockError::Error(error)) => return Err(RunError::TakeOver(error)),
        }
    }
    Err(RunError::Locked)
}

fn read_spec() -> Result<Spec, Failure> {
    let mut bytes = Vec::new();
    let input = sys::take_standard(0).at(Step::Spec)?;
    File::from(input)
        .take(MAX_SPEC)
        .read_to_end(&mut bytes)
        .at(Step::Spec)?;
    let spec: Spec = serde_json::from_slice(&bytes).map_err(|error| {
        // The error's text may quote a value, which may be a secret: only where it is gets out.
        Failure::new(
            Step::Spec,
            format_args!("not a spec, at line {} column {}", error.line(), error.column()),
        )
    })?;
    spec.validate().map_err(|error| Failure::new(Step::Spec, error))?;
    Ok(spec)
}

/// The end of an attempt that never got as far as a log.
fn no_start(failure: Failure) -> Exit {
    Exit {
        outcome: Outcome::SetupFailed {
            step: failure.step,
            error: failure.error,
        },
        started_at: None,
        finished_at: sys::now(),
        log: LogEnd::empty(),
        usage: Usage::default(),
        leftovers: false,
        outputs: Outputs::default(),
        missing: BTreeSet::new(),
    }
}

/// Makes the sandbox, watches it to its end, and puts everything away.
fn attempt(dir: &AttemptDir, spec: &Spec, signals: OwnedFd) -> Exit {
    let spool = match Spool::create(&dir.spool_path(), spec.log_quota_bytes).at(Step::Directory) {
        Ok(spool) => spool,
        Err(failure) => return no_start(failure),
    };
    match launch::launch(dir, spec) {
        Ok(running) => watch::watch(dir, spec, running, spool, &signals),
        Err(failure) => {
            let (log, _) = spool.finish();
            Exit {
                log,
                ..no_start(failure)
            }
        }
    }
}
