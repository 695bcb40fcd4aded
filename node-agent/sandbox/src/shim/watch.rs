//! Watching a running script: its output, the clock, the agent's signals, and init's reports.
//!
//! One thread and one `poll`. Why the script is being ended is decided once, by whoever comes first; from
//! then on the way is fixed: SIGTERM to all, the grace, a kill of init, with which the kernel kills the rest.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use breakbulk_log_record::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::launch::{Running, order};
use crate::attempt_dir::AttemptDir;
use crate::exit::{Exit, Outcome, Outputs};
use crate::mask::Masker;
use crate::outputs;
use crate::sandbox::init::{Order, Report};
use crate::sandbox::{Failure, Step};
use crate::spec::Spec;
use crate::spool::Spool;
use crate::sys;

/// How much is read from the pipe at once: a record's largest payload.
const CHUNK: usize = breakbulk_log_record::MAX_PAYLOAD;
/// How often the kernel is asked to begin writing the spool to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long the pipe is read after everything that could write to it is dead.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the script is being ended before it ended itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Timeout,
    Cancel,
}

struct Watch<'a> {
    spec: &'a Spec,
    running: Running,
    log: Log,
    buffer: Vec<u8>,
    /// When the script's time is up.
    deadline: Option<Instant>,
    ending: Option<(Ending, Instant)>,
    killed: bool,
    report: Option<Report>,
    output_open: bool,
    control_open: bool,
}

/// Masking and the spool behind it.
struct Log {
    masker: Option<Masker>,
    masked: Vec<u8>,
    spool: Spool,
    synced: Instant,
    dirty: bool,
}

impl Log {
    fn append(&mut self, content: &[u8]) {
        match &mut self.masker {
            None => self.spool.append(Stream::Output, content),
            Some(masker) => {
                masker.push(content, &mut self.masked);
                self.spool.append(Stream::Output, &self.masked);
                self.masked.clear();
            }
        }
        self.dirty = true;
    }

    fn sync_if_due(&mut self) {
        if self.dirty && self.synced.elapsed() >= SYNC_EVERY {
            self.spool.start_sync();
            (self.synced, self.dirty) = (Instant::now(), false);
        }
    }

    fn close(mut self) -> Spool {
        if let Some(masker) = &mut self.masker {
            masker.finish(&mut self.masked);
            self.spool.append(Stream::Output, &self.masked);
        }
        self.spool
    }
}

/// Watches the script to its end and returns how it ended.
pub(super) fn watch(dir: &AttemptDir, spec: &Spec, running: Running, spool: Spool, signals: &OwnedFd) -> Exit {
    let started_at = running.started_at;
    let (masker, unmaskable) = match Masker::new(&spec.masks) {
        Ok(masker) => (masker, None),
        Err(error) => (
            None,
            Some(Failure::new(
                Step::Spec,
                format_args!("the masks are too much: {error}"),
            )),
        ),
    };
    let mut watch = Watch {
        spec,
        running,
        log: Log {
            masker,
            masked: Vec::new(),
            spool,
            synced: Instant::now(),
            dirty: false,
        },
        buffer: vec![0; CHUNK],
        deadline: spec.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        ending: None,
        killed: false,
        report: unmaskable.map(Report::Failed),
        output_open: true,
        control_open: true,
    };
    if watch.report.is_some() {
        watch.kill();
    }
    while !watch.step(signals) {}
    let ended = sys::wait4(watch.running.init, 0).ok().flatten();
    watch.drain();
    let reason = dir.cancel_reason();
    let usage = ended.as_ref().map(|e| e.usage.clone()).unwrap_or_default();
    let (outcome, outputs) = watch.conclude(
        ended.map_or(0, |e| e.status),
        reason,
        watch.running.groups.killed_for_memory(),
    );
    let leftovers = !watch.running.groups.remove();
    let missing = std::mem::take(&mut watch.running.missing);
    let (log, synced) = watch.log.close().finish();
    if let Err(error) = synced {
        eprintln!("bulk-shim: the spool could not be synced: {error}");
    }
    let started_at = (!matches!(outcome, Outcome::SetupFailed { .. })).then_some(started_at);
    Exit {
        outcome,
        started_at,
        finished_at: sys::now(),
        log,
        usage,
        leftovers,
        outputs,
        missing,
    }
}

