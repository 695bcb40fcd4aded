//! The tree of files the script sees: built in memory, out of read-only pieces of the host.
//!
//! Everything is mounted relative to the working directory, which is the new root while it is being
//! built. Sources on the host are cloned first ([`Tree::open`]), since the new root hides what is below it and
//! since the user who may open them is given up afterwards.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};

use super::{At, Failure, Step};
use crate::sys::{self, Recursive};

/// Where the script's own directory is, inside.
pub(crate) const WORKSPACE: &str = "/workspace";
/// Where the home directory is, inside.
pub(crate) const HOME: &str = "/home/ci";
/// The file the script writes its outputs to, inside.
pub(crate) const OUTPUT: &str = "/run/ci/output";
/// The script itself, inside.
pub(crate) const SCRIPT: &str = "/run/script";

/// Directories of the system a script needs to run programs. A symbolic link stays one.
const SYSTEM: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What of the host's `/etc` is shown as it is: programs' wiring, certificates, the time zone. Nothing
/// that names the host's users, services or secrets.
const ETC: [&str; 14] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki/ca-trust",
    "pki/tls",
    "ssl/certs",
    "ssl/openssl.cnf",
];

/// Names of hosts: only of use, and only true, on the host's own network.
const ETC_NETWORK: [&str; 6] = [
    "hosts",
    "resolv.conf",
    "nsswitch.conf",
    "gai.conf",
    "protocols",
    "services",
];

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What `/proc` shows read-only, and what it hides (after runc's and podman's lists, with the kernel's
/// own log and symbols added).
const PROC_READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
const PROC_HIDDEN: [&str; 12] = [
    "acpi",
    "asound",
    "kallsyms",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
    "key-users",
];

/// A piece of the host's tree, cloned and not attached anywhere yet.
pub(crate) struct Tree {
    fd: OwnedFd,
    kind: FileType,
}

/// Whether a mount may be written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

impl Tree {
    /// Clones the tree at `path`, whose last part may not be a symbolic link.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let tree = Self::from_fd(rustix::mount::open_tree(CWD, path, flags)?)?;
        match tree.kind {
            FileType::Symlink => Err(io::Error::other("is a symbolic link")),
            _ => Ok(tree),
        }
    }

    /// Takes a tree that was cloned elsewhere.
    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        Ok(Self { fd, kind })
    }

    /// Attaches the tree at `target`, which is made. Set-id bits and device nodes in it mean nothing.
    pub(crate) fn attach(&self, target: &Path, access: Access) -> io::Result<()> {
        let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        let set = if access == Access::ReadOnly {
            set | libc::MOUNT_ATTR_RDONLY
        } else {
            set
        };
        let attr = libc::mount_attr {
            attr_set: set,
            attr_clr: 0,
            propagation: 0,
            userns_fd: 0,
        };
        sys::mount_setattr(self.fd.as_fd(), Recursive::Yes, &attr)?;
        if self.kind == FileType::Directory {
            make_dir(target)?;
        } else {
            touch(target)?;
        }
        self.move_to(target)
    }

    fn move_to(&self, target: &Path) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(rustix::mount::move_mount(&self.fd, c"", CWD, target, flags)?)
    }
}

/// Makes a directory and what is missing above it; mostly nothing is.
fn make_dir(target: &Path) -> io::Result<()> {
    match fs::create_dir(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(target),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn touch(target: &Path) -> io::Result<()> {
    let make = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o444)
            .open(target)
            .map(drop)
    };
    match (make(), target.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent)?;
            make()
        }
        (made, _) => made,
    }
}

fn tmpfs(target: &str, flags: MountFlags, options: &str) -> io::Result<()> {
    make_dir(Path::new(target))?;
    let options = std::ffi::CString::new(options)?;
    let flags = flags | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount(
        "tmpfs",
        target,
        "tmpfs",
        flags,
        Some(options.as_c_str()),
    )?)
}

