//! Every way an attempt can end.

use std::time::Duration;

use breakbulk_sandbox::{Outcome, Outputs, Signal, Step, signal_shim};

use crate::harness::{Attempt, eventually, succeeds};

#[test]
fn a_script_that_succeeds_is_told_with_its_output() {
    let (exit, output) = Attempt::new("echo hello; echo problem >&2; pwd; id -u").run();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 }, "{output}");
    assert_eq!(output, "hello\nproblem\n/workspace\n1000\n");
    assert_eq!(exit.log.length, output.len() as u64);
    assert!(exit.started_at.unwrap() <= exit.finished_at && !exit.leftovers);
}

#[test]
fn an_exit_code_and_a_signal_are_told_as_they_are() {
    assert_eq!(Attempt::new("exit 42").run().0.outcome, Outcome::Exited { code: 42 });
    assert_eq!(
        Attempt::new("kill -SEGV $$").run().0.outcome,
        Outcome::Signaled { signal: libc::SIGSEGV }
    );
}

#[test]
fn a_script_over_its_time_is_asked_to_end_and_then_killed() {
    let timeout = |spec: &mut breakbulk_sandbox::Spec| {
        spec.timeout = Some(Duration::from_millis(300));
        spec.grace = Duration::from_millis(300);
    };
    let (exit, output) = Attempt::new("trap 'echo asked; exit 0' TERM; sleep 60 & wait")
        .with(timeout)
        .run();
    assert_eq!((exit.outcome, output.as_str()), (Outcome::TimedOut, "asked\n"));
    let (exit, _) = Attempt::new("trap '' TERM INT HUP; kill -STOP $$; sleep 60")
        .with(timeout)
        .run();
    assert_eq!(exit.outcome, Outcome::TimedOut);
}

#[test]
fn a_cancelled_script_is_told_with_the_reason() {
    let mut attempt = Attempt::new("echo up; sleep 60").start();
    attempt.wait_for_output("up");
    attempt.dir.write_cancel("superseded by a newer run").unwrap();
    assert!(signal_shim(&attempt.dir, Signal::Cancel).unwrap());
    let reason = Some("superseded by a newer run".to_owned());
    assert_eq!(attempt.wait().outcome, Outcome::Cancelled { reason });
    assert!(
        !signal_shim(&attempt.dir, Signal::Cancel).unwrap(),
        "there is nobody left to signal"
    );
}

#[test]
fn a_shell_that_is_not_there_is_named() {
    let (exit, _) = Attempt::new("true")
        .with(|spec| spec.shell = vec!["/bin/zsh9".into()])
        .run();
    let error = "shell \"/bin/zsh9\" not found in the sandbox".to_owned();
    assert_eq!(
        exit.outcome,
        Outcome::SetupFailed {
            step: Step::Exec,
            error
        }
    );
    assert_eq!(exit.started_at, None);
}

#[test]
fn outputs_are_read_and_bad_ones_are_refused_whole() {
    let (exit, _) = Attempt::new("echo a=1 >> $CI_OUTPUT; printf 'b<<E\\nx\\ny\\nE\\n' >> $CI_OUTPUT").run();
    let Outputs::Ok(outputs) = exit.outputs else {
        panic!("{:?}", exit.outputs)
    };
    assert_eq!(
        outputs.into_iter().collect::<Vec<_>>(),
        [("a".into(), "1".into()), ("b".into(), "x\ny".into())]
    );
    let (exit, _) = Attempt::new("echo a=1 >> $CI_OUTPUT; echo what >> $CI_OUTPUT").run();
    assert!(matches!(exit.outputs, Outputs::Error(e) if e.contains("line 2")));
}

#[test]
fn what_the_script_writes_to_its_workspace_stays_and_belongs_to_the_agent() {
    use std::os::unix::fs::MetadataExt;
    let mut attempt = Attempt::new("cat given; echo made > made").start();
    let _ = attempt.wait();
    let mut attempt = Attempt::new("cat given; echo made > made; stat -c %u given made");
    std::fs::write(attempt.workspace().join("given"), "given\n").unwrap();
    attempt = attempt.start();
    assert_eq!(
        attempt.wait().outcome,
        Outcome::Exited { code: 0 },
        "{}",
        attempt.output()
    );
    assert_eq!(attempt.output(), "given\n1000\n1000\n");
    let made = std::fs::metadata(attempt.workspace().join("made")).unwrap();
    assert_eq!(made.uid(), std::fs::metadata(attempt.workspace()).unwrap().uid());
}

#[test]
fn killing_the_shim_kills_the_whole_tree() {
    let attempt = Attempt::new("setsid sleep 1234567 & setsid sleep 1234567 & echo up; wait").start();
    attempt.wait_for_output("up");
    assert!(signal_shim(&attempt.dir, Signal::Kill).unwrap());
    eventually("no process of the script", || sleepers("1234567") == 0);
    assert!(attempt.dir.exit().unwrap().is_none(), "nobody saw how it ended");
    assert!(attempt.dir.started().unwrap().is_some());
}

#[test]
fn a_daemon_that_holds_the_pipe_is_dead_at_the_end() {
    let output =
        succeeds("(setsid sh -c 'trap \"\" TERM HUP; echo daemon; exec sleep 7654321' &) ; sleep 0.2; echo done");
    assert_eq!(output, "daemon\ndone\n");
    assert_eq!(sleepers("7654321"), 0);
}

/// How many processes of this host run `sleep <duration>`.
fn sleepers(duration: &str) -> usize {
    let wanted = format!("sleep\0{duration}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|p| std::fs::read(p.path().join("cmdline")).is_ok_and(|c| c == wanted.as_bytes()))
        .count()
}

#[test]
fn a_scratch_directory_holds_tmp_and_the_home_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("scratch");
    std::fs::create_dir(&path).unwrap();
    let (exit, output) = Attempt::new("echo t > /tmp/t; echo h > ~/h")
        .with(|spec| spec.scratch = Some(path.clone()))
        .run();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 }, "{output}");
    assert_eq!(std::fs::read_to_string(path.join("tmp/t")).unwrap(), "t\n");
    assert_eq!(std::fs::read_to_string(path.join("home/h")).unwrap(), "h\n");
}

#[test]
fn exposed_paths_are_where_they_are_on_the_host_and_read_only() {
    let host = tempfile::tempdir().unwrap();
    std::fs::set_permissions(host.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(host.path().join("tool"), "a tool\n").unwrap();
    let path = host.path().to_owned();
    let script = format!(
        "cat {0}/tool; test -e /usr/bin/env; ! touch {0}/x 2>/dev/null",
        path.display()
    );
    let (exit, output) = Attempt::new(&script)
        .with(|spec| spec.expose = vec![path.clone(), "/usr/bin/env".into()])
        .run();
    assert_eq!(
        (exit.outcome, output.as_str()),
        (Outcome::Exited { code: 0 }, "a tool\n")
    );
    let (exit, _) = Attempt::new("true")
        .with(|spec| spec.expose = vec!["/nonexistent/tool".into()])
        .run();
    let Outcome::SetupFailed {
        step: Step::Sources,
        error,
    } = exit.outcome
    else {
        panic!("{:?}", exit.outcome)
    };
    assert!(error.contains("/nonexistent/tool"), "{error}");
}
