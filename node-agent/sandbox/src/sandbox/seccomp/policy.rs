//! Which system calls a script may make, as data, each group with its reason.
//!
//! What stands in no group is answered with ENOSYS, as if the kernel were older: C libraries then fall back
//! to an older call, and a call that is new tomorrow is not allowed before somebody has looked at it. The
//! selection follows podman's default profile, without what that leaves to capabilities.

use libc::{ENOSYS, EPERM};

use super::compile::{Condition, Verdict};

/// System calls with one verdict, and why.
pub(super) struct Group {
    #[expect(dead_code, reason = "for whoever reads or audits the policy")]
    pub(super) reason: &'static str,
    pub(super) verdict: Verdict,
    pub(super) calls: &'static [libc::c_long],
}

/// Numbers of system calls by their names; one is missing from the C library's headers of some architectures.
macro_rules! calls {
    [$($name:ident)*] => { &[$(calls!(@$name)),*] };
    (@SYS_fchmodat2) => { 452 };
    (@$name:ident) => { libc::$name };
}

const S_ISUID_OR_S_ISGID: u32 = 0o6000;
/// Set in the modes of both kinds of device nodes, and of nothing else that can be made.
const DEVICE_NODE: u32 = 0o020_000;
const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;
const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u32;
/// Local sockets, the internet, and the kernel's routing tables (name look-ups read those). Not among
/// them: vsock, which no network namespace covers, the kernel's cryptography, raw packets.
const FAMILIES: &[u32] = &[
    libc::AF_UNIX as u32,
    libc::AF_INET as u32,
    libc::AF_INET6 as u32,
    libc::AF_NETLINK as u32,
];
/// The usual one, 32-bit processes' and version 2.6's (as docker allows), and the question which it is.
const PERSONALITIES: &[u32] = &[0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The groups that hold on every architecture.
pub(super) const GROUPS: &[Group] = &[
    Group {
        reason: "Files and directories, by the permissions they have.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_faccessat SYS_faccessat2 SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64
            SYS_preadv SYS_pwritev SYS_preadv2 SYS_pwritev2 SYS_lseek SYS_close SYS_close_range SYS_dup SYS_dup3
            SYS_fcntl SYS_flock SYS_fstat SYS_newfstatat SYS_statx SYS_statfs SYS_fstatfs SYS_getdents64
            SYS_getcwd SYS_chdir SYS_fchdir SYS_mkdirat SYS_unlinkat SYS_renameat SYS_renameat2 SYS_linkat
            SYS_symlinkat SYS_readlinkat SYS_truncate SYS_ftruncate SYS_fallocate SYS_fadvise64 SYS_readahead
            SYS_fsync SYS_fdatasync SYS_sync SYS_syncfs SYS_sync_file_range SYS_copy_file_range SYS_sendfile
            SYS_splice SYS_tee SYS_vmsplice SYS_utimensat SYS_fchown SYS_fchownat SYS_umask
            SYS_name_to_handle_at SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr SYS_llistxattr
            SYS_flistxattr SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_removexattr SYS_lremovexattr
            SYS_fremovexattr SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch
        ],
    },
    Group {
        reason: "Memory of the process itself.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_brk SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_madvise SYS_msync SYS_mincore SYS_mlock
            SYS_mlock2 SYS_mlockall SYS_munlock SYS_munlockall SYS_memfd_create SYS_mseal SYS_remap_file_pages
            SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_membarrier SYS_process_madvise
            SYS_process_mrelease
        ],
    },
    Group {
        reason: "Processes and threads; new namespaces are looked at below.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_kill SYS_tkill SYS_tgkill
            SYS_getpid SYS_getppid SYS_gettid SYS_getpgid SYS_setpgid SYS_getsid SYS_setsid SYS_set_tid_address
            SYS_prctl SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_futex SYS_futex_waitv SYS_getcpu
            SYS_sched_yield SYS_pidfd_open SYS_pidfd_send_signal SYS_restart_syscall
        ],
    },
    Group {
        reason: "Users and capabilities: a script has one user and no capability, so these change nothing.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups SYS_setuid
            SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid
            SYS_setgroups SYS_capget SYS_capset
        ],
    },
    Group {
        reason: "Priorities and limits, which the kernel lets a script only lower.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_getpriority SYS_setpriority SYS_ioprio_get SYS_ioprio_set SYS_getrlimit SYS_setrlimit
            SYS_prlimit64 SYS_getrusage SYS_times SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getattr
            SYS_sched_setattr SYS_sched_getparam SYS_sched_setparam SYS_sched_getscheduler
            SYS_sched_setscheduler SYS_sched_get_priority_max SYS_sched_get_priority_min
            SYS_sched_rr_get_interval
        ],
    },
    Group {
        reason: "Signals.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn
            SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sigaltstack SYS_signalfd4
        ],
    },
    Group {
        reason: "Waiting for descriptors.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2
            SYS_pipe2
        ],
    },
    Group {
        reason: "Reading clocks, timers. Setting a clock takes a capability; adjtimex also reads.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_gettimeofday SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_adjtimex
            SYS_clock_adjtime SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_delete SYS_timer_getoverrun
            SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime
        ],
    },
    Group {
        reason: "Sockets that are there already; which families may be made is looked at below.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_bind SYS_connect SYS_listen SYS_accept SYS_accept4 SYS_getsockname SYS_getpeername
            SYS_getsockopt SYS_setsockopt SYS_shutdown SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg
            SYS_sendmmsg SYS_recvmmsg
        ],
    },
    Group {
        reason: "Shared memory, semaphores, queues: of the job's own ipc namespace.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_shmget SYS_shmat SYS_shmctl SYS_shmdt SYS_semget SYS_semop SYS_semctl SYS_semtimedop SYS_msgget
            SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink SYS_mq_timedsend SYS_mq_timedreceive
            SYS_mq_notify SYS_mq_getsetattr
        ],
    },
    Group {
        reason: "Asynchronous file I/O of the older kind, which databases use.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_io_setup SYS_io_submit SYS_io_getevents SYS_io_cancel SYS_io_destroy
        ],
    },
    Group {
        reason: "What the system is, and random numbers.",
        verdict: Verdict::Allow,
        calls: calls![SYS_uname SYS_sysinfo SYS_getrandom],
    },
    Group {
        reason: "A script may restrict itself further.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
        ],
    },
    Group {
        reason: "The kernel's keyrings are not part of any namespace.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![SYS_keyctl SYS_add_key SYS_request_key],
    },
    Group {
        reason: "Large kernel surfaces with a history of holes, which builds do not need.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_io_uring_setup SYS_io_uring_enter
            SYS_io_uring_register SYS_memfd_secret SYS_lookup_dcookie
        ],
    },
    Group {
        reason: "Mounts and roots: the tree is made and stays as it is.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick
            SYS_open_tree SYS_move_mount SYS_mount_setattr
        ],
    },
    Group {
        reason: "Other namespaces.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![SYS_setns SYS_unshare],
    },
    Group {
        reason: "File handles reach around directories' permissions; fanotify sees beyond the job.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![SYS_open_by_handle_at SYS_fanotify_init SYS_fanotify_mark],
    },
    Group {
        reason: "The machine as a whole. All of these take capabilities as well.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            SYS_kexec_load SYS_kexec_file_load SYS_init_module SYS_finit_module SYS_delete_module SYS_reboot
            SYS_swapon SYS_swapoff SYS_syslog SYS_acct SYS_quotactl SYS_quotactl_fd SYS_vhangup SYS_settimeofday
            SYS_clock_settime SYS_sethostname SYS_setdomainname SYS_nfsservctl
        ],
    },
    Group {
        reason: "Placing memory on nodes of the machine is the scheduler's business.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            SYS_mbind SYS_set_mempolicy SYS_set_mempolicy_home_node SYS_get_mempolicy SYS_migrate_pages
            SYS_move_pages
        ],
    },
    Group {
        reason: "Opening is by permissions, but no file is made with set-id bits: it would mean something on the host.",
        verdict: Verdict::AllowUnless(
            &[&[
                Condition::AnyBit { arg: 2, mask: CREATES },
                Condition::AnyBit {
                    arg: 3,
                    mask: S_ISUID_OR_S_ISGID,
                },
            ]],
            EPERM,
        ),
        calls: calls![SYS_openat],
    },
    Group {
        reason: "Set-id bits, for the same reason. (openat2 carries its mode in memory, unseen, and is ENOSYS.)",
        verdict: Verdict::AllowUnless(
            &[&[Condition::AnyBit {
                arg: 2,
                mask: S_ISUID_OR_S_ISGID,
            }]],
            EPERM,
        ),
        calls: calls![SYS_fchmodat SYS_fchmodat2],
    },
    Group {
        reason: "Set-id bits.",
        verdict: Verdict::AllowUnless(
            &[&[Condition::AnyBit {
                arg: 1,
                mask: S_ISUID_OR_S_ISGID,
            }]],
            EPERM,
        ),
        calls: calls![SYS_fchmod],
    },
    Group {
        reason: "Pipes, sockets and files, but no device nodes, and no set-id bits.",
        verdict: Verdict::AllowUnless(
            &[&[Condition::AnyBit {
                arg: 2,
                mask: S_ISUID_OR_S_ISGID | DEVICE_NODE,
            }]],
            EPERM,
        ),
        calls: calls![SYS_mknodat],
    },
    Group {
        reason: "Processes and threads, but no namespaces. clone3 carries its flags in memory, unseen, and is ENOSYS.",
        verdict: Verdict::AllowUnless(
            &[&[Condition::AnyBit {
                arg: 0,
                mask: NAMESPACES,
            }]],
            EPERM,
        ),
        calls: calls![SYS_clone],
    },
    Group {
        reason: "Families of sockets.",
        verdict: Verdict::AllowUnless(
            &[&[Condition::NoneOf {
                arg: 0,
                values: FAMILIES,
            }]],
            EPERM,
        ),
        calls: calls![SYS_socket SYS_socketpair],
    },
    Group {
        reason: "Putting words into a terminal's mouth (TIOCSTI, TIOCLINUX). The kernel looks at 32 bits, so do we.",
        verdict: Verdict::AllowUnless(
            &[
                &[Condition::Equals { arg: 1, value: 0x5412 }],
                &[Condition::Equals { arg: 1, value: 0x541c }],
            ],
            EPERM,
        ),
        calls: calls![SYS_ioctl],
    },
    Group {
        reason: "Personalities that change the layout of memory weaken what the kernel does against exploits.",
        verdict: Verdict::AllowUnless(
            &[&[Condition::NoneOf {
                arg: 0,
                values: PERSONALITIES,
            }]],
            EPERM,
        ),
        calls: calls![SYS_personality],
    },
];

