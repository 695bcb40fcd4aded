//! How the server is: the checks behind `/healthz`, `/livez` and `/readyz`. A probe asks the store every few seconds and
//! notes what it finds; an answer only reads the notes, so that whoever asks, and that may be anybody, costs nothing and
//! waits for nothing.
//!
//! The texts are upstream's (`k8s.io/apiserver/pkg/server/healthz/healthz.go`); monitors match on them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakbulk_store::{Revision, Store};
use tokio_util::sync::CancellationToken;

use crate::cacher::Cacher;

/// How often the store is asked, and how long it may take to answer.
const EVERY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing that can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The server answers at all.
    Ping,
    /// What must be written down is: the audit log's last write worked.
    Log,
    /// The store answers, and whoever writes there is alive.
    Store,
    /// The caches follow the store.
    Informers,
    /// The server is not going down.
    Shutdown,
}

/// The notes.
#[derive(Debug)]
pub struct Health {
    log: AtomicBool,
    store: AtomicBool,
    informers: AtomicBool,
    leaving: AtomicBool,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether all is well.
    pub outcome: Outcome,
    /// What to say.
    pub text: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Well,
    /// Not well.
    Failed,
}

impl Check {
    const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Log => "log",
            Self::Store => "store",
            Self::Informers => "informer-sync",
            Self::Shutdown => "shutdown",
        }
    }

    /// The checks behind a path.
    fn of(root: &str) -> &'static [Self] {
        match root {
            "livez" => &[Self::Ping, Self::Log, Self::Store],
            "readyz" => &[Self::Ping, Self::Log, Self::Store, Self::Informers, Self::Shutdown],
            _ => &[Self::Ping, Self::Log, Self::Store, Self::Informers],
        }
    }

    /// What is wrong when it fails. Everybody may read it: no internals.
    const fn complaint(self) -> &'static str {
        match self {
            Self::Ping => "the server does not answer",
            Self::Log => "the audit log cannot be written",
            Self::Store => "the store does not answer",
            Self::Informers => "the caches do not follow the store",
            Self::Shutdown => "process is shutting down",
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// All is well until something else is found.
    pub fn new() -> Self {
        Self {
            log: AtomicBool::new(true),
            store: AtomicBool::new(true),
            informers: AtomicBool::new(true),
            leaving: AtomicBool::new(false),
        }
    }

    /// Notes that the server is going down.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Notes whether the audit log could be written.
    pub fn note_log(&self, outcome: Outcome) {
        self.log.store(outcome == Outcome::Well, Ordering::Relaxed);
    }

    fn is_well(&self, check: Check) -> bool {
        match check {
            Check::Ping => true,
            Check::Log => self.log.load(Ordering::Relaxed),
            Check::Store => self.store.load(Ordering::Relaxed),
            Check::Informers => self.informers.load(Ordering::Relaxed),
            Check::Shutdown => !self.leaving.load(Ordering::Relaxed),
        }
    }

    /// Answers `/livez/CHECK`; none when there is no such check.
    pub fn one(&self, root: &str, name: &str) -> Option<Report> {
        let check = *Check::of(root).iter().find(|check| check.name() == name)?;
        Some(if self.is_well(check) {
            Report::well("ok".to_owned())
        } else {
            Report::failed(format!("internal server error: {}\n", check.complaint()))
        })
    }

    /// Answers `/livez`: `ok`, or line by line if that is wanted or something is wrong.
    pub fn all(&self, root: &str, verbose: bool, exclude: &[&str]) -> Report {
        let (mut lines, mut failed) = (String::new(), Vec::new());
        for check in Check::of(root) {
            let name = check.name();
            // Writing into a string cannot fail.
            let _ = if exclude.contains(&name) {
                writeln!(lines, "[+]{name} excluded: ok")
            } else if self.is_well(*check) {
                writeln!(lines, "[+]{name} ok")
            } else {
                failed.push(name);
                writeln!(lines, "[-]{name} failed: reason withheld")
            };
        }
        let unknown: Vec<String> = exclude
            .iter()
            .filter(|name| !Check::of(root).iter().any(|check| check.name() == **name))
            .map(|name| format!("{name:?}"))
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            let _ = writeln!(
                lines,
                "warn: some health checks cannot be excluded: no matches for {names}"
            );
        }
        if !failed.is_empty() {
            tracing::warn!(?failed, root, "a health check failed");
            return Report::failed(format!("{lines}{root} check failed\n"));
        }
        Report::well(if verbose {
            format!("{lines}{root} check passed\n")
        } else {
            "ok".to_owned()
        })
    }

    /// Asks the store and the caches until told to stop.
    pub async fn probe(self: Arc<Self>, store: Arc<dyn Store>, cacher: Arc<Cacher>, stop: CancellationToken) {
        loop {
            if let Some(revision) = self.ask(&*store, PATIENCE).await {
                let follow = tokio::time::timeout(PATIENCE, cacher.wait_for(revision.0)).await;
                self.informers.store(matches!(follow, Ok(Ok(_))), Ordering::Relaxed);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Asks the store, whose writer answers; its revision if it is well.
    async fn ask(&self, store: &dyn Store, patience: Duration) -> Option<Revision> {
        let condition = match tokio::time::timeout(patience, store.check()).await {
            Ok(Ok(condition)) => Some(condition),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store is not well");
                None
            }
            Err(_) => {
                tracing::warn!("the store does not answer");
                None
            }
        };
        self.store.store(condition.is_some(), Ordering::Relaxed);
        Some(condition?.revision)
    }
}

impl Report {
    const fn well(text: String) -> Self {
        Self {
            outcome: Outcome::Well,
            text,
        }
    }

    const fn failed(text: String) -> Self {
        Self {
            outcome: Outcome::Failed,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::sync::Mutex;

    use breakbulk_store::Txn;
    use breakbulk_store::embedded::{Disk, Embedded, Options, RealDisk};
    use futures::FutureExt as _;

    use super::*;

    /// A disk whose syncs hang while it is locked.
    struct Hangs(Arc<Mutex<()>>);

    impl Disk for Hangs {
        fn sync(&self, file: &File) -> io::Result<()> {
            let _free = self.0.lock().unwrap();
            RealDisk.sync(file)
        }
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "the lock is what the disk hangs on")]
    async fn a_store_whose_disk_hangs_is_not_well_until_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let hold = Arc::new(Mutex::new(()));
        let options = Options {
            disk: Arc::new(Hangs(hold.clone())),
            ..Options::default()
        };
        let store = Embedded::open(dir.path(), options).unwrap();
        let health = Health::new();
        assert!(health.ask(&store, PATIENCE).await.is_some());
        let held = hold.lock().unwrap();
        let mut writing = store.txn(Txn::put("/a", "1"));
        assert!((&mut writing).now_or_never().is_none());
        assert_eq!(health.ask(&store, Duration::ZERO).await, None);
        assert_eq!(health.one("livez", "store").unwrap().outcome, Outcome::Failed);
        drop(held);
        writing.await.unwrap();
        assert!(health.ask(&store, PATIENCE).await.is_some());
        assert_eq!(health.one("livez", "store").unwrap().outcome, Outcome::Well);
    }

    #[test]
    fn what_is_well_says_ok_and_line_by_line_when_asked() {
        let health = Health::new();
        assert_eq!(health.all("livez", false, &[]), Report::well("ok".to_owned()));
        let told = health.all("livez", true, &["store", "nonsense"]);
        assert_eq!(
            told.text,
            "[+]ping ok\n[+]log ok\n[+]store excluded: ok\nwarn: some health checks cannot be excluded: no matches for \
             \"nonsense\"\nlivez check passed\n"
        );
        assert_eq!(health.one("livez", "ping"), Some(Report::well("ok".to_owned())));
        assert_eq!(health.one("livez", "shutdown"), None);
    }

    #[test]
    fn what_fails_is_named_and_its_reason_withheld() {
        let health = Health::new();
        health.leave();
        let told = health.all("readyz", false, &[]);
        assert_eq!(told.outcome, Outcome::Failed);
        assert!(
            told.text
                .ends_with("[-]shutdown failed: reason withheld\nreadyz check failed\n"),
            "{}",
            told.text
        );
        assert_eq!(health.all("readyz", false, &["shutdown"]).outcome, Outcome::Well);
        assert_eq!(health.all("livez", false, &[]).outcome, Outcome::Well);
        assert!(health.one("readyz", "shutdown").unwrap().text.contains("shutting down"));
    }
}
