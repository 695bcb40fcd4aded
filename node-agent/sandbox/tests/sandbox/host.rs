//! What the host is asked and what is left on it.

use std::collections::BTreeSet;
use std::path::Path;

use breakbulk_sandbox::{LaunchError, Outcome, Spec, Step, Support, probe, remove_workspace, spawn_shim};

use crate::harness::{Attempt, shim};

#[test]
fn the_probe_sees_what_works_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let report = probe(shim(), dir.path(), None);
    assert_eq!(
        (&report.sandbox, &report.private_network),
        (&Support::Works, &Support::Works)
    );
    assert!(report.layers.is_disjoint(&report.missing));
    assert_eq!(report.layers.len() + report.missing.len(), 6);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let report = probe(Path::new("/nonexistent/shim"), dir.path(), None);
    assert!(matches!(report.sandbox, Support::Fails { .. }));
}

#[test]
fn an_attempt_is_started_once() {
    let mut attempt = Attempt::new("echo once").start();
    assert!(matches!(
        spawn_shim(shim(), &attempt.dir, &attempt.spec),
        Err(LaunchError::Running | LaunchError::StartedBefore)
    ));
    assert_eq!(attempt.wait().outcome, Outcome::Exited { code: 0 });
    assert!(matches!(
        spawn_shim(shim(), &attempt.dir, &attempt.spec),
        Err(LaunchError::StartedBefore)
    ));
    assert_eq!(attempt.output(), "once\n");
}

#[test]
fn a_spec_that_is_wrong_is_refused_with_all_its_problems() {
    let attempt = Attempt::new("true").with(|spec| {
        spec.name = "../x".into();
        spec.shell.clear();
        spec.working_dir = "../..".into();
        spec.expose.push("/opt/../etc".into());
    });
    let Err(LaunchError::Spec(error)) = spawn_shim(shim(), &attempt.dir, &attempt.spec) else {
        panic!()
    };
    assert_eq!(error.0.len(), 4, "{error}");
    assert!(!attempt.dir.lock_path().exists());
}

#[test]
fn a_required_layer_that_is_missing_keeps_the_script_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let report = probe(shim(), dir.path(), None);
    let (exit, _) = Attempt::new("true")
        .with(|spec| spec.require = report.layers.clone())
        .run();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 });
    let Some(lacking) = report.missing.first().copied() else {
        println!("SKIPPED: this host lacks nothing");
        return;
    };
    let limits = breakbulk_sandbox::Limits {
        cpu_millis: Some(500),
        memory_bytes: Some(1 << 30),
        pids: Some(100),
        ..Default::default()
    };
    let (exit, _) = Attempt::new("true")
        .with(|spec| (spec.require, spec.limits) = (BTreeSet::from([lacking]), limits))
        .run();
    assert!(
        matches!(exit.outcome, Outcome::SetupFailed { step: Step::Layers, .. }),
        "{:?}",
        exit.outcome
    );
}

#[test]
fn nothing_is_left_of_an_attempt_on_the_host() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let before = mounts();
    let limits = |spec: &mut Spec| {
        spec.limits.memory_bytes = Some(1 << 28);
        spec.limits.pids = Some(50);
        spec.limits.cpu_millis = Some(1000);
    };
    let attempt = Attempt::new("true").with(limits);
    let name = attempt.spec.name.clone();
    let (exit, _) = attempt.run();
    assert!(!exit.leftovers);
    assert_eq!(mounts(), before);
    assert_eq!(
        groups_named(Path::new("/sys/fs/cgroup"), &name, 6),
        Vec::<std::path::PathBuf>::new()
    );
}

fn groups_named(below: &Path, name: &str, depth: usize) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if entry.file_name().to_str() == Some(name) {
                found.push(entry.path());
            } else if depth > 0 {
                found.extend(groups_named(&entry.path(), name, depth - 1));
            }
        }
    }
    found
}

#[test]
fn a_tree_made_to_resist_is_removed_and_nothing_beside_it() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("keep"), "kept").unwrap();
    let script = format!(
        "mkdir -p a/b/c && touch a/b/c/f && chmod 000 a/b/c a/b; ln -s {} link; mkfifo pipe; mkdir many; \
         for i in $(seq 5000); do : > many/$i; done",
        outside.path().display()
    );
    let mut attempt = Attempt::new(&script).start();
    assert_eq!(
        attempt.wait().outcome,
        Outcome::Exited { code: 0 },
        "{}",
        attempt.output()
    );
    dig(&attempt.workspace(), 3000);
    remove_workspace(&attempt.workspace()).unwrap();
    assert!(!attempt.workspace().exists());
    assert_eq!(std::fs::read_to_string(outside.path().join("keep")).unwrap(), "kept");
    remove_workspace(&attempt.workspace()).unwrap();
}

/// Directories in directories, far beyond the longest path.
fn dig(top: &Path, depth: usize) {
    use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = open(top, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&at, "a-directory-with-a-name", Mode::RWXU).unwrap();
        at = openat(&at, "a-directory-with-a-name", flags, Mode::empty()).unwrap();
    }
}
