//! `cargo xtask demo`: Breakbulk at work on its own repository. A release build, a fresh server, a bare clone of this
//! project; a push to the clone starts a run that checks, builds, tests and packs a part of it; then a run by hand.
//!
//! It does with `bulk` and git what a user would do by hand, and shows each command.

mod server;
mod summary;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::demo::server::Server;
use crate::{process, workspace};

/// How.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the server running at the end, and say how to go on
    #[arg(long)]
    keep: bool,
}

/// How long a push may take to become a run.
const NOTICED: Duration = Duration::from_secs(60);

/// Shows it.
pub(crate) fn run(args: &Args) -> Result<()> {
    for program in ["git", "cc", "bash"] {
        if process::find(program).is_none() {
            bail!("this machine has no `{program}`: the demo needs git, bash and a C compiler beside Rust");
        }
    }
    step("Build a release");
    process::run(process::cargo(["build", "--release", "--bins"]))?;
    let directory = tempfile::Builder::new()
        .prefix("breakbulk-demo-")
        .tempdir()
        .context("no temporary directory")?;
    let toolchain = Toolchain::find()?;

    step("Start everything in one process, on the embedded store");
    let server = Server::start(directory.path(), &[&toolchain.sysroot, &toolchain.registry])?;
    let shown = show(&server, directory.path(), &toolchain);
    if shown.is_err() {
        eprintln!("--- bulk up said:\n{}", server.said());
    }
    if args.keep {
        let directory = directory.keep();
        server.keep(&directory);
    } else {
        server.stop()?;
    }
    shown
}

/// Everything between start and end.
fn show(server: &Server, directory: &Path, toolchain: &Toolchain) -> Result<()> {
    step("Make a bare clone of this project, and tell the server of it");
    let bare = directory.join("breakbulk.git");
    clone(&bare)?;
    let url = format!("file://{}", bare.display());
    apply(
        server,
        directory,
        "repository.yaml",
        &[("file:///srv/git/breakbulk.git", &url)],
    )?;
    let (sysroot, registry) = (
        toolchain.sysroot.display().to_string(),
        toolchain.registry.display().to_string(),
    );
    let paths = [
        ("/opt/rust", sysroot.as_str()),
        ("/opt/cargo/registry", registry.as_str()),
    ];
    apply(server, directory, "pipeline.yaml", &paths)?;
    process::run(server.bulk(&[
        "wait",
        "gitrepository/breakbulk",
        "--for",
        "condition=Ready",
        "--timeout",
        "60s",
    ]))?;

    step("Push a commit, and follow the run that it starts");
    push(directory, &bare)?;
    let run = noticed(server)?;
    let pushed = server
        .bulk(&["logs", &format!("run/{run}"), "--follow"])
        .status()
        .context("cannot start bulk")?;

    step("Start a run by hand, with parameters");
    let by_hand = ["run", "demo", "-p", "label=by-hand", "-p", "tests=false", "--follow"];
    let by_hand = process::run(server.bulk(&by_hand));

    step("What ran");
    summary::print(server)?;
    if !pushed.success() {
        bail!("the run {run} did not succeed: see above");
    }
    by_hand
}

/// The Rust that builds us, and the crates it has fetched.
struct Toolchain {
    sysroot: PathBuf,
    registry: PathBuf,
}

impl Toolchain {
    fn find() -> Result<Self> {
        let mut rustc = process::command("rustc");
        rustc.args(["--print", "sysroot"]).current_dir(workspace::root());
        let sysroot = PathBuf::from(process::output(rustc)?.trim());
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
        let home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or(home)
            .context("HOME is not set")?;
        let registry = home.join("registry");
        for path in [sysroot.join("bin/cargo"), sysroot.join("bin/rustfmt"), registry.clone()] {
            if !path.exists() {
                bail!(
                    "there is no {}: the demo's jobs need cargo, rustfmt and the crates it has fetched",
                    path.display()
                );
            }
        }
        Ok(Self { sysroot, registry })
    }
}

fn step(words: &str) {
    println!("\n── {words}");
}

fn clone(bare: &Path) -> Result<()> {
    let mut git = process::command("git");
    git.args(["clone", "--quiet", "--bare"])
        .arg(workspace::root())
        .arg(bare);
    process::run(git)?;
    // Whatever branch is checked out here is what the demo calls main.
    let mut git = git_in(bare);
    git.args(["update-ref", "refs/heads/main", "HEAD"]);
    process::run(git)?;
    let mut git = git_in(bare);
    git.args(["symbolic-ref", "HEAD", "refs/heads/main"]);
    process::run(git)
}

/// Applies a manifest of the demo, with this machine's paths in it.
fn apply(server: &Server, directory: &Path, name: &str, places: &[(&str, &str)]) -> Result<()> {
    let source = workspace::root().join("manifests/demo").join(name);
    let mut text = std::fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    for (from, to) in places {
        text = text.replace(from, to);
    }
    let file = directory.join(name);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    process::run(server.bulk(&["apply", "-f", &file.display().to_string()]))
}

fn push(directory: &Path, bare: &Path) -> Result<()> {
    let work = directory.join("work");
    let mut git = process::command("git");
    git.args(["clone", "--quiet"]).arg(bare).arg(&work);
    process::run(git)?;
    let mut git = git_in(&work);
    git.args([
        "commit",
        "--quiet",
        "--allow-empty",
        "--message",
        "Show Breakbulk at work",
    ]);
    process::run(git)?;
    let mut git = git_in(&work);
    git.args(["push", "--quiet", "origin", "HEAD:main"]);
    process::run(git)
}

fn git_in(directory: &Path) -> Command {
    let mut git = process::command("git");
    git.current_dir(directory)
        .args(["-c", "user.name=Demo", "-c", "user.email=demo@example.org"]);
    git
}

/// Waits for the run that the push starts; gives its name.
fn noticed(server: &Server) -> Result<String> {
    let start = Instant::now();
    while start.elapsed() < NOTICED {
        let runs = process::output(server.bulk(&["get", "pipelineruns", "-o", "name"]))?;
        if let Some(name) = runs.lines().next().and_then(|line| line.rsplit('/').next()) {
            println!(
                "the push started run {name} after {:.1} s",
                start.elapsed().as_secs_f64()
            );
            return Ok(name.to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let why = process::output(server.bulk(&["get", "gitrepository", "breakbulk", "-o", "yaml"])).unwrap_or_default();
    bail!("the push started no run within {NOTICED:?}; the repository says:\n{why}")
}
