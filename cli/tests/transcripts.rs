//! What `bulk` prints, as a user sees it: the real program against the real API server, call by call, compared with
//! the transcripts in `golden/`. `UPDATE_GOLDEN=1` writes them anew; the difference is then there to be read.
//!
//! There are no controllers here: where an object's status matters, the test writes it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// An API server, and `bulk` with its credentials.
struct Bench {
    directory: tempfile::TempDir,
    kubeconfig: PathBuf,
    stop: CancellationToken,
    server: Option<std::thread::JoinHandle<()>>,
    transcript: String,
}

impl Bench {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (ready, is_ready) = mpsc::channel();
        let (data, token) = (directory.path().join("data"), stop.clone());
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listen = "127.0.0.1:0".parse().unwrap();
                let config = breakbulk_apiserver::Config::embedded(listen, data);
                let server = breakbulk_apiserver::build(config).await.unwrap();
                ready.send(()).unwrap();
                server.serve(token).await.unwrap();
            });
        });
        is_ready.recv().expect("the server starts");
        let kubeconfig = directory.path().join("data/kubeconfig");
        Self {
            directory,
            kubeconfig,
            stop,
            server: Some(server),
            transcript: String::new(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulk"));
        command.args(args).current_dir(self.directory.path());
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.directory.path());
        command
    }

    /// Calls `bulk`; what it prints and how it ends goes into the transcript.
    fn bulk(&mut self, args: &[&str]) -> i32 {
        self.bulk_with(args, "")
    }

    fn bulk_with(&mut self, args: &[&str], input: &str) -> i32 {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        let words: Vec<String> = args
            .iter()
            .map(|a| {
                if a.contains(' ') {
                    format!("'{a}'")
                } else {
                    (*a).to_owned()
                }
            })
            .collect();
        writeln!(self.transcript, "$ bulk {}", words.join(" ")).unwrap();
        self.transcript
            .push_str(&plain(&String::from_utf8_lossy(&output.stdout)));
        for line in plain(&String::from_utf8_lossy(&output.stderr)).lines() {
            writeln!(self.transcript, "! {line}").unwrap();
        }
        if code != 0 {
            writeln!(self.transcript, "[{code}]").unwrap();
        }
        self.transcript.push('\n');
        code
    }

    /// Writes a file that `bulk` can be given.
    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// Writes an object's status, as a controller would.
    fn status(&self, plural: &str, name: &str, status: &Value) {
        let kubeconfig = self.kubeconfig.clone();
        let path = format!("/apis/breakbulk.dev/v1/namespaces/default/{plural}/{name}/status");
        let body = serde_json::to_vec(&json!({ "status": status })).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = breakbulk_client::Connection::file(kubeconfig).client().await.unwrap();
            let request = http::Request::patch(path)
                .header("content-type", "application/merge-patch+json")
                .body(body);
            let _: Value = client.request(request.unwrap()).await.unwrap();
        });
    }

    /// Compares everything said so far with a golden transcript.
    fn check(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.transcript).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            self.transcript,
            expected,
            "{} differs; UPDATE_GOLDEN=1 writes it anew",
            path.display()
        );
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// The text without what differs from run to run: ages, times, ids, generated names.
fn plain(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let words: Vec<String> = line.split(' ').map(plain_word).collect();
        lines.push_str(words.join(" ").trim_end());
        lines.push('\n');
    }
    lines
}

fn plain_word(word: &str) -> String {
    let is_age = word.len() > 1 && word.ends_with('s') && word[..word.len() - 1].bytes().all(|b| b.is_ascii_digit());
    let is_time = word.len() >= 20 && word.starts_with("20") && word.ends_with('Z') && word.contains('T');
    let is_uid = word.len() == 36 && word.matches('-').count() == 4;
    match word {
        _ if is_age => "AGE".to_owned(),
        _ if is_time => "TIME".to_owned(),
        _ if is_uid => "UID".to_owned(),
        _ => match word.strip_prefix("run/hello-") {
            Some(rest) if rest.len() >= 5 => format!("run/hello-XXXXX{}", &rest[5..]),
            _ => word.to_owned(),
        },
    }
}

const HELLO: &str = "\
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata:
  name: hello
spec:
  params:
    who: {default: world, description: whom to greet}
    times: {type: int, default: 1}
  jobs:
    greet:
      env: {WHO: '${{ params.who }}'}
      run: echo hello $WHO
";

