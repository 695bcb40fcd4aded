//! The runner of one attempt: the sequence, with its waits. What is decided on the way is decided elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use breakbulk_sandbox::{self as sandbox, Signal, Spec};
use breakbulk_schemas::job::{Job, JobSpec, JobStatus};
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::claim::Claimant;
use super::ending::{self, At, Ending, Next, Record};
use super::process::Shim;
use super::report::{self, Written};
use super::spec::{self, NodeSettings};
use crate::boot::BootId;
use crate::checkout::Checkouts;
use crate::cleaner::Cleaner;
use crate::dispatch::Hold;
use crate::fence::Fence;
use crate::journal::{AttemptId, Entry, Journal};
use crate::notice::Notices;
use crate::secrets;
use crate::ship::link::Link;
use crate::ship::{self, End, Shipment, Shipped, spool};

/// A script that runs for longer than this has its start written down while it runs; a shorter one's start is written
/// with its end.
const START_REPORT: Duration = Duration::from_millis(150);
/// How long the end waits for the log's seal, to be written in one.
const SEAL_WAIT: Duration = Duration::from_millis(200);
/// Between two tries to tell a shim to end, while it is only just starting.
const SIGNAL_AGAIN: Duration = Duration::from_millis(50);
/// A server that does not know of the claim yet is asked again this often before it is believed.
const FENCED_TRIES: u32 = 6;

/// What all attempts of an agent share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: NodeSettings,
    pub(crate) shim: PathBuf,
    pub(crate) boot: BootId,
    pub(crate) fence: Arc<Fence>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) cleaner: Cleaner,
    pub(crate) notices: Notices,
    pub(crate) link: Link,
    pub(crate) checkouts: Checkouts,
    /// No more waiting: what is left is left to the next agent.
    pub(crate) shutdown: CancellationToken,
}

/// What an attempt is told from outside. Each replaces only what stands before it here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Go on.
    Run,
    /// End the script, and report it as cancelled, for this reason.
    Cancel(String),
    /// The Job is gone: end the script, and report nothing.
    Deleted,
    /// Kill the script at once: others may take it for lost, for this cause.
    Lost(String),
}

/// What became of an attempt, as far as this agent is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The Job did not want it any more.
    NotClaimed,
    /// Reported, sealed, cleaned up.
    Done,
    /// Left to the next agent.
    Left,
}

/// A runner.
pub(crate) struct Attempt {
    pub(crate) context: Arc<Context>,
    pub(crate) orders: watch::Receiver<Order>,
    /// What it takes of the node, until its script is gone.
    pub(crate) hold: Option<Hold>,
}

/// The log's shipping, going on beside the attempt.
struct Shipping {
    end: watch::Sender<Option<End>>,
    task: AbortOnDropHandle<Option<Shipped>>,
}

