//! Whose a workspace is: on the disk the agent's, inside the job's.
//!
//! When the shim is root, the job's user has a host user id of its own, which owns nothing on the disk. So
//! the workspace is mounted with its owner mapped to the job's user and back (an idmapped mount): what the job
//! writes belongs to the agent on the disk, and nothing needs to be changed before or after. File systems that
//! cannot do it have their files given to the job's user instead.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Uid};
use rustix::mount::OpenTreeFlags;

use crate::sys::{self, Cloned, Recursive};

/// A user namespace that gives the owner of `path` on the disk the ids of the job.
pub(super) struct Mapping {
    namespace: OwnedFd,
    base: u32,
}

impl Mapping {
    /// Made by a process that lives for no longer than it takes.
    pub(super) fn new(path: &Path, base: u32) -> io::Result<Self> {
        let owner = fs::metadata(path)?;
        let (pid, pidfd) = match sys::clone3(libc::CLONE_NEWUSER, None)? {
            Cloned::Child => loop {
                sys::pause();
            },
            Cloned::Parent(pid, pidfd) => (pid, pidfd),
        };
        let made = || -> io::Result<OwnedFd> {
            fs::write(format!("/proc/{pid}/uid_map"), format!("{} {base} 1\n", owner.uid()))?;
            fs::write(format!("/proc/{pid}/gid_map"), format!("{} {base} 1\n", owner.gid()))?;
            Ok(fs::File::open(format!("/proc/{pid}/ns/user"))?.into())
        };
        let namespace = made();
        // The descriptor keeps the namespace; the process has done its work.
        let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
        sys::wait4(pid, 0)?;
        Ok(Self {
            namespace: namespace?,
            base,
        })
    }

    /// The tree at `path`, not attached anywhere, with its owner mapped; or given away for good.
    pub(super) fn tree(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let tree = rustix::mount::open_tree(CWD, path, flags)?;
        let userns_fd = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&self.namespace)).unwrap_or_default();
        let attr = libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_IDMAP,
            attr_clr: 0,
            propagation: 0,
            userns_fd,
        };
        if sys::mount_setattr(tree.as_fd(), Recursive::No, &attr).is_err() {
            give(path, self.base)?;
        }
        Ok(tree)
    }
}

/// Gives a whole tree to one user, following no link.
fn give(top: &Path, id: u32) -> io::Result<()> {
    let mut open = vec![top.to_owned()];
    while let Some(path) = open.pop() {
        rustix::fs::chownat(
            CWD,
            &path,
            Some(Uid::from_raw(id)),
            Some(Gid::from_raw(id)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if fs::symlink_metadata(&path)?.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        }
    }
    Ok(())
}