#[test]
fn objects_are_applied_shown_changed_and_deleted() {
    let mut bench = Bench::start();
    bench.file("hello.yaml", HELLO);
    assert_eq!(bench.bulk(&["apply", "-f", "hello.yaml"]), 0);
    assert_eq!(bench.bulk(&["apply", "-f", "hello.yaml"]), 0);
    bench.file("hello.yaml", &HELLO.replace("    times: {type: int, default: 1}\n", ""));
    assert_eq!(bench.bulk(&["apply", "-f", "hello.yaml"]), 0);
    bench.bulk(&["get", "pl"]);
    bench.bulk(&["get", "pipeline/hello", "-o", "name"]);
    bench.bulk(&["get", "pipelines", "-A"]);
    bench.bulk(&["get", "ci"]);
    bench.bulk(&["get", "namespaces"]);
    bench.bulk(&["get", "pipeline", "nothing"]);
    bench.bulk(&["get", "teapots"]);
    bench.bulk(&["delete", "pipeline", "hello"]);
    bench.bulk(&["get", "pl"]);
    bench.bulk(&["delete", "pipeline/hello"]);
    bench.check("objects");
}

#[test]
fn a_manifest_with_mistakes_shows_all_of_them_and_changes_nothing() {
    let mut bench = Bench::start();
    bench.file("five.yaml", FIVE);
    assert_eq!(bench.bulk(&["apply", "-f", "five.yaml"]), 125);
    assert!(bench.transcript.contains("bulk: 5 mistakes; nothing was changed"));
    bench.bulk(&["get", "pl"]);
    bench.file("good-and-bad.yaml", &format!("{HELLO}---\n{FIVE}"));
    assert_eq!(bench.bulk(&["apply", "-f", "good-and-bad.yaml"]), 125);
    bench.bulk(&["get", "pl"]);
    bench.file(
        "syntax.yaml",
        "apiVersion: breakbulk.dev/v1\nkind: Pipeline\nmetadata:\n  name: x\n   labels: {}\n",
    );
    bench.bulk(&["apply", "-f", "syntax.yaml"]);
    bench.bulk_with(
        &["apply", "-f", "-"],
        "apiVersion: breakbulk.dev/v1\nkind: Pipline\nmetadata: {name: x}\n",
    );
    bench.check("mistakes");
}

/// Five mistakes of four sorts.
const FIVE: &str = "\
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata:
  name: five
spec:
  jobs:
    build:
      rum: make
      run: echo ${{ params.x }}
    test:
      needs: [biuld]
      run: make test
      retry: {limit: 1000}
    deploy:
      if: git.branch = 'main'
      run: make deploy
";

#[test]
fn a_run_is_started_with_typed_parameters_and_explained() {
    let mut bench = Bench::start();
    bench.file("hello.yaml", HELLO);
    bench.bulk(&["apply", "-f", "hello.yaml"]);
    assert_eq!(bench.bulk(&["run", "hello"]), 0);
    assert_eq!(
        bench.bulk(&["run", "hello", "--name", "mine", "-p", "times=3", "-o", "name"]),
        0
    );
    bench.bulk(&["run", "hello", "-p", "times=often", "-p", "colour=red"]);
    bench.bulk(&["run", "nothing"]);
    bench.bulk(&["run", "hello", "--revision", "abc"]);
    bench.bulk(&["why", "run/mine"]);
    bench.bulk(&["cancel", "mine"]);
    bench.status(
        "pipelineruns",
        "mine",
        &json!({
            "summary": "2/2",
            "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed",
                "message": "1 of 2 jobs failed: greet", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "jobs": [
                {"name": "greet", "job": "greet", "jobRef": "mine-greet", "state": "Failed", "node": "n1", "exitCode": 3,
                    "attempts": 2, "message": "ended with exit code 3"},
                {"name": "pack", "job": "pack", "state": "Skipped", "message": "greet failed"},
            ],
        }),
    );
    bench.bulk(&["why", "mine"]);
    bench.bulk(&["wait", "run/mine"]);
    bench.bulk(&["wait", "run/mine", "--for", "condition=Succeeded"]);
    bench.bulk(&["cancel", "run/mine"]);
    bench.bulk(&["describe", "run", "mine"]);
    bench.bulk(&["logs", "nobody"]);
    bench.bulk(&["rerun", "mine"]);
    bench.check("runs");
}

#[test]
fn what_needs_no_server_works_without_one() {
    let mut bench = Bench::start();
    bench.bulk(&["version", "--client"]);
    bench.bulk(&["explain", "pipeline.spec.concurrency"]);
    bench.bulk(&["explain", "run.spec.rerunOf", "--kubeconfig", "/nowhere"]);
    bench.bulk(&["get", "runs", "--kubeconfig", "/nowhere"]);
    bench.bulk(&["logs", "a/b"]);
    bench.check("alone");
    for shell in ["bash", "zsh", "fish"] {
        let output = bench.command(&["completion", shell]).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("rerun"),
            "{shell}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::start();
    // It shows nothing and waits: only that its reader is gone can end it.
    let mut child = bench
        .command(&["get", "pipelines", "-w", "-o", "yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(0), "")
    );
}
