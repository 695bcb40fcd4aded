//! How long a job takes to start and end, and how fast a log flows: the numbers of this host.
//!
//! `sandbox_bench <bulk-shim> [runs] [directory]`, in release. Prints medians; asserts nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use breakbulk_sandbox::{AttemptDir, Exit, Limits, Network, Secret, Spec, spawn_shim};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let shim = arguments
        .next()
        .ok_or("usage: sandbox_bench <bulk-shim> [runs] [directory]")?;
    let runs: usize = arguments.next().map_or(Ok(300), |runs| runs.parse())?;
    let top = arguments.next().unwrap_or_else(|| "/tmp".to_owned());
    let bench = Bench {
        shim: Path::new(&shim),
        top: Path::new(&top),
        runs,
    };
    bench.plain()?;
    bench.starts("namespaces", |_| {})?;
    bench.starts("and a network of its own", |spec| spec.network = Network::None)?;
    bench.starts("and limits", |spec| {
        spec.limits = Limits {
            memory_bytes: Some(1 << 30),
            pids: Some(500),
            cpu_millis: Some(2000),
            ..Limits::default()
        };
    })?;
    bench.log("1 GiB of log", |_| {})?;
    bench.log("1 GiB of log, with secrets", |spec| {
        spec.masks = (0..10).map(|i| Secret::new(format!("a-secret-value-{i}"))).collect();
    })
}

struct Bench<'a> {
    shim: &'a Path,
    top: &'a Path,
    runs: usize,
}

impl Bench<'_> {
    fn run(&self, script: &str, change: &dyn Fn(&mut Spec)) -> Result<(Duration, Duration, Exit), Failure> {
        let root = tempfile::tempdir_in(self.top)?;
        let workspace = root.path().join("workspace");
        std::fs::create_dir(&workspace)?;
        let dir = AttemptDir::create(root.path().join("attempt"))?;
        let name = format!(
            "bench-{}",
            root.path()
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or("x")
                .trim_start_matches('.')
        );
        let mut spec = Spec::new(name, workspace, script);
        change(&mut spec);
        let begin = Instant::now();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let mut child = spawn_shim(self.shim, &dir, &spec)?;
        child.wait()?;
        let total = begin.elapsed();
        let exit = dir.exit()?.ok_or("no end on record")?;
        let intent = Duration::from_nanos(exit.started_at.ok_or("did not start")?).saturating_sub(wall);
        Ok((intent, total, exit))
    }

    fn plain(&self) -> Result<(), Failure> {
        let mut times = Vec::new();
        for _ in 0..self.runs {
            let begin = Instant::now();
            std::process::Command::new("/bin/true").status()?;
            times.push(begin.elapsed());
        }
        println!("{:>34}: {:?} from start to end", "a plain process", median(&mut times));
        Ok(())
    }

    fn starts(&self, what: &str, change: impl Fn(&mut Spec)) -> Result<(), Failure> {
        let (mut intents, mut totals) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            let (intent, total, _) = self.run("", &|spec| {
                spec.shell = vec!["/bin/true".to_owned()];
                change(spec);
            })?;
            intents.push(intent);
            totals.push(total);
        }
        let (intent, total) = (median(&mut intents), median(&mut totals));
        println!("{what:>34}: {intent:?} until the clone is mapped, {total:?} from start to end on record");
        Ok(())
    }

    fn log(&self, what: &str, change: impl Fn(&mut Spec)) -> Result<(), Failure> {
        let script = "set +o pipefail; yes 'a line of a build log, as they are' | head -c 1G";
        let (_, total, exit) = self.run(script, &change)?;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = exit.log.length as f64 / 1e6 / total.as_secs_f64();
        println!("{what:>34}: {rate:.0} MB/s, end on record included");
        Ok(())
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
