//! Init: pid 1 of the sandbox. It walks the steps, starts the script, reaps, and reports how it ended.
//!
//! When it exits, the kernel kills whatever is left in its pid namespace; when the shim dies, the kernel
//! kills it. It holds no secret the script does not have, and no descriptor but the control socket.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};

use super::mounts::{self, Access, Tree};
use super::{At, Failure, Step, landlock, seccomp};
use crate::spec::{Network, Spec};
use crate::sys::{self, Groups};

/// The script's user, inside.
pub(crate) const JOB_UID: u32 = 1000;

/// What init tells the shim, one packet each.
#[derive(Debug)]
pub(crate) enum Report {
    /// A step failed; the script never ran.
    Failed(Failure),
    /// The script's shell ended, as `waitpid` tells it, and this is in its outputs file.
    Ended { status: i32, outputs: Vec<u8> },
}

impl Report {
    /// The largest packet.
    pub(crate) const MAX: usize = crate::outputs::MAX_TOTAL + 4096;

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Failed(failure) => {
                let failure = serde_json::to_vec(failure).expect("a failure has text keys and no failing serializer");
                [b"F", failure.as_slice()].concat()
            }
            Self::Ended { status, outputs } => [b"E", status.to_le_bytes().as_slice(), outputs].concat(),
        }
    }

    /// Reads a packet; `None` if it is not one.
    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        match packet.split_first()? {
            (b'F', failure) => serde_json::from_slice(failure).ok().map(Self::Failed),
            (b'E', rest) => {
                let (status, outputs) = rest.split_first_chunk::<4>()?;
                Some(Self::Ended {
                    status: i32::from_le_bytes(*status),
                    outputs: outputs.to_vec(),
                })
            }
            _ => None,
        }
    }
}

/// What the shim tells init (or, for the second, the script's process): one byte each.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// The user ids are mapped: go on.
    Mapped = b'M',
    /// Init is in the job's control groups: what it starts from now on is in them too.
    Limited = b'L',
    /// The start is recorded: execute.
    Execute = b'X',
    /// SIGTERM to everything.
    Terminate = b'T',
}

/// How user ids are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The shim is root: the sandbox's root and the job's user are two host ids of the job's own.
    Range { base: u32 },
    /// The shim is an ordinary user: the job's user is the shim's, two user namespaces down.
    Single { uid: u32, gid: u32 },
}

/// Everything init needs, made ready before the clone.
pub(crate) struct Inside<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) identity: Identity,
    /// Orders to init and reports of it.
    pub(crate) control: OwnedFd,
    /// On which the script's process waits for [`Order::Execute`].
    pub(crate) gate: OwnedFd,
    /// The writing end of the output pipe.
    pub(crate) output: OwnedFd,
    /// The workspace, cloned with its owner mapped to the job's user, where the shim could do that.
    pub(crate) workspace: Option<OwnedFd>,
    /// The same for the directories of `/tmp` and the home directory.
    pub(crate) scratch: Option<(OwnedFd, OwnedFd)>,
}

/// The life of init. Never returns.
pub(crate) fn main(inside: Inside<'_>) -> ! {
    let control = match inside.control.try_clone() {
        Ok(control) => control,
        Err(_) => sys::exit_now(1),
    };
    match set_up(inside).and_then(|started| supervise(&control, started)) {
        Ok(()) => sys::exit_now(0),
        Err(failure) => {
            send(&control, &Report::Failed(failure));
            sys::exit_now(1)
        }
    }
}

struct StartedScript {
    pid: i32,
    outputs: File,
    signals: OwnedFd,
}

fn set_up(inside: Inside<'_>) -> Result<StartedScript, Failure> {
    let Inside {
        spec,
        identity,
        control,
        gate,
        output,
        workspace,
        scratch,
    } = inside;
    expect(&control, Order::Mapped).at(Step::IdMap)?;
    sys::die_with_parent().at(Step::ParentDeath)?;
    rustix::process::setsid().at(Step::ParentDeath)?;
    nix::unistd::sethostname(&spec.hostname).at(Step::Hostname)?;
    if spec.network == Network::None {
        sys::loopback_up().at(Step::Loopback)?;
    }
    let sources = Sources::open(spec, workspace, scratch)?;
    let groups = if let Identity::Range { .. } = identity {
        Groups::Clear
    } else {
        Groups::Keep
    };
    sys::become_user(0, groups).at(Step::Identity)?;
    sys::die_with_parent().at(Step::Identity)?;
    let outputs = build_tree(spec, identity, sources)?;
    limits(spec)?;
    privileges(identity)?;
    expect(&control, Order::Limited).at(Step::Cgroup)?;
    let signals = sys::take_signals(&[libc::SIGCHLD]).at(Step::Fork)?;
    match sys::fork().at(Step::Fork)? {
        Some(pid) => Ok(StartedScript { pid, outputs, signals }),
        None => {
            let failure = run_script(spec, &gate, &output);
            send(&control, &Report::Failed(failure));
            sys::exit_now(127)
        }
    }
}

/// What is taken from the host, opened while we may still open it.
struct Sources {
    workspace: Tree,
    exposed: Vec<(PathBuf, Tree)>,
    scratch: Option<(Tree, Tree)>,
}