/// Mounts the private root over the host's `/tmp` (in this mount namespace only) and enters it.
pub(crate) fn enter_root() -> io::Result<()> {
    use rustix::mount::{MountPropagationFlags as Propagation, mount_change};
    mount_change("/", Propagation::REC | Propagation::PRIVATE)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", "/tmp", "tmpfs", flags, Some(c"mode=755,size=64m,nr_inodes=4k"))?;
    std::env::set_current_dir("/tmp")
}

/// The read-only system.
pub(crate) fn system() -> Result<(), Failure> {
    for name in SYSTEM {
        let host = Path::new("/").join(name);
        let Ok(found) = fs::symlink_metadata(&host) else {
            continue;
        };
        if found.is_symlink() {
            fs::read_link(&host)
                .and_then(|to| symlink(to, name))
                .at_path(Step::System, &host)?;
        } else {
            let tree = Tree::open(&host).at_path(Step::System, &host)?;
            tree.attach(Path::new(name), Access::ReadOnly)
                .at_path(Step::System, &host)?;
        }
    }
    Ok(())
}

/// Whether a path is part of the system that every script sees anyway.
pub(crate) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|name| path.starts_with(Path::new("/").join(name)))
}

/// `/etc`, made up but for a few pieces of the host's.
pub(crate) fn etc(hostname: &str, network: Names) -> io::Result<()> {
    fs::create_dir("etc")?;
    for name in ETC {
        show(name)?;
    }
    fs::write(
        "etc/passwd",
        format!(
            "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nci:x:1000:1000:ci:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
    )?;
    fs::write("etc/group", "root:x:0:\nci:x:1000:\nnogroup:x:65534:\n")?;
    fs::write("etc/hostname", format!("{hostname}\n"))?;
    if network == Names::Host {
        for name in ETC_NETWORK {
            copy(name)?;
        }
    }
    let hosts = fs::read_to_string("etc/hosts").unwrap_or_default();
    if !hosts
        .lines()
        .any(|line| line.split_ascii_whitespace().skip(1).any(|name| name == hostname))
    {
        let own = if network == Names::Host {
            ""
        } else {
            "127.0.0.1 localhost\n::1 localhost\n"
        };
        fs::write("etc/hosts", format!("{own}127.0.1.1 {hostname}\n{hosts}"))?;
    }
    if !Path::new("etc/nsswitch.conf").exists() {
        fs::write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")?;
    }
    Ok(())
}

/// Whose host names `/etc` gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Host,
    Own,
}

/// Shows a piece of the host's `/etc` as it is. What is missing, or not readable to us, is left out.
fn show(name: &str) -> io::Result<()> {
    let (host, target) = (Path::new("/etc").join(name), Path::new("etc").join(name));
    let Ok(found) = fs::symlink_metadata(&host) else {
        return Ok(());
    };
    if found.is_symlink() {
        fs::create_dir_all(target.parent().unwrap_or(Path::new("etc")))?;
        return symlink(fs::read_link(&host)?, &target);
    }
    Tree::open(&host)?.attach(&target, Access::ReadOnly)
}

/// Copies a small file of the host's `/etc`, following links (resolv.conf often is one, into /run).
fn copy(name: &str) -> io::Result<()> {
    match fs::read(Path::new("/etc").join(name)) {
        Ok(content) => fs::write(Path::new("etc").join(name), content),
        Err(_) => Ok(()),
    }
}

/// `/dev`: the harmless nodes, a terminal multiplexer of its own, shared memory.
pub(crate) fn devices(size: u64) -> Result<(), Failure> {
    tmpfs("dev", MountFlags::NOEXEC, "mode=755,size=64k,nr_inodes=64").at(Step::Devices)?;
    for name in DEVICES {
        let (host, target) = (Path::new("/dev").join(name), Path::new("dev").join(name));
        let tree = Tree::open(&host).at_path(Step::Devices, &host)?;
        touch(&target)
            .and_then(|()| tree.move_to(&target))
            .at_path(Step::Devices, &host)?;
    }
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ];
    for (to, name) in links {
        symlink(to, Path::new("dev").join(name)).at(Step::Devices)?;
    }
    tmpfs(
        "dev/shm",
        MountFlags::NOEXEC,
        &format!("mode=1777,size={size},nr_inodes=100k"),
    )
    .at(Step::Devices)?;
    fs::create_dir("dev/pts").at(Step::Devices)?;
    let options = Some(c"newinstance,ptmxmode=0666,mode=0620");
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("devpts", "dev/pts", "devpts", flags, options).at_path(Step::Devices, "devpts")
}

