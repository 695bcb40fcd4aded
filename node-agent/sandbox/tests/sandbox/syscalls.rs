//! System calls made directly from inside, where no program of the system would make them so.
//!
//! The program inside is this test's own: started with `PROBE` set it makes the calls and prints what came of
//! each, instead of testing anything.
#![expect(unsafe_code, reason = "calls no library would make")]

use std::collections::BTreeMap;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use breakbulk_sandbox::{EnvVar, Network, Outcome, Spec, Tracing};

use crate::harness::Attempt;

/// Name of the probe among the tests.
const PROBE: &str = "syscalls::the_program_inside";

/// Runs the probe in a sandbox: what came of each call, as an error number or 0.
fn probe(change: impl FnOnce(&mut Spec)) -> BTreeMap<String, i32> {
    let program = std::env::current_exe().unwrap();
    let attempt = Attempt::new(&format!("{} --exact {PROBE} --nocapture", program.display()));
    let (exit, output) = attempt
        .with(|spec| {
            spec.env.push(EnvVar::new("PROBE", "1"));
            spec.expose.push(program);
            change(spec);
        })
        .run();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 }, "{output}");
    let results = output
        .lines()
        .filter_map(|line| line.strip_prefix("PROBE ")?.split_once('='));
    results
        .map(|(name, errno)| (name.to_owned(), errno.parse().unwrap()))
        .collect()
}

fn call(name: &str, number: i64, args: [i64; 5]) {
    // SAFETY: the calls are expected to be refused; those that are not get null pointers or bad descriptors.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) };
    let errno = if result < 0 {
        io::Error::last_os_error().raw_os_error().unwrap()
    } else {
        0
    };
    println!("PROBE {name}={errno}");
}

#[test]
fn the_program_inside() {
    if std::env::var_os("PROBE").is_none() {
        return;
    }
    println!();
    far_calls();
    set_id_calls();
    ordinary_calls();
    if let Ok(name) = std::env::var("ABSTRACT") {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let errno = UnixStream::connect_addr(&address)
            .err()
            .map_or(0, |e| e.raw_os_error().unwrap());
        println!("PROBE abstract={errno}");
    }
}

#[test]
fn calls_that_reach_too_far_are_refused_and_ordinary_ones_are_made() {
    let results = probe(|_| {});
    let not_there = ["clone3", "openat2", "unknown", "x32-getpid"];
    for (name, errno) in &results {
        let expected = match name.as_str() {
            name if name.starts_with("ok-") => 0,
            name if not_there.contains(&name) => libc::ENOSYS,
            _ => libc::EPERM,
        };
        assert_eq!(*errno, expected, "{name}");
    }
    assert!(results.len() >= 40, "{results:?}");
}

