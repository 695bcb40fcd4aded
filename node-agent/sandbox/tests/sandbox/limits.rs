//! What a script may use, and what is said when it wants more.

use std::time::Duration;

use breakbulk_sandbox::{Layer, Network, Outcome};

use crate::harness::Attempt;

#[test]
fn a_fork_bomb_stays_within_its_limit_and_ends() {
    let (exit, _) = Attempt::new(":(){ :|:& };: ; sleep 60")
        .with(|spec| {
            spec.limits.pids = Some(40);
            spec.timeout = Some(Duration::from_secs(1));
            spec.grace = Duration::from_millis(200);
            spec.shell = vec!["bash".into()];
        })
        .run();
    assert!(
        matches!(exit.outcome, Outcome::TimedOut | Outcome::Exited { .. }),
        "{:?}",
        exit.outcome
    );
    assert!(!exit.leftovers);
}

#[test]
fn a_script_over_its_memory_is_told_so() {
    let limit = 64 << 20;
    let (exit, output) = Attempt::new("echo start; x=$(head -c 300M /dev/zero | tr '\\0' x); echo ${#x}")
        .with(|spec| spec.limits.memory_bytes = Some(limit))
        .run();
    if exit.missing.contains(&Layer::MemoryLimit) {
        println!("SKIPPED: this host cannot limit memory");
        return;
    }
    let Outcome::OutOfMemory { limit_bytes, killed } = exit.outcome else {
        panic!("{:?} {output}", exit.outcome)
    };
    assert!(limit_bytes == limit && killed >= 1);
    assert!(output.starts_with("start\n"));
}

#[test]
fn memory_within_the_limit_is_no_trouble() {
    let (exit, output) = Attempt::new("head -c 20M /dev/zero | tr '\\0' x | wc -c")
        .with(|spec| spec.limits.memory_bytes = Some(64 << 20))
        .run();
    assert_eq!((exit.outcome, output.trim()), (Outcome::Exited { code: 0 }, "20971520"));
}

#[test]
fn files_in_memory_are_bounded() {
    let script = "set +e; for d in /tmp /dev/shm ~; do dd if=/dev/zero of=$d/a bs=1M count=20 2>&1 | grep -o 'No space left'; done";
    let (_, output) = Attempt::new(script)
        .with(|spec| spec.limits.tmp_bytes = Some(10 << 20))
        .run();
    assert_eq!(output, "No space left\n".repeat(3));
}

#[test]
fn a_script_cannot_raise_its_limits() {
    let script = "set +e; ulimit -n 10000000; nice -n -5 true; echo -1000 > /proc/self/oom_score_adj; ulimit -c unlimited; ulimit -c; ulimit -n 2000 && echo fine";
    let (_, output) = Attempt::new(script).run();
    assert!(output.ends_with("0\nfine\n"), "{output}");
    assert!(
        output.matches("ermission denied").count() + output.matches("not permitted").count() >= 3,
        "{output}"
    );
}

#[test]
fn a_script_without_network_has_only_its_own_loopback() {
    let script = "set +e; cat /proc/net/dev | grep -c :; (exec 3<>/dev/tcp/169.254.169.254/80) 2>&1 | grep -c 'Network is unreachable'; (exec 3<>/dev/tcp/127.0.0.1/9) 2>&1 | grep -c refused";
    let (_, output) = Attempt::new(script).with(|spec| spec.network = Network::None).run();
    assert_eq!(output, "1\n2\n2\n");
}

#[test]
fn a_script_on_the_hosts_network_resolves_names() {
    let (exit, output) = Attempt::new("getent hosts localhost; getent hosts $(hostname)").run();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 }, "{output}");
}

#[test]
fn processes_share_of_the_processors_is_what_was_asked() {
    let (exit, _) = Attempt::new("for i in 1 2; do while :; do :; done & done; sleep 1; exit 3")
        .with(|spec| spec.limits.cpu_millis = Some(100))
        .run();
    assert_eq!(exit.outcome, Outcome::Exited { code: 3 });
    if exit.missing.contains(&Layer::CpuLimit) {
        println!("SKIPPED: this host cannot limit the processors' time");
        return;
    }
    // A second and a little at a tenth of a processor; without the limit it would be all there are.
    let elapsed = u128::from(exit.finished_at - exit.started_at.unwrap());
    let used = u128::from(exit.usage.user_cpu_micros + exit.usage.system_cpu_micros) * 1000;
    assert!(used < elapsed / 2, "{used} of {elapsed} ns");
}