impl Watch<'_> {
    /// Waits for the next thing to happen and deals with it. `true` once init is dead.
    fn step(&mut self, signals: &OwnedFd) -> bool {
        let wait = self
            .next_deadline()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let wait = wait.map(|w| Timespec {
            tv_sec: w.as_secs() as i64,
            tv_nsec: i64::from(w.subsec_nanos()),
        });
        // What is closed is left out: it would be ready for ever, and the wait would spin.
        let mut fds = Vec::with_capacity(4);
        fds.push(PollFd::new(&self.running.pidfd, PollFlags::IN));
        fds.push(PollFd::new(signals, PollFlags::IN));
        let control_at = self.control_open.then(|| {
            fds.push(PollFd::new(&self.running.control, PollFlags::IN));
            fds.len() - 1
        });
        let output_at = self.output_open.then(|| {
            fds.push(PollFd::new(&self.running.output, PollFlags::IN));
            fds.len() - 1
        });
        let polled = poll(&mut fds, wait.as_ref()).is_ok();
        let ready = |at: usize| polled && !fds[at].revents().is_empty();
        let (dead, signalled) = (ready(0), ready(1));
        let (reported, output) = (control_at.is_some_and(ready), output_at.is_some_and(ready));
        if signalled {
            let mut drain = [0u8; 512];
            while rustix::io::read(signals, &mut drain).is_ok_and(|n| n > 0) {}
            self.end(Ending::Cancel);
        }
        if output {
            self.output_open = self.read_output();
        }
        if reported {
            self.control_open = self.read_report();
        }
        self.look_at_the_clock();
        self.log.sync_if_due();
        dead
    }

    fn next_deadline(&self) -> Option<Instant> {
        let ending = match self.ending {
            Some((_, kill_at)) => (!self.killed).then_some(kill_at),
            None => self.deadline,
        };
        let sync = self.log.dirty.then(|| self.log.synced + SYNC_EVERY);
        [ending, sync].into_iter().flatten().min()
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|at| at <= now) {
            self.end(Ending::Timeout);
        }
        if self.ending.is_some_and(|(_, kill_at)| kill_at <= now) {
            self.kill();
        }
    }

    /// Begins to end the script, unless that has begun already or it has ended.
    fn end(&mut self, why: Ending) {
        if self.ending.is_some() || self.report.is_some() {
            return;
        }
        let now = Instant::now();
        self.ending = Some((why, now.checked_add(self.spec.grace).unwrap_or(now)));
        if order(&self.running.control, Order::Terminate).is_err() {
            self.kill();
        }
    }

    fn kill(&mut self) {
        if !self.killed {
            // It can only fail if init is dead, which is what is wanted.
            let _ = rustix::process::pidfd_send_signal(&self.running.pidfd, rustix::process::Signal::KILL);
            self.killed = true;
        }
    }

    /// Reads what is there. `false` at the end of the stream.
    fn read_output(&mut self) -> bool {
        match rustix::io::read(&self.running.output, &mut self.buffer[..]) {
            Ok(0) => false,
            Ok(count) => {
                self.log.append(&self.buffer[..count]);
                true
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
            Err(_) => false,
        }
    }

    /// Reads a report. `false` once none can come any more.
    fn read_report(&mut self) -> bool {
        let mut packet = vec![0; Report::MAX];
        match rustix::io::read(&self.running.control, &mut packet[..]) {
            Ok(0) => false,
            Ok(count) => {
                // The first report tells the cause, later ones its consequences.
                if self.report.is_none() {
                    self.report = Report::decode(&packet[..count]);
                }
                true
            }
            // An init that ended before it had read all orders is told by one reset, ahead of its last report.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => true,
            Err(_) => false,
        }
    }

    /// Everything that could write to the pipe is dead: reads what is left in it.
    fn drain(&mut self) {
        while self.control_open && self.read_report() {}
        let until = Instant::now() + DRAIN;
        while self.output_open && Instant::now() < until {
            let mut fds = [PollFd::new(&self.running.output, PollFlags::IN)];
            let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
            if poll(&mut fds, Some(&wait)).is_ok_and(|ready| ready > 0) {
                self.output_open = self.read_output();
            }
        }
    }

    /// One outcome out of what was seen.
    fn conclude(&mut self, init_status: i32, reason: Option<String>, killed: u64) -> (Outcome, Outputs) {
        let (ended, outputs) = match self.report.take() {
            Some(Report::Failed(Failure { step, error })) => {
                return (Outcome::SetupFailed { step, error }, Outputs::default());
            }
            Some(Report::Ended { status, outputs }) => (Some(status), Some(outputs)),
            None => (None, None),
        };
        let outputs = match outputs.as_deref().map(outputs::parse) {
            Some(Ok(outputs)) => Outputs::Ok(outputs),
            Some(Err(error)) => Outputs::Error(error),
            None => Outputs::default(),
        };
        let outcome = match (self.ending, ended) {
            (Some((Ending::Timeout, _)), _) => Outcome::TimedOut,
            (Some((Ending::Cancel, _)), _) => Outcome::Cancelled { reason },
            (None, status) => match (by_status(status.unwrap_or(init_status)), self.spec.limits.memory_bytes) {
                (Outcome::Exited { code: 0 }, _) => Outcome::Exited { code: 0 },
                (_, Some(limit_bytes)) if killed > 0 => Outcome::OutOfMemory { limit_bytes, killed },
                (ended, _) => ended,
            },
        };
        (outcome, outputs)
    }
}

/// How a process ended, from what `waitpid` tells.
fn by_status(status: i32) -> Outcome {
    if libc::WIFSIGNALED(status) {
        Outcome::Signaled {
            signal: libc::WTERMSIG(status),
        }
    } else {
        Outcome::Exited {
            code: libc::WEXITSTATUS(status),
        }
    }
}