impl Attempt {
    /// Claims and runs a new attempt.
    pub(crate) async fn make(mut self, job: Job, id: AttemptId) -> Outcome {
        let context = Arc::clone(&self.context);
        let claimant = Claimant {
            client: &context.client,
            node: &context.settings.node,
            boot: &context.boot,
            fence: &context.fence,
        };
        let claimed = context.shutdown.run_until_cancelled(claimant.claim(job, &id)).await;
        let Some((claim, job)) = claimed.flatten() else {
            return Outcome::NotClaimed;
        };
        let journal = Arc::clone(&context.journal);
        let recorded = blocking({
            let claim = claim.clone();
            move || journal.record(&claim)
        });
        let entry = match recorded.await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(?claim, error = %chain(&error), "cannot record a claim");
                let ending = Ending::setup_failed(format!("could not be recorded on its node: {}", chain(&error)));
                let change = |spec: &JobSpec, status: &mut JobStatus, at: &At| ending.apply(spec, status, at);
                report::update(&context.client, &claim, Some(job), change).await;
                return Outcome::Done;
            }
        };
        let shipping = self.ship(&entry);
        match self.start(&job, &entry).await {
            Ok(mut shim) => match self.watch(&entry, &mut shim, Some(job)).await {
                Some(known) => self.end(&entry, shipping, known).await,
                None => Outcome::Left,
            },
            Err(ending) => self.finish(&entry, shipping, *ending, Some(job)).await,
        }
    }

    /// Takes over an attempt that an earlier agent has claimed.
    pub(crate) async fn resume(mut self, entry: Entry) -> Outcome {
        let shipping = self.ship(&entry);
        if self.record(&entry).next() == Next::Watch {
            let mut shim = Shim::found(entry.shared());
            if self.watch(&entry, &mut shim, None).await.is_none() {
                return Outcome::Left;
            }
        }
        self.end(&entry, shipping, None).await
    }

    fn ship(&self, entry: &Entry) -> Option<Shipping> {
        let notice = match self.context.notices.watch(&entry.path) {
            Ok(notice) => notice,
            Err(error) => {
                tracing::error!(claim = ?entry.claim, %error, "cannot watch the spool");
                return None;
            }
        };
        let (end, ended) = watch::channel(None);
        let mut shipment = Shipment {
            claim: entry.claim.clone(),
            spool: entry.shared().spool_path(),
            notice,
            end: ended,
            patched: None,
        };
        let link = self.context.link.clone();
        let task = tokio::spawn(async move {
            let mut tries = 0;
            loop {
                match ship::ship(&link, &mut shipment).await {
                    Some(Shipped::Fenced(_)) if tries < FENCED_TRIES => {
                        tries += 1;
                        tokio::time::sleep(Duration::from_millis(50) * 2u32.pow(tries)).await;
                    }
                    shipped => return shipped,
                }
            }
        });
        Some(Shipping {
            end,
            task: AbortOnDropHandle::new(task),
        })
    }

    /// Prepares what the script needs and starts its shim.
    async fn start(&mut self, job: &Job, entry: &Entry) -> Result<Shim, Box<Ending>> {
        let mut orders = self.orders.clone();
        let spec = tokio::select! {
            spec = self.prepare(job, entry) => spec?,
            order = stopped(&mut orders) => return Err(Box::new(self.stopped_early(entry, &order))),
        };
        let (path, dir) = (self.context.shim.clone(), entry.shared());
        let spawned = blocking(move || sandbox::spawn_shim(&path, &dir, &spec)).await;
        match spawned {
            Ok(child) => Ok(Shim::started(entry.shared(), child)),
            Err(error) => Err(Box::new(Ending::setup_failed(format!(
                "could not be started: {}",
                chain(&error)
            )))),
        }
    }

    fn stopped_early(&self, entry: &Entry, order: &Order) -> Ending {
        match order {
            Order::Lost(cause) => {
                if let Err(error) = entry.write_lost(cause) {
                    tracing::error!(error = %chain(&error), "cannot record a lost attempt");
                }
                Ending::lost(cause)
            }
            _ => Ending::cancelled(),
        }
    }

    async fn prepare(&self, job: &Job, entry: &Entry) -> Result<Spec, Box<Ending>> {
        let context = &self.context;
        let failed = |words: &str, error: &dyn std::error::Error| {
            Box::new(Ending::setup_failed(format!("{words}: {}", chain(error))))
        };
        let secrets = secrets::resolve(&context.client, &entry.claim.namespace, &job.spec.secrets);
        let secrets = secrets
            .await
            .map_err(|error| failed("could not get its secrets", &error))?;
        if let Some(wanted) = &job.spec.checkout {
            let workspace = entry.workspace();
            let checkout = context
                .checkouts
                .checkout(&context.client, &entry.claim, wanted, &workspace);
            checkout.await.map_err(|error| failed("could not check out", &error))?;
        }
        spec::spec(&job.spec, entry, &context.settings, &secrets).map_err(|error| failed("could not be set up", &error))
    }

    /// Waits until the shim is gone. `None` when the agent shuts down first. Returns the Job as it was last seen.
    async fn watch(&mut self, entry: &Entry, shim: &mut Shim, known: Option<Job>) -> Option<Option<Job>> {
        let context = Arc::clone(&self.context);
        let mut known = known;
        let start = report_start(&context, entry, known.clone());
        tokio::pin!(start);
        let mut start_open = true;
        let mut told = Order::Run;
        loop {
            let order = self.orders.borrow_and_update().clone();
            let mut again = false;
            if order > told {
                if tell(entry, &order) {
                    told = order;
                } else {
                    again = true;
                }
            }
            tokio::select! {
                biased;
                () = shim.gone() => return Some(known),
                job = &mut start, if start_open => {
                    start_open = false;
                    known = job.or(known);
                }
                changed = self.orders.changed() => if changed.is_err() {
                    return None;
                },
                () = tokio::time::sleep(SIGNAL_AGAIN), if again => {}
                () = context.shutdown.cancelled() => return None,
            }
        }
    }

    fn record(&self, entry: &Entry) -> Record {
        let shared = entry.shared();
        // The lock is asked before the end is read: a shim that is gone has written everything it ever will.
        let shim_lives = sandbox::is_alive(&shared).unwrap_or(false);
        let log = |error: sandbox::AttemptDirError| {
            tracing::error!(claim = ?entry.claim, error = %chain(&error), "cannot read an attempt's record");
        };
        Record {
            same_boot: entry.claim.boot_id == self.context.boot.as_str(),
            shim_lives,
            started: shared.started().map_err(log).ok().flatten().map(|s| s.started_at),
            exit: shared.exit().map_err(log).ok().flatten(),
            lost: entry.lost(),
        }
    }

    /// The shim is gone: what is on record decides.
    async fn end(&mut self, entry: &Entry, shipping: Option<Shipping>, known: Option<Job>) -> Outcome {
        match self.record(entry).next() {
            Next::Report(ending) => self.finish(entry, shipping, *ending, known).await,
            // Its lock was free a moment ago; the next agent looks again.
            Next::Watch => Outcome::Left,
        }
    }

    /// Ships the rest, reports, cleans up.
    async fn finish(
        &mut self,
        entry: &Entry,
        shipping: Option<Shipping>,
        ending: Ending,
        known: Option<Job>,
    ) -> Outcome {
        self.hold = None;
        if *self.orders.borrow() == Order::Deleted {
            self.context.cleaner.discard(&entry.path);
            return Outcome::Done;
        }
        let context = Arc::clone(&self.context);
        let mut shipping = shipping;
        let close = async {
            if let Some(shipping) = &shipping {
                let end = log_end(entry, &ending).await;
                shipping.end.send_replace(Some(end));
            }
            let early = shipped(&mut shipping, SEAL_WAIT).await;
            let change = |spec: &JobSpec, status: &mut JobStatus, at: &At| {
                if let Some(shipped) = &early {
                    ending::apply_log(shipped, status, at);
                }
                ending.apply(spec, status, at)
            };
            let known = match report::update(&context.client, &entry.claim, known, change).await {
                Written::Gone => return,
                Written::Yes(job) => Some(*job),
                Written::Unchanged => None,
                Written::Refused(message) => {
                    tracing::error!(claim = ?entry.claim, message, "the server does not take an attempt's end");
                    None
                }
            };
            if early.is_some() && known.is_some() {
                return;
            }
            // The workspace is not needed for the log.
            context.cleaner.discard(&entry.workspace());
            context.cleaner.discard(&entry.scratch());
            let shipped = match early {
                Some(shipped) => Some(shipped),
                None => shipped(&mut shipping, Duration::MAX).await,
            };
            if let Some(shipped) = &shipped {
                let change = |_: &JobSpec, status: &mut JobStatus, at: &At| ending::apply_log(shipped, status, at);
                report::update(&context.client, &entry.claim, known, change).await;
            }
        };
        let mut orders = self.orders.clone();
        tokio::select! {
            () = close => {}
            () = deleted(&mut orders) => {}
            () = context.shutdown.cancelled() => return Outcome::Left,
        }
        context.cleaner.discard(&entry.path);
        Outcome::Done
    }
}