#[test]
fn tracing_is_only_for_who_asks_for_it() {
    assert_eq!(probe(|_| {})["ptrace"], libc::EPERM);
    assert_eq!(
        probe(|spec| spec.tracing = Tracing::Allowed)["ptrace"],
        0,
        "PTRACE_TRACEME"
    );
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    let name = format!("breakbulk-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    assert!(UnixStream::connect_addr(&address).is_ok(), "from outside it is there");
    for (network, expected) in [(Network::Host, libc::EPERM), (Network::None, libc::ECONNREFUSED)] {
        let results = probe(|spec| {
            spec.network = network;
            spec.env.push(EnvVar::new("ABSTRACT", name.as_str()));
        });
        assert_eq!(results["abstract"], expected, "{network:?}");
    }
}

/// Calls that reach beyond the job, and calls that must look as if they did not exist.
fn far_calls() {
    call("keyctl", libc::SYS_keyctl, [0; 5]);
    call("add_key", libc::SYS_add_key, [0; 5]);
    call("bpf", libc::SYS_bpf, [0; 5]);
    call("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]);
    call("userfaultfd", libc::SYS_userfaultfd, [0; 5]);
    call("perf_event_open", libc::SYS_perf_event_open, [0; 5]);
    call("ptrace", libc::SYS_ptrace, [0; 5]);
    call("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0]);
    call("mount", libc::SYS_mount, [0; 5]);
    call("fsopen", libc::SYS_fsopen, [0; 5]);
    call("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 5]);
    call(
        "unshare-user",
        libc::SYS_unshare,
        [i64::from(libc::CLONE_NEWUSER), 0, 0, 0, 0],
    );
    call(
        "clone-user",
        libc::SYS_clone,
        [i64::from(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0, 0, 0],
    );
    call(
        "personality-no-random",
        libc::SYS_personality,
        [0x0004_0000, 0, 0, 0, 0],
    );
    for (name, family) in [
        ("vsock", 40),
        ("alg", 38),
        ("packet", 17),
        ("bluetooth", 31),
        ("can", 29),
        ("xdp", 44),
    ] {
        call(name, libc::SYS_socket, [family, i64::from(libc::SOCK_DGRAM), 0, 0, 0]);
    }
    call("inet-raw", libc::SYS_socket, [2, 3, 1, 0, 0]);
    call("tiocsti", libc::SYS_ioctl, [0, 0x5412, 0, 0, 0]);
    call("tiocsti-high-bit", libc::SYS_ioctl, [0, 0x1_0000_5412, 0, 0, 0]);
    call("clone3", libc::SYS_clone3, [0; 5]);
    call("openat2", libc::SYS_openat2, [0; 5]);
    call("unknown", 999, [0; 5]);
}

/// All ways to give a file a set-id bit, and what only the oldest architecture has.
fn set_id_calls() {
    let file = c"probe-file".as_ptr() as i64;
    let setuid = 0o4755;
    call(
        "openat-setuid",
        libc::SYS_openat,
        [-100, file, i64::from(libc::O_CREAT | libc::O_WRONLY), setuid, 0],
    );
    call("fchmodat-setuid", libc::SYS_fchmodat, [-100, file, setuid, 0, 0]);
    call("fchmodat2-setuid", 452, [-100, file, setuid, 0, 0]);
    call("fchmod-setgid", libc::SYS_fchmod, [1, 0o2755, 0, 0, 0]);
    call("mknodat-setuid", libc::SYS_mknodat, [-100, file, 0o104_755, 0, 0]);
    #[cfg(target_arch = "x86_64")]
    {
        call("x32-getpid", 0x4000_0000 | 39, [0; 5]);
        call(
            "open-setuid",
            libc::SYS_open,
            [file, i64::from(libc::O_CREAT), setuid, 0, 0],
        );
        call("creat-setuid", libc::SYS_creat, [file, setuid, 0, 0, 0]);
        call("chmod-setuid", libc::SYS_chmod, [file, setuid, 0, 0, 0]);
        call("iopl", libc::SYS_iopl, [3, 0, 0, 0, 0]);
    }
}

/// Calls beside them that must work.
fn ordinary_calls() {
    let file = c"probe-file".as_ptr() as i64;
    call(
        "ok-openat",
        libc::SYS_openat,
        [-100, file, i64::from(libc::O_CREAT | libc::O_WRONLY), 0o644, 0],
    );
    call(
        "ok-mknodat",
        libc::SYS_mknodat,
        [-100, c"fifo".as_ptr() as i64, 0o010_644, 0, 0],
    );
    call("ok-unix", libc::SYS_socket, [1, i64::from(libc::SOCK_STREAM), 0, 0, 0]);
    call("ok-inet", libc::SYS_socket, [2, i64::from(libc::SOCK_STREAM), 0, 0, 0]);
    call("ok-netlink", libc::SYS_socket, [16, i64::from(libc::SOCK_RAW), 0, 0, 0]);
    call("ok-personality", libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0]);
    std::thread::spawn(|| println!("PROBE ok-thread=0")).join().unwrap();
}
