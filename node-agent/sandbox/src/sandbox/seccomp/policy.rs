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

macro_rules! calls {
    [$($name:ident)*] => { &[$(calls!(@$name)),*] };
    // The C library's headers of some architectures are behind.
    (@fchmodat2) => { 452 };
    (@$name:ident) => { number!($name) };
}

/// The number of a system call of this architecture.
macro_rules! number {
    (_sysctl) => {
        libc::SYS__sysctl
    };
    (accept) => {
        libc::SYS_accept
    };
    (accept4) => {
        libc::SYS_accept4
    };
    (access) => {
        libc::SYS_access
    };
    (acct) => {
        libc::SYS_acct
    };
    (add_key) => {
        libc::SYS_add_key
    };
    (adjtimex) => {
        libc::SYS_adjtimex
    };
    (alarm) => {
        libc::SYS_alarm
    };
    (arch_prctl) => {
        libc::SYS_arch_prctl
    };
    (bind) => {
        libc::SYS_bind
    };
    (bpf) => {
        libc::SYS_bpf
    };
    (brk) => {
        libc::SYS_brk
    };
    (capget) => {
        libc::SYS_capget
    };
    (capset) => {
        libc::SYS_capset
    };
    (chdir) => {
        libc::SYS_chdir
    };
    (chmod) => {
        libc::SYS_chmod
    };
    (chown) => {
        libc::SYS_chown
    };
    (chroot) => {
        libc::SYS_chroot
    };
    (clock_adjtime) => {
        libc::SYS_clock_adjtime
    };
    (clock_getres) => {
        libc::SYS_clock_getres
    };
    (clock_gettime) => {
        libc::SYS_clock_gettime
    };
    (clock_nanosleep) => {
        libc::SYS_clock_nanosleep
    };
    (clock_settime) => {
        libc::SYS_clock_settime
    };
    (clone) => {
        libc::SYS_clone
    };
    (close) => {
        libc::SYS_close
    };
    (close_range) => {
        libc::SYS_close_range
    };
    (connect) => {
        libc::SYS_connect
    };
    (copy_file_range) => {
        libc::SYS_copy_file_range
    };
    (creat) => {
        libc::SYS_creat
    };
    (delete_module) => {
        libc::SYS_delete_module
    };
    (dup) => {
        libc::SYS_dup
    };
    (dup2) => {
        libc::SYS_dup2
    };
    (dup3) => {
        libc::SYS_dup3
    };
    (epoll_create) => {
        libc::SYS_epoll_create
    };
    (epoll_create1) => {
        libc::SYS_epoll_create1
    };
    (epoll_ctl) => {
        libc::SYS_epoll_ctl
    };
    (epoll_pwait) => {
        libc::SYS_epoll_pwait
    };
    (epoll_pwait2) => {
        libc::SYS_epoll_pwait2
    };
    (epoll_wait) => {
        libc::SYS_epoll_wait
    };
    (eventfd) => {
        libc::SYS_eventfd
    };
    (eventfd2) => {
        libc::SYS_eventfd2
    };
    (execve) => {
        libc::SYS_execve
    };
    (execveat) => {
        libc::SYS_execveat
    };
    (exit) => {
        libc::SYS_exit
    };
    (exit_group) => {
        libc::SYS_exit_group
    };
    (faccessat) => {
        libc::SYS_faccessat
    };
    (faccessat2) => {
        libc::SYS_faccessat2
    };
    (fadvise64) => {
        libc::SYS_fadvise64
    };
    (fallocate) => {
        libc::SYS_fallocate
    };
    (fanotify_init) => {
        libc::SYS_fanotify_init
    };
    (fanotify_mark) => {
        libc::SYS_fanotify_mark
    };
    (fchdir) => {
        libc::SYS_fchdir
    };
    (fchmod) => {
        libc::SYS_fchmod
    };
    (fchmodat) => {
        libc::SYS_fchmodat
    };
    (fchown) => {
        libc::SYS_fchown
    };
    (fchownat) => {
        libc::SYS_fchownat
    };
    (fcntl) => {
        libc::SYS_fcntl
    };
    (fdatasync) => {
        libc::SYS_fdatasync
    };
    (fgetxattr) => {
        libc::SYS_fgetxattr
    };
    (finit_module) => {
        libc::SYS_finit_module
    };
    (flistxattr) => {
        libc::SYS_flistxattr
    };
    (flock) => {
        libc::SYS_flock
    };
    (fork) => {
        libc::SYS_fork
    };
    (fremovexattr) => {
        libc::SYS_fremovexattr
    };
    (fsconfig) => {
        libc::SYS_fsconfig
    };
    (fsetxattr) => {
        libc::SYS_fsetxattr
    };
    (fsmount) => {
        libc::SYS_fsmount
    };
    (fsopen) => {
        libc::SYS_fsopen
    };
    (fspick) => {
        libc::SYS_fspick
    };
    (fstat) => {
        libc::SYS_fstat
    };
    (fstatfs) => {
        libc::SYS_fstatfs
    };
    (fsync) => {
        libc::SYS_fsync
    };
    (ftruncate) => {
        libc::SYS_ftruncate
    };
    (futex) => {
        libc::SYS_futex
    };
    (futex_waitv) => {
        libc::SYS_futex_waitv
    };
    (futimesat) => {
        libc::SYS_futimesat
    };
    (get_mempolicy) => {
        libc::SYS_get_mempolicy
    };
    (get_robust_list) => {
        libc::SYS_get_robust_list
    };
    (get_thread_area) => {
        libc::SYS_get_thread_area
    };
    (getcpu) => {
        libc::SYS_getcpu
    };
    (getcwd) => {
        libc::SYS_getcwd
    };
    (getdents) => {
        libc::SYS_getdents
    };
    (getdents64) => {
        libc::SYS_getdents64
    };
    (getegid) => {
        libc::SYS_getegid
    };
    (geteuid) => {
        libc::SYS_geteuid
    };
    (getgid) => {
        libc::SYS_getgid
    };
    (getgroups) => {
        libc::SYS_getgroups
    };
    (getitimer) => {
        libc::SYS_getitimer
    };
    (getpeername) => {
        libc::SYS_getpeername
    };
    (getpgid) => {
        libc::SYS_getpgid
    };
    (getpgrp) => {
        libc::SYS_getpgrp
    };
    (getpid) => {
        libc::SYS_getpid
    };
    (getppid) => {
        libc::SYS_getppid
    };
    (getpriority) => {
        libc::SYS_getpriority
    };
    (getrandom) => {
        libc::SYS_getrandom
    };
    (getresgid) => {
        libc::SYS_getresgid
    };
    (getresuid) => {
        libc::SYS_getresuid
    };
    (getrlimit) => {
        libc::SYS_getrlimit
    };
    (getrusage) => {
        libc::SYS_getrusage
    };
    (getsid) => {
        libc::SYS_getsid
    };
    (getsockname) => {
        libc::SYS_getsockname
    };
    (getsockopt) => {
        libc::SYS_getsockopt
    };
    (gettid) => {
        libc::SYS_gettid
    };
    (gettimeofday) => {
        libc::SYS_gettimeofday
    };
    (getuid) => {
        libc::SYS_getuid
    };
    (getxattr) => {
        libc::SYS_getxattr
    };
    (init_module) => {
        libc::SYS_init_module
    };
    (inotify_add_watch) => {
        libc::SYS_inotify_add_watch
    };
    (inotify_init) => {
        libc::SYS_inotify_init
    };
    (inotify_init1) => {
        libc::SYS_inotify_init1
    };
    (inotify_rm_watch) => {
        libc::SYS_inotify_rm_watch
    };
    (io_cancel) => {
        libc::SYS_io_cancel
    };
    (io_destroy) => {
        libc::SYS_io_destroy
    };
    (io_getevents) => {
        libc::SYS_io_getevents
    };
    (io_setup) => {
        libc::SYS_io_setup
    };
    (io_submit) => {
        libc::SYS_io_submit
    };
    (io_uring_enter) => {
        libc::SYS_io_uring_enter
    };
    (io_uring_register) => {
        libc::SYS_io_uring_register
    };
    (io_uring_setup) => {
        libc::SYS_io_uring_setup
    };
    (ioctl) => {
        libc::SYS_ioctl
    };
    (ioperm) => {
        libc::SYS_ioperm
    };
    (iopl) => {
        libc::SYS_iopl
    };
    (ioprio_get) => {
        libc::SYS_ioprio_get
    };
    (ioprio_set) => {
        libc::SYS_ioprio_set
    };
    (kcmp) => {
        libc::SYS_kcmp
    };
    (kexec_file_load) => {
        libc::SYS_kexec_file_load
    };
    (kexec_load) => {
        libc::SYS_kexec_load
    };
    (keyctl) => {
        libc::SYS_keyctl
    };
    (kill) => {
        libc::SYS_kill
    };
    (landlock_add_rule) => {
        libc::SYS_landlock_add_rule
    };
    (landlock_create_ruleset) => {
        libc::SYS_landlock_create_ruleset
    };
    (landlock_restrict_self) => {
        libc::SYS_landlock_restrict_self
    };
    (lchown) => {
        libc::SYS_lchown
    };
    (lgetxattr) => {
        libc::SYS_lgetxattr
    };
    (link) => {
        libc::SYS_link
    };
    (linkat) => {
        libc::SYS_linkat
    };
    (listen) => {
        libc::SYS_listen
    };
    (listxattr) => {
        libc::SYS_listxattr
    };
    (llistxattr) => {
        libc::SYS_llistxattr
    };
    (lookup_dcookie) => {
        libc::SYS_lookup_dcookie
    };
    (lremovexattr) => {
        libc::SYS_lremovexattr
    };
    (lseek) => {
        libc::SYS_lseek
    };
    (lsetxattr) => {
        libc::SYS_lsetxattr
    };
    (lstat) => {
        libc::SYS_lstat
    };
    (madvise) => {
        libc::SYS_madvise
    };
    (mbind) => {
        libc::SYS_mbind
    };
    (membarrier) => {
        libc::SYS_membarrier
    };
    (memfd_create) => {
        libc::SYS_memfd_create
    };
    (memfd_secret) => {
        libc::SYS_memfd_secret
    };
    (migrate_pages) => {
        libc::SYS_migrate_pages
    };
    (mincore) => {
        libc::SYS_mincore
    };
    (mkdir) => {
        libc::SYS_mkdir
    };
    (mkdirat) => {
        libc::SYS_mkdirat
    };
    (mknod) => {
        libc::SYS_mknod
    };
    (mknodat) => {
        libc::SYS_mknodat
    };
    (mlock) => {
        libc::SYS_mlock
    };
    (mlock2) => {
        libc::SYS_mlock2
    };
    (mlockall) => {
        libc::SYS_mlockall
    };
    (mmap) => {
        libc::SYS_mmap
    };
    (modify_ldt) => {
        libc::SYS_modify_ldt
    };
    (mount) => {
        libc::SYS_mount
    };
    (mount_setattr) => {
        libc::SYS_mount_setattr
    };
    (move_mount) => {
        libc::SYS_move_mount
    };
    (move_pages) => {
        libc::SYS_move_pages
    };
    (mprotect) => {
        libc::SYS_mprotect
    };
    (mq_getsetattr) => {
        libc::SYS_mq_getsetattr
    };
    (mq_notify) => {
        libc::SYS_mq_notify
    };
    (mq_open) => {
        libc::SYS_mq_open
    };
    (mq_timedreceive) => {
        libc::SYS_mq_timedreceive
    };
    (mq_timedsend) => {
        libc::SYS_mq_timedsend
    };
    (mq_unlink) => {
        libc::SYS_mq_unlink
    };
    (mremap) => {
        libc::SYS_mremap
    };
    (mseal) => {
        libc::SYS_mseal
    };
    (msgctl) => {
        libc::SYS_msgctl
    };
    (msgget) => {
        libc::SYS_msgget
    };
    (msgrcv) => {
        libc::SYS_msgrcv
    };
    (msgsnd) => {
        libc::SYS_msgsnd
    };
    (msync) => {
        libc::SYS_msync
    };
    (munlock) => {
        libc::SYS_munlock
    };
    (munlockall) => {
        libc::SYS_munlockall
    };
    (munmap) => {
        libc::SYS_munmap
    };
    (name_to_handle_at) => {
        libc::SYS_name_to_handle_at
    };
    (nanosleep) => {
        libc::SYS_nanosleep
    };
    (newfstatat) => {
        libc::SYS_newfstatat
    };
    (nfsservctl) => {
        libc::SYS_nfsservctl
    };
    (open) => {
        libc::SYS_open
    };
    (open_by_handle_at) => {
        libc::SYS_open_by_handle_at
    };
    (open_tree) => {
        libc::SYS_open_tree
    };
    (openat) => {
        libc::SYS_openat
    };
    (pause) => {
        libc::SYS_pause
    };
    (perf_event_open) => {
        libc::SYS_perf_event_open
    };
    (personality) => {
        libc::SYS_personality
    };
    (pidfd_getfd) => {
        libc::SYS_pidfd_getfd
    };
    (pidfd_open) => {
        libc::SYS_pidfd_open
    };
    (pidfd_send_signal) => {
        libc::SYS_pidfd_send_signal
    };
    (pipe) => {
        libc::SYS_pipe
    };
    (pipe2) => {
        libc::SYS_pipe2
    };
    (pivot_root) => {
        libc::SYS_pivot_root
    };
    (pkey_alloc) => {
        libc::SYS_pkey_alloc
    };
    (pkey_free) => {
        libc::SYS_pkey_free
    };
    (pkey_mprotect) => {
        libc::SYS_pkey_mprotect
    };
    (poll) => {
        libc::SYS_poll
    };
    (ppoll) => {
        libc::SYS_ppoll
    };
    (prctl) => {
        libc::SYS_prctl
    };
    (pread64) => {
        libc::SYS_pread64
    };
    (preadv) => {
        libc::SYS_preadv
    };
    (preadv2) => {
        libc::SYS_preadv2
    };
    (prlimit64) => {
        libc::SYS_prlimit64
    };
    (process_madvise) => {
        libc::SYS_process_madvise
    };
    (process_mrelease) => {
        libc::SYS_process_mrelease
    };
    (process_vm_readv) => {
        libc::SYS_process_vm_readv
    };
    (process_vm_writev) => {
        libc::SYS_process_vm_writev
    };
    (pselect6) => {
        libc::SYS_pselect6
    };
    (ptrace) => {
        libc::SYS_ptrace
    };
    (pwrite64) => {
        libc::SYS_pwrite64
    };
    (pwritev) => {
        libc::SYS_pwritev
    };
    (pwritev2) => {
        libc::SYS_pwritev2
    };
    (quotactl) => {
        libc::SYS_quotactl
    };
    (quotactl_fd) => {
        libc::SYS_quotactl_fd
    };
    (read) => {
        libc::SYS_read
    };
    (readahead) => {
        libc::SYS_readahead
    };
    (readlink) => {
        libc::SYS_readlink
    };
    (readlinkat) => {
        libc::SYS_readlinkat
    };
    (readv) => {
        libc::SYS_readv
    };
    (reboot) => {
        libc::SYS_reboot
    };
    (recvfrom) => {
        libc::SYS_recvfrom
    };
    (recvmmsg) => {
        libc::SYS_recvmmsg
    };
    (recvmsg) => {
        libc::SYS_recvmsg
    };
    (remap_file_pages) => {
        libc::SYS_remap_file_pages
    };
    (removexattr) => {
        libc::SYS_removexattr
    };
    (rename) => {
        libc::SYS_rename
    };
    (renameat) => {
        libc::SYS_renameat
    };
    (renameat2) => {
        libc::SYS_renameat2
    };
    (request_key) => {
        libc::SYS_request_key
    };
    (restart_syscall) => {
        libc::SYS_restart_syscall
    };
    (rmdir) => {
        libc::SYS_rmdir
    };
    (rseq) => {
        libc::SYS_rseq
    };
    (rt_sigaction) => {
        libc::SYS_rt_sigaction
    };
    (rt_sigpending) => {
        libc::SYS_rt_sigpending
    };
    (rt_sigprocmask) => {
        libc::SYS_rt_sigprocmask
    };
    (rt_sigqueueinfo) => {
        libc::SYS_rt_sigqueueinfo
    };
    (rt_sigreturn) => {
        libc::SYS_rt_sigreturn
    };
    (rt_sigsuspend) => {
        libc::SYS_rt_sigsuspend
    };
    (rt_sigtimedwait) => {
        libc::SYS_rt_sigtimedwait
    };
    (rt_tgsigqueueinfo) => {
        libc::SYS_rt_tgsigqueueinfo
    };
    (sched_get_priority_max) => {
        libc::SYS_sched_get_priority_max
    };
    (sched_get_priority_min) => {
        libc::SYS_sched_get_priority_min
    };
    (sched_getaffinity) => {
        libc::SYS_sched_getaffinity
    };
    (sched_getattr) => {
        libc::SYS_sched_getattr
    };
    (sched_getparam) => {
        libc::SYS_sched_getparam
    };
    (sched_getscheduler) => {
        libc::SYS_sched_getscheduler
    };
    (sched_rr_get_interval) => {
        libc::SYS_sched_rr_get_interval
    };
    (sched_setaffinity) => {
        libc::SYS_sched_setaffinity
    };
    (sched_setattr) => {
        libc::SYS_sched_setattr
    };
    (sched_setparam) => {
        libc::SYS_sched_setparam
    };
    (sched_setscheduler) => {
        libc::SYS_sched_setscheduler
    };
    (sched_yield) => {
        libc::SYS_sched_yield
    };
    (seccomp) => {
        libc::SYS_seccomp
    };
    (select) => {
        libc::SYS_select
    };
    (semctl) => {
        libc::SYS_semctl
    };
    (semget) => {
        libc::SYS_semget
    };
    (semop) => {
        libc::SYS_semop
    };
    (semtimedop) => {
        libc::SYS_semtimedop
    };
    (sendfile) => {
        libc::SYS_sendfile
    };
    (sendmmsg) => {
        libc::SYS_sendmmsg
    };
    (sendmsg) => {
        libc::SYS_sendmsg
    };
    (sendto) => {
        libc::SYS_sendto
    };
    (set_mempolicy) => {
        libc::SYS_set_mempolicy
    };
    (set_mempolicy_home_node) => {
        libc::SYS_set_mempolicy_home_node
    };
    (set_robust_list) => {
        libc::SYS_set_robust_list
    };
    (set_thread_area) => {
        libc::SYS_set_thread_area
    };
    (set_tid_address) => {
        libc::SYS_set_tid_address
    };
    (setdomainname) => {
        libc::SYS_setdomainname
    };
    (setfsgid) => {
        libc::SYS_setfsgid
    };
    (setfsuid) => {
        libc::SYS_setfsuid
    };
    (setgid) => {
        libc::SYS_setgid
    };
    (setgroups) => {
        libc::SYS_setgroups
    };
    (sethostname) => {
        libc::SYS_sethostname
    };
    (setitimer) => {
        libc::SYS_setitimer
    };
    (setns) => {
        libc::SYS_setns
    };
    (setpgid) => {
        libc::SYS_setpgid
    };
    (setpriority) => {
        libc::SYS_setpriority
    };
    (setregid) => {
        libc::SYS_setregid
    };
    (setresgid) => {
        libc::SYS_setresgid
    };
    (setresuid) => {
        libc::SYS_setresuid
    };
    (setreuid) => {
        libc::SYS_setreuid
    };
    (setrlimit) => {
        libc::SYS_setrlimit
    };
    (setsid) => {
        libc::SYS_setsid
    };
    (setsockopt) => {
        libc::SYS_setsockopt
    };
    (settimeofday) => {
        libc::SYS_settimeofday
    };
    (setuid) => {
        libc::SYS_setuid
    };
    (setxattr) => {
        libc::SYS_setxattr
    };
    (shmat) => {
        libc::SYS_shmat
    };
    (shmctl) => {
        libc::SYS_shmctl
    };
    (shmdt) => {
        libc::SYS_shmdt
    };
    (shmget) => {
        libc::SYS_shmget
    };
    (shutdown) => {
        libc::SYS_shutdown
    };
    (sigaltstack) => {
        libc::SYS_sigaltstack
    };
    (signalfd) => {
        libc::SYS_signalfd
    };
    (signalfd4) => {
        libc::SYS_signalfd4
    };
    (socket) => {
        libc::SYS_socket
    };
    (socketpair) => {
        libc::SYS_socketpair
    };
    (splice) => {
        libc::SYS_splice
    };
    (stat) => {
        libc::SYS_stat
    };
    (statfs) => {
        libc::SYS_statfs
    };
    (statx) => {
        libc::SYS_statx
    };
    (swapoff) => {
        libc::SYS_swapoff
    };
    (swapon) => {
        libc::SYS_swapon
    };
    (symlink) => {
        libc::SYS_symlink
    };
    (symlinkat) => {
        libc::SYS_symlinkat
    };
    (sync) => {
        libc::SYS_sync
    };
    (sync_file_range) => {
        libc::SYS_sync_file_range
    };
    (syncfs) => {
        libc::SYS_syncfs
    };
    (sysinfo) => {
        libc::SYS_sysinfo
    };
    (syslog) => {
        libc::SYS_syslog
    };
    (tee) => {
        libc::SYS_tee
    };
    (tgkill) => {
        libc::SYS_tgkill
    };
    (time) => {
        libc::SYS_time
    };
    (timer_create) => {
        libc::SYS_timer_create
    };
    (timer_delete) => {
        libc::SYS_timer_delete
    };
    (timer_getoverrun) => {
        libc::SYS_timer_getoverrun
    };
    (timer_gettime) => {
        libc::SYS_timer_gettime
    };
    (timer_settime) => {
        libc::SYS_timer_settime
    };
    (timerfd_create) => {
        libc::SYS_timerfd_create
    };
    (timerfd_gettime) => {
        libc::SYS_timerfd_gettime
    };
    (timerfd_settime) => {
        libc::SYS_timerfd_settime
    };
    (times) => {
        libc::SYS_times
    };
    (tkill) => {
        libc::SYS_tkill
    };
    (truncate) => {
        libc::SYS_truncate
    };
    (umask) => {
        libc::SYS_umask
    };
    (umount2) => {
        libc::SYS_umount2
    };
    (uname) => {
        libc::SYS_uname
    };
    (unlink) => {
        libc::SYS_unlink
    };
    (unlinkat) => {
        libc::SYS_unlinkat
    };
    (unshare) => {
        libc::SYS_unshare
    };
    (userfaultfd) => {
        libc::SYS_userfaultfd
    };
    (utime) => {
        libc::SYS_utime
    };
    (utimensat) => {
        libc::SYS_utimensat
    };
    (utimes) => {
        libc::SYS_utimes
    };
    (vfork) => {
        libc::SYS_vfork
    };
    (vhangup) => {
        libc::SYS_vhangup
    };
    (vmsplice) => {
        libc::SYS_vmsplice
    };
    (wait4) => {
        libc::SYS_wait4
    };
    (waitid) => {
        libc::SYS_waitid
    };
    (write) => {
        libc::SYS_write
    };
    (writev) => {
        libc::SYS_writev
    };
}

