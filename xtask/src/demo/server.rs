//! The `bulk up` of the demo.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace};

/// It, running.
pub(crate) struct Server {
    bulk: PathBuf,
    kubeconfig: PathBuf,
    log: PathBuf,
    child: Child,
}

/// How long it may take to end.
const STOP: Duration = Duration::from_secs(30);

impl Server {
    /// Starts it with its data below `directory`; these paths become visible to jobs.
    pub(crate) fn start(directory: &Path, expose: &[&Path]) -> Result<Self> {
        let bulk = workspace::metadata()?.target_directory.join("release/bulk");
        let (data, log) = (directory.join("data"), directory.join("bulk-up.log"));
        let mut command = Command::new(&bulk);
        command.args(["up", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
        for path in expose {
            command.arg("--expose").arg(path);
        }
        let stderr = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        // In a group of its own: an interrupt of the demo is not one of the server.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let start = Instant::now();
        let mut child = command.spawn().context("cannot start bulk up")?;
        let stdout = child.stdout.take().context("bulk up has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = lines.find_map(|line| line.ok().filter(|line| line.starts_with("ready")));
        let kubeconfig = data.join("kubeconfig");
        let server = Self {
            bulk,
            kubeconfig,
            log,
            child,
        };
        match ready {
            Some(line) => {
                println!("{line} (after {:.0} ms)", start.elapsed().as_secs_f64() * 1000.0);
                Ok(server)
            }
            None => bail!("bulk up ended before it was ready; it said:\n{}", server.said()),
        }
    }

    /// A command with its credentials.
    pub(crate) fn bulk(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.bulk);
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// What it said last.
    pub(crate) fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Leaves it running and says how to go on.
    pub(crate) fn keep(&self, directory: &Path) {
        let (bulk, kubeconfig) = (self.bulk.display(), self.kubeconfig.display());
        println!("\nThe server is still running. To go on:\n");
        println!("  export KUBECONFIG={kubeconfig}");
        println!("  alias bulk={bulk}");
        println!("  bulk get runs");
        println!("  bulk run demo --follow");
        println!("  kubectl get jobs.breakbulk.dev -o wide\n");
        println!("To end it: kill {}; rm -r {}", self.child.id(), directory.display());
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        let mut kill = process::command("kill");
        kill.args(["-TERM", &self.child.id().to_string()]);
        process::output(kill)?;
        let start = Instant::now();
        while start.elapsed() < STOP {
            if self.child.try_wait().context("cannot wait for bulk up")?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().context("cannot kill bulk up")?;
        bail!("bulk up did not end within {STOP:?}; it said:\n{}", self.said())
    }
}
