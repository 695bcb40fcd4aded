//! Making the sandbox from the outside: cgroups, pipes, the clone, the id maps, the record of the start.
//!
//! While init builds the tree inside, the shim writes the record of the start and sees it to the disk; the
//! script's process executes only once it hears that this is done. So the record is durable before the
//! first instruction of the script, and costs no time of its own.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;

use super::ownership::Mapping;
use crate::attempt_dir::{AttemptDir, Started};
use crate::cgroup::Groups;
use crate::layer::Layer;
use crate::sandbox;
use crate::sandbox::init::{self, Identity, Inside, JOB_UID, Order};
use crate::sandbox::{At, Failure, Step};
use crate::spec::{Network, Spec};
use crate::sys::{self, Cloned};

/// Bytes the output pipe holds: the most an ordinary user gets, and as much as one record takes.
const PIPE_SIZE: usize = 1 << 20;

/// First of the host's user ids that shims hand out by themselves. Two belong to each living shim: far above
/// what administrators and directories use, below the range that is reserved.
const FIRST_UID: u32 = 0x7000_0000;

/// A sandbox whose script is released to start.
pub(super) struct Running {
    pub(super) init: i32,
    pub(super) pidfd: OwnedFd,
    /// Orders to init, reports from it.
    pub(super) control: OwnedFd,
    /// The reading end of the output pipe.
    pub(super) output: OwnedFd,
    pub(super) started_at: u64,
    pub(super) groups: Groups,
    /// Layers of protection this attempt goes without.
    pub(super) missing: BTreeSet<Layer>,
}

pub(super) fn launch(dir: &AttemptDir, spec: &Spec) -> Result<Running, Failure> {
    let groups = Groups::make(&spec.name, spec.cgroup_parent.as_deref(), &spec.limits).at(Step::Cgroup)?;
    let launched = launch_in(dir, spec, &groups);
    match launched {
        Ok(running) => Ok(Running { groups, ..running }),
        Err(failure) => {
            groups.remove();
            Err(failure)
        }
    }
}

fn launch_in(dir: &AttemptDir, spec: &Spec, groups: &Groups) -> Result<Running, Failure> {
    let mut missing = sandbox::missing_layers();
    missing.extend(&groups.missing);
    let required: Vec<&Layer> = spec.require.intersection(&missing).collect();
    if !required.is_empty() {
        return Err(Failure::new(
            Step::Layers,
            format_args!("this host lacks {required:?}, which the job requires"),
        ));
    }
    let identity = identity(spec);
    let (output, output_inside) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at(Step::Pipes)?;
    // Over the user's allowance for pipes it stays at its default, which only costs speed.
    let _ = rustix::pipe::fcntl_setpipe_size(&output, PIPE_SIZE);
    rustix::io::ioctl_fionbio(&output, true).at(Step::Pipes)?;
    let (control, control_inside) = packets().at(Step::Pipes)?;
    let (gate, gate_inside) = packets().at(Step::Pipes)?;
    if let Identity::Range { base } = identity {
        // So that the script may open /dev/stdout anew: that asks for the pipe's permissions.
        let (uid, gid) = (rustix::fs::Uid::from_raw(base), rustix::fs::Gid::from_raw(base));
        rustix::fs::fchown(&output_inside, Some(uid), Some(gid)).at(Step::Pipes)?;
    }
    let (workspace, scratch) = host_trees(spec, identity)?;
    let inside = Inside {
        spec,
        identity,
        control: control_inside,
        gate: gate_inside,
        output: output_inside,
        workspace,
        scratch,
    };
    let birth = groups.birth().at(Step::Cgroup)?;
    let (init, pidfd) = match sys::clone3(namespaces(spec), birth.as_ref().map(AsFd::as_fd)).at(Step::Namespaces)? {
        Cloned::Child => {
            drop((control, gate, output));
            init::main(inside)
        }
        Cloned::Parent(init, pidfd) => (init, pidfd),
    };
    drop(inside);
    map_ids(init, identity)?;
    // Not before the clone: init's maps could not be written. From here on our memory is nobody's to read.
    sys::set_undumpable().at(Step::IdMap)?;
    order(&control, Order::Mapped)?;
    groups.enter(init).at(Step::Cgroup)?;
    order(&control, Order::Limited)?;
    let started_at = sys::now();
    dir.write_started(&Started { started_at })
        .map_err(|error| Failure::new(Step::Intent, error))?;
    order(&gate, Order::Execute)?;
    Ok(Running {
        init,
        pidfd,
        control,
        output,
        started_at,
        groups: Groups::default(),
        missing,
    })
}

/// The workspace; the directories for `/tmp` and the home directory.
type HostTrees = (Option<OwnedFd>, Option<(OwnedFd, OwnedFd)>);

/// The job's writable directories, with their owner mapped where that takes root's powers.
fn host_trees(spec: &Spec, identity: Identity) -> Result<HostTrees, Failure> {
    make_scratch(spec).at(Step::WorkspaceMap)?;
    let Identity::Range { base } = identity else {
        return Ok((None, None));
    };
    let mapping = Mapping::new(&spec.workspace, base).at_path(Step::WorkspaceMap, &spec.workspace)?;
    let tree = |path: &Path| mapping.tree(path).at_path(Step::WorkspaceMap, path);
    let scratch = match &spec.scratch {
        Some(dir) => Some((tree(&dir.join("tmp"))?, tree(&dir.join("home"))?)),
        None => None,
    };
    Ok((Some(tree(&spec.workspace)?), scratch))
}

fn make_scratch(spec: &Spec) -> std::io::Result<()> {
    for name in spec.scratch.iter().flat_map(|dir| [dir.join("tmp"), dir.join("home")]) {
        match fs::create_dir(&name) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    Ok(())
}

fn identity(spec: &Spec) -> Identity {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if !uid.is_root() {
        return Identity::Single {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
        };
    }
    // A process id belongs to one living process, and so do two user ids made of it.
    let own = || FIRST_UID + 2 * rustix::process::getpid().as_raw_pid().unsigned_abs();
    Identity::Range {
        base: spec.uid_base.unwrap_or_else(own),
    }
}

fn packets() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

fn namespaces(spec: &Spec) -> libc::c_int {
    let all = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    match spec.network {
        Network::Host => all,
        Network::None => all | libc::CLONE_NEWNET,
    }
}

/// Writes who is who inside. A script's user is always 1000 there.
fn map_ids(init: i32, identity: Identity) -> Result<(), Failure> {
    let write =
        |file: &str, content: String| fs::write(format!("/proc/{init}/{file}"), content).at_path(Step::IdMap, file);
    match identity {
        Identity::Range { base } => {
            let map = format!("0 {} 1\n{JOB_UID} {base} 1\n", base + 1);
            write("uid_map", map.clone())?;
            write("gid_map", map)
        }
        Identity::Single { uid, gid } => {
            write("setgroups", "deny".to_owned())?;
            write("uid_map", format!("0 {uid} 1\n"))?;
            write("gid_map", format!("0 {gid} 1\n"))
        }
    }
}

pub(super) fn order(to: &OwnedFd, order: Order) -> Result<(), Failure> {
    match rustix::net::send(to, &[order as u8], rustix::net::SendFlags::NOSIGNAL) {
        // Init is gone: whoever watches finds out why.
        Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
        Err(error) => Err(Failure::new(Step::Supervise, std::io::Error::from(error))),
    }
}