const S_ISUID_OR_S_ISGID: u32 = 0o6000;
/// Set in the modes of both kinds of device nodes, and of nothing else that can be made.
const DEVICE_NODE: u32 = 0o020_000;
#[expect(clippy::cast_sign_loss, reason = "bits of a mask")]
const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;
#[expect(clippy::cast_sign_loss, reason = "bits of a mask")]
const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u32;
/// Local sockets, the internet, and the kernel's routing tables (name look-ups read those). Not among
/// them: vsock, which no network namespace covers, the kernel's cryptography, raw packets.
#[expect(clippy::cast_sign_loss, reason = "families are small positive numbers")]
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
            faccessat faccessat2 read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2
            lseek close close_range dup dup3 fcntl flock fstat newfstatat statx statfs fstatfs getdents64
            getcwd chdir fchdir mkdirat unlinkat renameat renameat2 linkat symlinkat readlinkat truncate
            ftruncate fallocate fadvise64 readahead fsync fdatasync sync syncfs sync_file_range
            copy_file_range sendfile splice tee vmsplice utimensat fchown fchownat umask name_to_handle_at
            getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr
            removexattr lremovexattr fremovexattr inotify_init1 inotify_add_watch inotify_rm_watch
        ],
    },
    Group {
        reason: "Memory of the process itself.",
        verdict: Verdict::Allow,
        calls: calls![
            brk mmap munmap mremap mprotect madvise msync mincore mlock mlock2 mlockall munlock munlockall
            memfd_create mseal remap_file_pages pkey_alloc pkey_free pkey_mprotect membarrier
            process_madvise process_mrelease
        ],
    },
    Group {
        reason: "Processes and threads; new namespaces are looked at below.",
        verdict: Verdict::Allow,
        calls: calls![
            execve execveat exit exit_group wait4 waitid kill tkill tgkill getpid getppid gettid getpgid
            setpgid getsid setsid set_tid_address prctl set_robust_list get_robust_list rseq futex
            futex_waitv getcpu sched_yield pidfd_open pidfd_send_signal restart_syscall
        ],
    },
    Group {
        reason: "Users and capabilities: a script has one user and no capability, so these change nothing.",
        verdict: Verdict::Allow,
        calls: calls![
            getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid
            setresuid setresgid setfsuid setfsgid setgroups capget capset
        ],
    },
    Group {
        reason: "Priorities and limits, which the kernel lets a script only lower.",
        verdict: Verdict::Allow,
        calls: calls![
            getpriority setpriority ioprio_get ioprio_set getrlimit setrlimit prlimit64 getrusage times
            sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
            sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min
            sched_rr_get_interval
        ],
    },
    Group {
        reason: "Signals.",
        verdict: Verdict::Allow,
        calls: calls![
            rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
            rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd4
        ],
    },
    Group {
        reason: "Waiting for descriptors.",
        verdict: Verdict::Allow,
        calls: calls![
            ppoll pselect6 epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 eventfd2 pipe2
        ],
    },
    Group {
        reason: "Reading clocks, timers. Setting a clock takes a capability; adjtimex also reads.",
        verdict: Verdict::Allow,
        calls: calls![
            gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep adjtimex clock_adjtime
            getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_settime
            timerfd_create timerfd_gettime timerfd_settime
        ],
    },
    Group {
        reason: "Sockets that are there already; which families may be made is looked at below.",
        verdict: Verdict::Allow,
        calls: calls![
            bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown sendto
            recvfrom sendmsg recvmsg sendmmsg recvmmsg
        ],
    },
    Group {
        reason: "Shared memory, semaphores, queues: of the job's own ipc namespace.",
        verdict: Verdict::Allow,
        calls: calls![
            shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open
            mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
        ],
    },
    Group {
        reason: "Asynchronous file I/O of the older kind, which databases use.",
        verdict: Verdict::Allow,
        calls: calls![
            io_setup io_submit io_getevents io_cancel io_destroy
        ],
    },
    Group {
        reason: "What the system is, and random numbers.",
        verdict: Verdict::Allow,
        calls: calls![
            uname sysinfo getrandom
        ],
    },
    Group {
        reason: "A script may restrict itself further.",
        verdict: Verdict::Allow,
        calls: calls![
            seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
        ],
    },
    Group {
        reason: "The kernel's keyrings are not part of any namespace.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            keyctl add_key request_key
        ],
    },
    Group {
        reason: "Large kernel surfaces with a history of holes, which builds do not need.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register memfd_secret
            lookup_dcookie
        ],
    },
    Group {
        reason: "Mounts and roots: the tree is made and stays as it is.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick open_tree move_mount
            mount_setattr
        ],
    },
    Group {
        reason: "Other namespaces.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            setns unshare
        ],
    },
    Group {
        reason: "File handles reach around directories' permissions; fanotify sees beyond the job.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            open_by_handle_at fanotify_init fanotify_mark
        ],
    },
    Group {
        reason: "The machine as a whole. All of these take capabilities as well.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff syslog
            acct quotactl quotactl_fd vhangup settimeofday clock_settime sethostname setdomainname
            nfsservctl
        ],
    },
    Group {
        reason: "Placing memory on nodes of the machine is the scheduler's business.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            mbind set_mempolicy set_mempolicy_home_node get_mempolicy migrate_pages move_pages
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
        calls: calls![openat],
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
        calls: calls![fchmodat fchmodat2],
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
        calls: calls![fchmod],
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
        calls: calls![mknodat],
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
        calls: calls![clone],
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
        calls: calls![socket socketpair],
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
        calls: calls![ioctl],
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
        calls: calls![personality],
    },
];