impl Sources {
    fn open(spec: &Spec, workspace: Option<OwnedFd>, scratch: Option<(OwnedFd, OwnedFd)>) -> Result<Self, Failure> {
        let open = |path: &Path| Tree::open(path).at_path(Step::Sources, path);
        let workspace = match workspace {
            Some(tree) => Tree::from_fd(tree).at(Step::Sources)?,
            None => open(&spec.workspace)?,
        };
        let scratch = match (scratch, &spec.scratch) {
            (Some((tmp, home)), _) => Some((
                Tree::from_fd(tmp).at(Step::Sources)?,
                Tree::from_fd(home).at(Step::Sources)?,
            )),
            (None, Some(dir)) => Some((open(&dir.join("tmp"))?, open(&dir.join("home"))?)),
            (None, None) => None,
        };
        let exposed = spec
            .expose
            .iter()
            .map(|path| Ok((path.clone(), open(path)?)))
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            workspace,
            exposed,
            scratch,
        })
    }
}

fn build_tree(spec: &Spec, identity: Identity, sources: Sources) -> Result<File, Failure> {
    let names = if spec.network == Network::Host {
        mounts::Names::Host
    } else {
        mounts::Names::Own
    };
    let size = spec.limits.tmp_bytes.unwrap_or(1 << 30);
    mounts::enter_root().at(Step::Root)?;
    mounts::system()?;
    mounts::etc(&spec.hostname, names).at(Step::Etc)?;
    mounts::devices(size)?;
    mounts::proc()?;
    mounts::temporary(sources.scratch, size).at(Step::Temporary)?;
    for (path, tree) in sources.exposed {
        if mounts::is_system(&path) {
            continue;
        }
        let inside = path.strip_prefix("/").unwrap_or(&path);
        tree.attach(inside, Access::ReadOnly).at_path(Step::Expose, &path)?;
    }
    sources
        .workspace
        .attach(Path::new("workspace"), Access::ReadWrite)
        .at(Step::Workspace)?;
    // The one id of an ordinary user is still called 0 here; it gets the job's name later.
    let owner = if let Identity::Range { .. } = identity {
        JOB_UID
    } else {
        0
    };
    let outputs = mounts::files(spec, owner)?;
    mounts::pivot().at(Step::Pivot)?;
    Ok(outputs)
}

/// Limits per process: what no cgroup covers, and a backstop where there is none.
fn limits(spec: &Spec) -> Result<(), Failure> {
    // Hard limits can only be lowered here, so the host's own is the most there is.
    let lower = |resource, value: u64| {
        let hard = value.min(sys::hard_limit(resource));
        sys::set_limit(resource, hard, hard).at(Step::Limits)
    };
    lower(libc::RLIMIT_CORE, 0)?;
    lower(libc::RLIMIT_MEMLOCK, 64 << 10)?;
    lower(libc::RLIMIT_MSGQUEUE, 800 << 10)?;
    if let Some(pids) = spec.limits.pids {
        // Counted per user and user namespace, so it holds for the job alone; here for hosts without cgroups.
        lower(libc::RLIMIT_NPROC, pids)?;
    }
    if let Some(bytes) = spec.limits.file_bytes {
        lower(libc::RLIMIT_FSIZE, bytes)?;
    }
    let files = spec
        .limits
        .open_files
        .unwrap_or(65_536)
        .min(sys::hard_limit(libc::RLIMIT_NOFILE));
    // A low soft limit keeps programs that close every descriptor quick; those that need more raise it.
    sys::set_limit(libc::RLIMIT_NOFILE, files.min(1024), files).at(Step::Limits)?;
    let stack = sys::hard_limit(libc::RLIMIT_STACK);
    sys::set_limit(libc::RLIMIT_STACK, stack.min(8 << 20), stack).at(Step::Limits)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    Ok(())
}

/// Becomes the job's user for good.
fn privileges(identity: Identity) -> Result<(), Failure> {
    if let Identity::Single { .. } = identity {
        // The one id we have is root here. A second user namespace renames it, and leaves the mounts and
        // the other namespaces to the first, whose capabilities the script can then never have.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).at(Step::Privileges)?;
        std::fs::write("/proc/self/uid_map", format!("{JOB_UID} 0 1")).at(Step::Privileges)?;
        std::fs::write("/proc/self/gid_map", format!("{JOB_UID} 0 1")).at(Step::Privileges)?;
    }
    sys::drop_bounding_capabilities().at(Step::Privileges)?;
    let groups = if let Identity::Range { .. } = identity {
        Groups::Clear
    } else {
        Groups::Keep
    };
    sys::become_user(JOB_UID, groups).at(Step::Privileges)?;
    sys::clear_capabilities().at(Step::Privileges)?;
    sys::die_with_parent().at(Step::Privileges)?;
    sys::set_undumpable().at(Step::Privileges)
}

