//! System calls that no crate we use wraps, each with the argument why it is sound.
//!
//! Everything `unsafe` of the workspace is in this module. Nothing here decides anything.

use std::ffi::{CString, c_int};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::attempt_dir::ShimIdentity;

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Who a living process is. Reads `/proc`.
pub(crate) fn identity_of(pid: i32) -> io::Result<ShimIdentity> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name is in parentheses and may hold anything; the fields after it are numbers.
    let start_time = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok());
    let start_time = start_time.ok_or_else(|| io::Error::other("/proc/<pid>/stat has no start time"))?;
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(ShimIdentity {
        pid,
        start_time,
        boot_id,
    })
}

fn check(result: i64) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// What [`clone3`] returns, on either side.
pub(crate) enum Cloned {
    /// In the new process.
    Child,
    /// In the old one: the new one's id and a pidfd of it.
    Parent(i32, OwnedFd),
}

/// A new process, as by `fork`, in the namespaces of `flags` and, when given, in the cgroup (v2) of that
/// directory.
pub(crate) fn clone3(flags: c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut flags = u64::try_from(flags).unwrap_or_default() | u64::try_from(libc::CLONE_PIDFD).unwrap_or_default();
    // SAFETY: `clone_args` is a plain structure of integers, for which all zeroes is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    if let Some(cgroup) = cgroup {
        flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or_default();
    }
    args.flags = flags;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM the child gets a copy of the address space, as with fork. The caller has one
    // thread only, so no lock can be held by a thread that the child does not have. `args` and `pidfd`
    // outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match check(pid)? {
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: the kernel has just stored a new descriptor there, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent(
                i32::try_from(pid).expect("process ids fit in i32"),
                pidfd,
            ))
        }
    }
}

/// `mount_setattr` on the mount that `fd` is, and on all below it when `recursive` says so.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, recursive: Recursive, attr: &libc::mount_attr) -> io::Result<()> {
    let flags = match recursive {
        Recursive::Yes => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
        Recursive::No => libc::AT_EMPTY_PATH,
    };
    let size = size_of::<libc::mount_attr>();
    // SAFETY: the path is a constant C string, `attr` is valid for reads of the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attr,
            size,
        )
    };
    check(result).map(drop)
}

/// Whether a call covers what lies below.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursive {
    Yes,
    No,
}

/// Closes every descriptor but the standard ones: what leaked in from whoever started this process. For the
/// very beginning of `main`, when nothing else is open that is ours.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: at the beginning of `main` nobody owns a descriptor from 3 on yet.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }).map(drop)
}

/// Marks every descriptor from `first` on as closed by `execve`.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only a flag of the descriptors changes.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Takes over one of the descriptors 0 to 2 that the process was started with, leaving `/dev/null` there.
pub(crate) fn take_standard(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the standard descriptors exist for the whole process; the borrow ends within this function.
    let standard = unsafe { BorrowedFd::borrow_raw(fd) };
    let taken = rustix::io::fcntl_dupfd_cloexec(standard, 3)?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    put_standard(std::os::fd::AsFd::as_fd(&null), fd)?;
    Ok(taken)
}

/// Makes `fd` the descriptor `standard` (0 to 2), which survives `execve`.
pub(crate) fn put_standard(fd: BorrowedFd<'_>, standard: RawFd) -> io::Result<()> {
    debug_assert!((0..=2).contains(&standard), "only standard descriptors are replaced");
    // SAFETY: `fd` is open for the call; nothing owns a standard descriptor, so none is closed under an owner.
    check(i64::from(unsafe { libc::dup2(fd.as_raw_fd(), standard) })).map(drop)
}

/// Gives the free pages of the heap back to the system, where the C library can.
pub(crate) fn trim_heap() {
    // SAFETY: takes no pointer, and touches only what nobody has allocated.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}

fn prctl(option: c_int, argument: u64) -> io::Result<()> {
    // SAFETY: the options this module passes take an integer and no pointer.
    check(i64::from(unsafe { libc::prctl(option, argument, 0, 0, 0) })).map(drop)
}

/// Has the kernel kill this process when the thread that made it ends. A change of credentials clears it.
pub(crate) fn die_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)
}

/// Keeps others with the same user id from tracing this process or reading its `/proc` files; no core.
pub(crate) fn set_undumpable() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// From here on no program gains privileges by being executed.
pub(crate) fn set_no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Empties the bounding and the ambient set: no program executed from here on has a capability.
pub(crate) fn drop_bounding_capabilities() -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64)?;
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            // Beyond the last capability this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            dropped => dropped?,
        }
    }
    Ok(())
}

/// Empties the permitted, effective and inheritable sets.
pub(crate) fn clear_capabilities() -> io::Result<()> {
    // _LINUX_CAPABILITY_VERSION_3: a header of version and process, and two times three words.
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets = [0u32; 6];
    // SAFETY: both arrays have the layout and the size the kernel reads for this version.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// All three user and group ids, and no supplementary groups when `groups` says so.
pub(crate) fn become_user(id: u32, groups: Groups) -> io::Result<()> {
    if groups == Groups::Clear {
        // SAFETY: no pointer is read for a count of zero.
        check(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) })?;
    }
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, id, id, id) })?;
    // SAFETY: integers only. The process has one thread, so no other thread keeps the old ids.
    check(unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) }).map(drop)
}

