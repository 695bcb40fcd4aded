//! A shim for one test: a temporary attempt, started, waited for, and looked at.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use breakbulk_log_record::{Kind, Record, decode};
use breakbulk_sandbox::{AttemptDir, Exit, Outcome, Spec, is_alive, spawn_shim};

/// Far beyond what anything here takes: reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// An attempt with directories of its own, removed at the end.
pub(crate) struct Attempt {
    _root: tempfile::TempDir,
    pub(crate) dir: AttemptDir,
    pub(crate) spec: Spec,
    child: Option<Child>,
}

/// The shim under test; an ordinary user may not reach the place where it was built.
pub(crate) fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| std::env::var_os("TEST_SHIM").map_or(env!("CARGO_BIN_EXE_bulk-shim").into(), PathBuf::from))
}

impl Attempt {
    /// One that is to run `script`.
    pub(crate) fn new(script: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let workspace = root.path().join("ws");
        std::fs::create_dir(&workspace).unwrap();
        let dir = AttemptDir::create(root.path().join("attempt")).unwrap();
        let name = format!(
            "test-{}",
            root.path()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .trim_start_matches('.')
        );
        let spec = Spec {
            grace: Duration::from_secs(2),
            ..Spec::new(name, workspace, script)
        };
        Self {
            _root: root,
            dir,
            spec,
            child: None,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        self
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.spec.workspace.clone()
    }

    pub(crate) fn start(mut self) -> Self {
        self.child = Some(spawn_shim(shim(), &self.dir, &self.spec).unwrap());
        self
    }

    pub(crate) fn wait(&mut self) -> Exit {
        self.child.as_mut().unwrap().wait().unwrap();
        assert!(!is_alive(&self.dir).unwrap());
        let log = std::fs::read_to_string(self.dir.shim_log_path()).unwrap();
        assert_eq!(log, "", "the shim has nothing to say of its own");
        self.dir.exit().unwrap().expect("the end is on record")
    }

    /// Runs to the end.
    pub(crate) fn run(self) -> (Exit, String) {
        let mut attempt = self.start();
        let exit = attempt.wait();
        let output = attempt.output();
        (exit, output)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let mut bytes = bytes::Bytes::from(std::fs::read(self.dir.spool_path()).unwrap_or_default());
        std::iter::from_fn(|| decode(&mut bytes).unwrap()).collect()
    }

    pub(crate) fn raw_output(&self) -> Vec<u8> {
        let data = self.records().into_iter().filter(|r| r.kind == Kind::Data);
        data.flat_map(|r| r.payload.to_vec()).collect()
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.raw_output()).into_owned()
    }

    /// Waits until the output so far contains `text`.
    pub(crate) fn wait_for_output(&self, text: &str) {
        eventually(&format!("{text:?} in the output"), || self.output().contains(text));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = breakbulk_sandbox::signal_shim(&self.dir, breakbulk_sandbox::Signal::Kill);
            let _ = child.wait();
        }
    }
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a script that must succeed, and returns its output.
pub(crate) fn succeeds(script: &str) -> String {
    let (exit, output) = Attempt::new(script).run();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 }, "{script}\n{output}");
    output
}