/// The script's process, up to `execve`. Returns only if something fails.
fn run_script(spec: &Spec, gate: &OwnedFd, output: &OwnedFd) -> Failure {
    match try_run_script(spec, gate, output) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

enum Never {}

fn try_run_script(spec: &Spec, gate: &OwnedFd, output: &OwnedFd) -> Result<Never, Failure> {
    rustix::process::setsid().at(Step::Fork)?;
    sys::set_no_new_privileges().at(Step::Fork)?;
    let dir = Path::new(mounts::WORKSPACE).join(&spec.working_dir);
    std::env::set_current_dir(&dir).at_path(Step::WorkingDir, &spec.working_dir)?;
    sys::put_standard(output.as_fd(), 1).at(Step::Exec)?;
    sys::put_standard(output.as_fd(), 2).at(Step::Exec)?;
    sys::close_on_exec_from(3).at(Step::Exec)?;
    let env = environment(spec);
    let argv: Vec<CString> = spec
        .shell
        .iter()
        .map(String::as_str)
        .chain([mounts::SCRIPT])
        .map(c_string)
        .collect();
    let programs = candidates(&spec.shell[0], &env);
    let env: Vec<CString> = env
        .iter()
        .map(|(name, value)| c_string(&format!("{name}={value}")))
        .collect();
    let filter = seccomp::filter(spec.tracing);
    landlock::restrict().at(Step::Landlock)?;
    expect(gate, Order::Execute).at(Step::Intent)?;
    sys::reset_signals().at(Step::Exec)?;
    seccomp::restrict(&filter).at(Step::Seccomp)?;
    let mut refused = None;
    for program in programs {
        let error = sys::execve(&program, &argv, &env);
        if error.kind() != io::ErrorKind::NotFound {
            refused.get_or_insert(error);
        }
    }
    Err(Failure::new(
        Step::Exec,
        match refused {
            Some(error) => format!("shell {:?} cannot be executed in the sandbox: {error}", spec.shell[0]),
            None => format!("shell {:?} not found in the sandbox", spec.shell[0]),
        },
    ))
}

fn c_string(text: &str) -> CString {
    // The spec was checked for NUL bytes.
    CString::new(text).unwrap_or_default()
}

/// The script's whole environment: the spec's, and what every program expects where that is silent.
fn environment(spec: &Spec) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::with_capacity(spec.env.len() + 9);
    for var in &spec.env {
        // The last of a name wins, as in a shell.
        env.retain(|(name, _)| *name != var.name);
        env.push((var.name.clone(), var.value.clone()));
    }
    let defaults = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", mounts::HOME),
        ("TMPDIR", "/tmp"),
        ("USER", "ci"),
        ("LOGNAME", "ci"),
        ("SHELL", "/bin/sh"),
        ("CI_WORKSPACE", mounts::WORKSPACE),
        ("CI_OUTPUT", mounts::OUTPUT),
    ];
    for (name, value) in defaults {
        if !env.iter().any(|(known, _)| known == name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    }
    env
}

/// Where the shell may be: its path, or its name in each directory of the job's `PATH`.
fn candidates(shell: &str, env: &[(String, String)]) -> Vec<CString> {
    if shell.contains('/') {
        return vec![c_string(shell)];
    }
    let path = env
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or("", |(_, value)| value.as_str());
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| c_string(&format!("{dir}/{shell}")))
        .collect()
}

/// Reaps until the script's shell has ended, and passes SIGTERM on when the shim says so.
fn supervise(control: &OwnedFd, started: StartedScript) -> Result<(), Failure> {
    let StartedScript { pid, outputs, signals } = started;
    loop {
        let mut fds = [
            PollFd::new(control, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled.at(Step::Supervise)?,
        };
        let (ordered, signalled) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if signalled {
            let mut drain = [0u8; 512];
            while rustix::io::read(&signals, &mut drain).is_ok_and(|n| n > 0) {}
            while let Some(ended) = sys::wait4(-1, libc::WNOHANG).ok().flatten() {
                if ended.pid == pid {
                    send(
                        control,
                        &Report::Ended {
                            status: ended.status,
                            outputs: read_outputs(outputs),
                        },
                    );
                    return Ok(());
                }
            }
        }
        if ordered {
            let mut order = [0u8; 1];
            match rustix::io::read(control, &mut order[..]) {
                // The shim is gone; so are we, and everything with us.
                Ok(0) => return Ok(()),
                Ok(_) if order[0] == Order::Terminate as u8 => drop(sys::signal_all(libc::SIGTERM)),
                _ => {}
            }
        }
    }
}

fn read_outputs(outputs: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    let most = crate::outputs::MAX_TOTAL as u64 + 1;
    // The file is in memory: reading it fails only with the machine.
    let _ = outputs.take(most).read_to_end(&mut bytes);
    bytes
}

fn expect(control: &OwnedFd, order: Order) -> io::Result<()> {
    let mut byte = [0u8; 1];
    loop {
        match rustix::io::read(control, &mut byte[..]) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(1) if byte[0] == order as u8 => return Ok(()),
            Ok(_) => return Err(io::Error::other("the shim gave up")),
            Err(error) => return Err(error.into()),
        }
    }
}

fn send(control: &OwnedFd, report: &Report) {
    // If the shim is gone nobody is left to be told.
    let _ = rustix::io::write(control, &report.encode());
}