/// Tells the shim. `false` when it could not be told yet.
fn tell(entry: &Entry, order: &Order) -> bool {
    let shared = entry.shared();
    let (written, signal) = match order {
        Order::Run => return true,
        Order::Cancel(reason) => (shared.write_cancel(reason).map_err(|e| chain(&e)), Signal::Cancel),
        Order::Deleted => (
            shared.write_cancel("the job was deleted").map_err(|e| chain(&e)),
            Signal::Cancel,
        ),
        Order::Lost(cause) => (entry.write_lost(cause).map_err(|e| chain(&e)), Signal::Kill),
    };
    if let Err(error) = written {
        tracing::error!(claim = ?entry.claim, error, "cannot record why an attempt is stopped");
    }
    match sandbox::signal_shim(&shared, signal) {
        Ok(told) => told,
        Err(error) => {
            tracing::error!(claim = ?entry.claim, error = %chain(&error), "cannot signal a shim; trying again");
            false
        }
    }
}

async fn stopped(orders: &mut watch::Receiver<Order>) -> Order {
    let order = orders
        .wait_for(|order| *order != Order::Run)
        .await
        .map(|order| order.clone());
    match order {
        Ok(order) => order,
        Err(_) => std::future::pending().await,
    }
}

async fn deleted(orders: &mut watch::Receiver<Order>) {
    if orders.wait_for(|order| *order == Order::Deleted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Writes down that the script has started, once it has run for a while.
async fn report_start(context: &Context, entry: &Entry, known: Option<Job>) -> Option<Job> {
    let mut started = None;
    while started.is_none() {
        tokio::time::sleep(START_REPORT).await;
        started = entry.shared().started().ok().flatten();
    }
    let started = started?.started_at;
    let change = |_: &JobSpec, status: &mut JobStatus, at: &At| ending::apply_start(started, status, at);
    match report::update(&context.client, &entry.claim, known, change).await {
        Written::Yes(job) => Some(*job),
        _ => None,
    }
}

/// How the log ends: as the shim says, or as what is there of it.
async fn log_end(entry: &Entry, ending: &Ending) -> End {
    let shared = entry.shared();
    if let Ok(Some(exit)) = shared.exit()
        && let Some(digest) = unhex(&exit.log.sha256)
    {
        return End {
            length: exit.log.length,
            digest,
        };
    }
    let (path, note) = (shared.spool_path(), ending.note());
    let (length, digest) = blocking(move || {
        if let Some(note) = note
            && let Err(error) = spool::write_note(&path, &note)
        {
            tracing::warn!(%error, "cannot write a note into a log");
        }
        spool::measure(&path)
    })
    .await;
    End { length, digest }
}

/// What became of the log, if that is known within `wait`.
async fn shipped(shipping: &mut Option<Shipping>, wait: Duration) -> Option<Shipped> {
    let Some(running) = shipping else {
        return Some(Shipped::Broken("the node could not watch the log".to_owned()));
    };
    let result = tokio::time::timeout(wait, &mut running.task).await.ok()?;
    *shipping = None;
    match result {
        Ok(Some(shipped)) => Some(shipped),
        // The connection's keeper is gone: the agent shuts down.
        Ok(None) => std::future::pending().await,
        Err(error) => Some(Shipped::Broken(format!("shipping the log failed: {error}"))),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("blocking work does not panic, and is not cancelled while it is waited for")
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