/// What becomes of the supplementary groups.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    /// Dropped.
    Clear,
    /// Left, since `setgroups` is denied in this user namespace; they are unmapped and grant nothing new.
    Keep,
}

/// `fork`, for a process with one thread. `None` in the child.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the caller has one thread, so the child's copy of the address space is consistent.
    let pid = check(i64::from(unsafe { libc::fork() }))?;
    Ok((pid != 0).then(|| i32::try_from(pid).expect("process ids fit in i32")))
}

/// A process that ended, and what it used together with the children it waited for.
pub(crate) struct Ended {
    pub(crate) pid: i32,
    /// As `waitpid` tells it.
    pub(crate) status: c_int,
    pub(crate) usage: crate::exit::Usage,
}

/// Waits for a child: `pid`, or any when it is -1. `None` if none has ended yet and `options` has WNOHANG.
pub(crate) fn wait4(pid: i32, options: c_int) -> io::Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: `rusage` is a plain structure of integers, for which all zeroes is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to locals that outlive the call.
        let ended = unsafe { libc::wait4(pid, &raw mut status, options, &raw mut usage) };
        match check(i64::from(ended)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(0) => return Ok(None),
            Ok(_) => {
                return Ok(Some(Ended {
                    pid: ended,
                    status,
                    usage: usage_of(&usage),
                }));
            }
        }
    }
}

fn usage_of(usage: &libc::rusage) -> crate::exit::Usage {
    let micros = |t: libc::timeval| u64::try_from(t.tv_sec * 1_000_000 + t.tv_usec).unwrap_or_default();
    crate::exit::Usage {
        user_cpu_micros: micros(usage.ru_utime),
        system_cpu_micros: micros(usage.ru_stime),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or_default() * 1024,
    }
}

/// Blocks every signal that can be blocked and returns a descriptor on which `wanted` are read.
pub(crate) fn take_signals(wanted: &[c_int]) -> io::Result<OwnedFd> {
    // SAFETY: `sigset_t` is plain data that sigfillset and sigemptyset initialise.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a local signal set.
    unsafe { libc::sigfillset(&raw mut set) };
    // SAFETY: `set` is initialised; the old mask is not asked for.
    check(i64::from(unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    }))?;
    // SAFETY: `set` is a local signal set.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in wanted {
        // SAFETY: `set` is initialised.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: `set` is initialised; -1 asks for a new descriptor.
    let fd = check(i64::from(unsafe {
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    }))?;
    // SAFETY: the kernel has just returned a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).expect("descriptors fit in an int")) })
}

/// Lets all signals through again and gives them their default meaning, for the script.
pub(crate) fn reset_signals() -> io::Result<()> {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is no function; failures (SIGKILL, libc's own signals) change nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: `sigset_t` is plain data that sigemptyset initialises.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a local signal set.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: `set` is initialised; the old mask is not asked for.
    check(i64::from(unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    }))
    .map(drop)
}

/// SIGKILL or SIGTERM to every process this one may signal but itself: as pid 1, to the whole namespace.
pub(crate) fn signal_all(signal: c_int) -> io::Result<()> {
    // SAFETY: integers only.
    check(i64::from(unsafe { libc::kill(-1, signal) })).map(drop)
}

/// Ends this process without running destructors or exit handlers, which belong to the process it was
/// forked from.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: always sound; nothing runs after it.
    unsafe { libc::_exit(code) }
}

/// Replaces the program. Returns only if that fails.
pub(crate) fn execve(program: &CString, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer and point to C strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// A limit of this process and what it starts, soft and hard.
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` is a local that outlives the call.
    check(i64::from(unsafe { libc::setrlimit(resource, &raw const limit) })).map(drop)
}

/// The hard limit this process has.
pub(crate) fn hard_limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a local that outlives the call.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    limit.rlim_max
}

/// Installs a seccomp filter on this thread; needs no_new_privs or privileges.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::other("the filter is too long"))?;
    let program = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads `len` instructions from `filter`, which the slice guarantees, and keeps no
    // pointer.
    let set = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    check(set).map(drop)
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: integers only.
    let fd = check(i64::from(unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
    }))?;
    // SAFETY: the kernel has just returned a new descriptor, which nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).expect("descriptors fit in an int")) };
    // SAFETY: `ifreq` is plain data, for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).unwrap_or_default();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which outlives the call.
    check(i64::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    }))
    .map(drop)
}

/// Has the kernel begin to write the file's dirty pages to the disk. A hint: failures mean nothing.
pub(crate) fn start_writeback(file: BorrowedFd<'_>) {
    // SAFETY: integers only, on a descriptor that is open for the call.
    unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Waits for a signal.
pub(crate) fn pause() {
    // SAFETY: always sound.
    unsafe { libc::pause() };
}

/// The version of the kernel's Landlock interface; 0 where there is none.
pub(crate) fn landlock_version() -> i64 {
    const CREATE_RULESET_VERSION: u32 = 1;
    let nothing = std::ptr::null::<u8>();
    // SAFETY: with this flag the kernel reads nothing and returns a number.
    unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            nothing,
            0usize,
            CREATE_RULESET_VERSION,
        )
    }
    .max(0)
}