/// The calls of [`GROUPS`] that only the oldest architecture has.
#[cfg(target_arch = "x86_64")]
pub(super) const LEGACY: &[Group] = &[
    Group {
        reason: "Older forms of what the groups above allow.",
        verdict: Verdict::Allow,
        calls: calls![
            access dup2 stat lstat getdents mkdir rmdir unlink rename link symlink readlink utime utimes
            futimesat chown lchown inotify_init fork vfork getpgrp arch_prctl set_thread_area
            get_thread_area signalfd pause poll select epoll_create epoll_wait eventfd pipe time alarm
        ],
    },
    Group {
        reason: "Older forms of what the groups above refuse.",
        verdict: Verdict::Errno(EPERM),
        calls: calls![
            modify_ldt iopl ioperm _sysctl
        ],
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
        calls: calls![open],
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
        calls: calls![chmod creat],
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
        calls: calls![mknod],
    },
];

/// The calls of [`GROUPS`] that only the oldest architecture has.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const LEGACY: &[Group] = &[];

/// Looking into other processes: debuggers and leak checkers need it, most builds do not. The job's own
/// processes are all it can reach either way.
pub(super) const TRACING: &[libc::c_long] = calls![ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd];

/// For what stands nowhere above.
pub(super) const OTHERWISE: Verdict = Verdict::Errno(ENOSYS);