/// `/proc` of the new pid namespace, without what tells about the host or changes it.
pub(crate) fn proc() -> Result<(), Failure> {
    fs::create_dir("proc").at(Step::Proc)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "proc", "proc", flags, None).at(Step::Proc)?;
    for name in PROC_READ_ONLY {
        let path = Path::new("proc").join(name);
        if path.exists() {
            Tree::open(&path)
                .and_then(|t| reattach(&t, &path))
                .at_path(Step::Proc, &path)?;
        }
    }
    let nothing = nothing().at(Step::Proc)?;
    for name in PROC_HIDDEN {
        let path = Path::new("proc").join(name);
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        let source = if found.is_dir() { &nothing.dir } else { &nothing.file };
        Tree::open(source)
            .and_then(|t| reattach(&t, &path))
            .at_path(Step::Proc, &path)?;
    }
    Ok(())
}

fn reattach(tree: &Tree, target: &Path) -> io::Result<()> {
    let set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    sys::mount_setattr(tree.fd.as_fd(), Recursive::Yes, &attr)?;
    tree.move_to(target)
}

struct Nothing {
    dir: PathBuf,
    file: PathBuf,
}

/// An empty directory and an empty file, to cover things with.
fn nothing() -> io::Result<Nothing> {
    let nothing = Nothing {
        dir: "run/nothing/dir".into(),
        file: "run/nothing/file".into(),
    };
    fs::create_dir_all(&nothing.dir)?;
    touch(&nothing.file)?;
    Ok(nothing)
}

/// `/tmp` and the home directory: on the host's disk when it gives a place, else in memory.
pub(crate) fn temporary(scratch: Option<(Tree, Tree)>, size: u64) -> io::Result<()> {
    if let Some((tmp, home)) = scratch {
        tmp.attach(Path::new("tmp"), Access::ReadWrite)?;
        return home.attach(Path::new("home/ci"), Access::ReadWrite);
    }
    // A single file system for both would need no second mount, but then `/tmp` could not be cleared alone.
    tmpfs(
        "tmp",
        MountFlags::empty(),
        &format!("mode=1777,size={size},nr_inodes=200k"),
    )?;
    tmpfs(
        "home/ci",
        MountFlags::empty(),
        &format!("mode=777,size={size},nr_inodes=200k"),
    )
}

/// The script, the secret files and the file for outputs, which is the only writable one.
/// The secrets are `owner`'s alone, as programs insist that keys are. Returns the outputs file, opened for reading, so that it does not matter what becomes of its name.
pub(crate) fn files(spec: &crate::spec::Spec, owner: u32) -> Result<fs::File, Failure> {
    let inside = |path: &'static str| path.trim_start_matches('/');
    fs::create_dir_all("run/secrets").at(Step::Files)?;
    put(Path::new(inside(SCRIPT)), spec.script.as_bytes(), 0o444).at(Step::Files)?;
    for file in &spec.secret_files {
        let path = Path::new("run/secrets").join(&file.name);
        put(&path, file.content.expose(), 0o400).at_path(Step::Files, &path)?;
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).at_path(Step::Files, &path)?;
    }
    let limit = crate::outputs::MAX_TOTAL * 2;
    tmpfs(
        "run/ci",
        MountFlags::NOEXEC,
        &format!("mode=755,size={limit},nr_inodes=4"),
    )
    .at(Step::Files)?;
    let path = inside(OUTPUT);
    put(Path::new(path), b"", 0o666).at(Step::Files)?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).at(Step::Files)?;
    fs::File::open(path).at(Step::Files)
}

fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?
        .write_all(content)
}

/// Leaves the host's tree for the one that was built, and makes its root read-only.
pub(crate) fn pivot() -> io::Result<()> {
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
    Ok(rustix::mount::mount_remount("/", flags | MountFlags::BIND, c"")?)
}
