//! The Python clients `kubernetes` and `kr8s`: they send no `Content-Type`, slashes at the end of paths, bodies without
//! kind, and patches of kinds that no other client sends.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use breakbulk_tests::fleet::{Fleet, Size};
use breakbulk_tests::store::Kind;
use tokio::process::Command;

/// What is installed, and the name of its directory in the user's cache.
const PACKAGES: &[&str] = &["kubernetes==37.0.2", "kr8s==0.20.15"];
const SCRIPT: &str = include_str!("python_clients.py");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_clients_work() {
    let python = match environment().await {
        Ok(python) => python,
        Err(error) => {
            println!("SKIPPED: no Python with {}: {error:#}", PACKAGES.join(", "));
            return;
        }
    };
    let size = Size {
        servers: 1,
        controllers: 1,
        agents: 0,
    };
    let fleet = Box::pin(Fleet::start(Kind::Embedded, size)).await.unwrap();
    let script = fleet.scratch().join("python_clients.py");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut command = Command::new(python);
    command
        .arg(&script)
        .env("KUBECONFIG", &fleet.cluster().kubeconfig)
        .env("HOME", fleet.scratch());
    let output = tokio::time::timeout(std::time::Duration::from_secs(200), command.kill_on_drop(true).output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A Python with the packages: the one made earlier, or a new one in the user's cache.
async fn environment() -> Result<PathBuf> {
    let directory = cache()?.join(PACKAGES.join("-").replace('=', ""));
    let python = directory.join("bin/python");
    if python.is_file() {
        return Ok(python);
    }
    let parent = directory.parent().context("the cache is the root directory")?;
    std::fs::create_dir_all(parent).context("cannot make the cache")?;
    // Beside its place, then moved there: what is there is whole.
    let scratch = tempfile::tempdir_in(parent).context("no temporary directory")?;
    let made = scratch.path().join("environment");
    run(Command::new("python3").args(["-m", "venv"]).arg(&made)).await?;
    let mut install = Command::new(made.join("bin/python"));
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--timeout",
        "20",
        "--retries",
        "1",
    ]);
    run(install.args(PACKAGES)).await?;
    match std::fs::rename(&made, &directory) {
        // Somebody else was faster.
        Err(_) if python.is_file() => {}
        moved => moved.context("cannot move the environment into the cache")?,
    }
    Ok(python)
}

async fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start python3")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().last().unwrap_or("it failed in silence"));
    }
    Ok(())
}

fn cache() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join(Path::new("breakbulk/tools")))
}