/// The calls of [`GROUPS`] that only the oldest architecture has.
#[cfg(target_arch = "x86_64")]
pub(super) const LEGACY: &[Group] = &[
    Group {
        reason: "Older forms of what the groups above allow.",
        verdict: Verdict::Allow,
        calls: calls![
            SYS_access SYS_dup2 SYS_stat SYS_lstat SYS_getdents SYS_mkdir SYS_rmdir SYS_unlink SYS_rename
            SYS_link SYS_symlink SYS_readlink SYS_utime SYS_utimes SYS_futimesat SYS_chown SYS_lchown
            SYS_inotify_init SYS_fork SYS_vfork SYS_getpgrp SYS_arch_prctl SYS_set_thread_area
            SYS_get_thread_area SYS_signalfd SYS_pause SYS_poll SYS_select SYS_epoll_create SYS_epoll_wait
            SYS_eventfd SYS_pipe SYS_time SYS_alarm
        ],
    },
    Group {
        reason: "Older forms of what the groups above refuse.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![SYS_modify_ldt SYS_iopl SYS_ioperm SYS__sysctl],
    },
    Group {
        reason: "As openat.",
        verdict: Verdict::AllowUnless(
            &[&[
                Condition::AnyBit { arg: 1, mask: CREATES },
                Condition::AnyBit {
                    arg: 2,
                    mask: S_ISUID_OR_S_ISGID,
                },
            ]],
            EPERM,
        ),
        calls: calls![SYS_open],
    },
    Group {
        reason: "As fchmod.",
        verdict: Verdict::AllowUnless(
            &[&[Condition::AnyBit {
                arg: 1,
                mask: S_ISUID_OR_S_ISGID,
            }]],
            EPERM,
        ),
        calls: calls![SYS_chmod SYS_creat],
    },
    Group {
        reason: "As mknodat.",
        verdict: Verdict::AllowUnless(
            &[&[Condition::AnyBit {
                arg: 1,
                mask: S_ISUID_OR_S_ISGID | DEVICE_NODE,
            }]],
            EPERM,
        ),
        calls: calls![SYS_mknod],
    },
];

/// The calls of [`GROUPS`] that only the oldest architecture has.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const LEGACY: &[Group] = &[];

/// Looking into other processes: debuggers and leak checkers need it, most builds do not. The job's own
/// processes are all it can reach either way.
pub(super) const TRACING: &[libc::c_long] = calls![
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_kcmp SYS_pidfd_getfd
];

/// For what stands nowhere above.
pub(super) const OTHERWISE: Verdict = Verdict::Errno(ENOSYS);
