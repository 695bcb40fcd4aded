//! From what the watch shows to attempts under way: one loop that owns all of them.
//!
//! Events are hints: each Job is judged as it is ([`decide`]), and whoever acts on it reads or swaps it first. The
//! loop itself never waits for the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breakbulk_schemas::job::outcome::{State, state};
use breakbulk_schemas::job::{Job, JobSpec, JobStatus};
use futures::{StreamExt, TryStreamExt};
use kube::runtime::events::{Event as Told, EventType, Recorder, Reporter};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_jobs};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::attempt::claim::wanted;
use crate::attempt::ending::{At, Ending, apply_log};
use crate::attempt::report::{self, Backoff, Fault};
use crate::attempt::{Attempt, Context, Order, Outcome};
use crate::capacity::{Amount, Ledger};
use crate::journal::{AttemptId, Claim, Entry};
use crate::ship::Shipped;

/// How long a job that does not fit is kept before it is handed back: a scheduler that is wrong about this node
/// must not be kept busy by it.
const REFUSAL_PAUSE: Duration = Duration::from_millis(500);
/// How long attempts may take to come to a point where the next agent can take over.
const DRAIN: Duration = Duration::from_secs(20);
/// How often the fence is looked at, beside at its deadline.
const FENCE_LOOK: Duration = Duration::from_millis(500);

/// What a Job asks of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing.
    Ignore,
    /// To be claimed.
    Claim(AttemptId),
    /// To be stopped.
    Stop(AttemptId),
    /// This node claimed it, and knows nothing of it.
    Lost(AttemptId),
}

/// Judges a Job. `known` says whether an attempt is under way here.
pub(crate) fn decide(job: &Job, node: &str, known: impl Fn(&AttemptId) -> bool) -> Decision {
    if let Some(id) = wanted(job, node) {
        return if known(&id) {
            Decision::Ignore
        } else {
            Decision::Claim(id)
        };
    }
    let State::Active(attempt) = state(&job.spec, job.status.as_ref()) else {
        return Decision::Ignore;
    };
    if attempt.node != node {
        return Decision::Ignore;
    }
    let id = job
        .metadata
        .uid
        .as_deref()
        .and_then(|uid| AttemptId::new(uid, attempt.number));
    match id {
        None => Decision::Ignore,
        Some(id) if !known(&id) => Decision::Lost(id),
        Some(id) if job.spec.cancel || job.metadata.deletion_timestamp.is_some() => Decision::Stop(id),
        Some(_) => Decision::Ignore,
    }
}

/// What an attempt takes of the node, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    ledger: Arc<Mutex<Ledger>>,
    amount: Amount,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .give_back(self.amount);
    }
}

/// An attempt under way, or a task that speaks for one.
struct Handle {
    orders: watch::Sender<Order>,
    claim: Option<Claim>,
    namespace: String,
    name: String,
    /// The Job as it was last shown while the task was at work: judged again if the task did not claim it.
    latest: Option<Job>,
}

/// How a task of the loop ended.
enum Ended {
    Attempt(AttemptId, Outcome),
    /// Whether the Job of this UID is gone.
    Looked(String, bool),
}

/// The loop's state.
pub(crate) struct Dispatch {
    context: Arc<Context>,
    ledger: Arc<Mutex<Ledger>>,
    recorder: Recorder,
    handles: HashMap<AttemptId, Handle>,
    tasks: JoinSet<Ended>,
    /// UIDs seen since the watch began anew.
    listed: Option<Vec<String>>,
    fenced: bool,
}

impl Dispatch {
    pub(crate) fn new(context: Arc<Context>, total: Amount) -> Self {
        let reporter = Reporter {
            controller: "breakbulk.dev/node-agent".to_owned(),
            instance: Some(context.settings.node.clone()),
        };
        Self {
            recorder: Recorder::new(context.client.clone(), reporter),
            context,
            ledger: Arc::new(Mutex::new(Ledger::new(total))),
            handles: HashMap::new(),
            tasks: JoinSet::new(),
            listed: None,
            fenced: false,
        }
    }

    /// Takes over what an earlier agent left, then follows the Jobs bound to this node until shutdown.
    pub(crate) async fn run(mut self, found: Vec<Entry>) {
        for entry in found {
            self.resume(entry);
        }
        let context = Arc::clone(&self.context);
        let api = Api::<Job>::all(context.client.clone());
        let selector = format!("spec.nodeName={}", context.settings.node);
        let config = watcher::Config::default().fields(&selector);
        let mut events = watch_jobs(api, config).default_backoff().into_stream().boxed();
        loop {
            tokio::select! {
                biased;
                () = context.shutdown.cancelled() => break,
                () = fence_turned(&context, self.fenced) => self.fence(),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended),
                event = events.next() => match event {
                    Some(Ok(event)) => self.event(event),
                    Some(Err(error)) => tracing::warn!(%error, "the watch of jobs broke; it starts again"),
                    None => break,
                },
            }
        }
        self.drain().await;
    }

    async fn drain(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::warn!("some attempts did not come to rest; the next agent looks after them");
            self.tasks.shutdown().await;
        }
    }

    fn event(&mut self, event: Event<Job>) {
        match event {
            Event::Init => self.listed = Some(Vec::new()),
            Event::InitApply(job) => {
                if let Some(listed) = &mut self.listed {
                    listed.extend(job.metadata.uid.clone());
                }
                self.judge(job);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let missing = self
                    .handles
                    .keys()
                    .filter(|id| !listed.iter().any(|uid| uid == id.uid()));
                let missing: Vec<_> = missing.cloned().collect();
                missing.iter().for_each(|id| self.look(id));
            }
            Event::Apply(job) => self.judge(job),
            Event::Delete(job) => {
                let uid = job.metadata.uid.as_deref().unwrap_or_default();
                let ids = self.handles.keys().filter(|id| id.uid() == uid);
                let ids: Vec<_> = ids.cloned().collect();
                ids.iter().for_each(|id| self.look(id));
            }
        }
    }

    fn judge(&mut self, job: Job) {
        let node = self.context.settings.node.clone();
        match decide(&job, &node, |id| self.handles.contains_key(id)) {
            Decision::Ignore => self.remember(job),
            Decision::Claim(id) => self.claim(job, id),
            Decision::Stop(id) => {
                let reason = if job.spec.cancel {
                    "the job was cancelled"
                } else {
                    "the job is being deleted"
                };
                self.order(&id, &Order::Cancel(reason.to_owned()));
                self.remember(job);
            }
            Decision::Lost(id) => self.lost(&job, id),
        }
    }

    fn remember(&mut self, job: Job) {
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let waiting = self
            .handles
            .iter_mut()
            .find(|(id, h)| id.uid() == uid && h.claim.is_none());
        if let Some((_, handle)) = waiting {
            handle.latest = Some(job);
        }
    }

    fn order(&self, id: &AttemptId, order: &Order) {
        if let Some(handle) = self.handles.get(id) {
            handle.orders.send_if_modified(|current| {
                let moves = order > current;
                if moves {
                    current.clone_from(order);
                }
                moves
            });
        }
    }

    fn claim(&mut self, job: Job, id: AttemptId) {
        let amount = Amount::of_job(&job.spec.resources);
        let taken = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).take(amount);
        let orders = self.register(&id, None, &job.namespace().unwrap_or_default(), &job.name_any());
        let context = Arc::clone(&self.context);
        match taken {
            Ok(()) => {
                let attempt = Attempt {
                    context,
                    orders,
                    hold: Some(Hold {
                        ledger: Arc::clone(&self.ledger),
                        amount,
                    }),
                };
                self.tasks.spawn(async move {
                    let outcome = Box::pin(attempt.make(job, id.clone())).await;
                    Ended::Attempt(id, outcome)
                });
            }
            Err(short) => {
                let recorder = self.recorder.clone();
                self.tasks.spawn(async move {
                    let refusal = refuse(&context, &recorder, &job, &short);
                    let _ = context.shutdown.run_until_cancelled(Box::pin(refusal)).await;
                    Ended::Attempt(id, Outcome::NotClaimed)
                });
            }
        }
    }

    fn resume(&mut self, entry: Entry) {
        let claim = entry.claim.clone();
        let id = claim.id();
        let orders = self.register(&id, Some(claim.clone()), &claim.namespace, &claim.job);
        // What it takes is not on record; a place for a job is the least.
        let amount = Amount::of_job(&breakbulk_schemas::pipeline::Resources::default());
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).adopt(amount);
        let attempt = Attempt {
            context: Arc::clone(&self.context),
            orders,
            hold: Some(Hold {
                ledger: Arc::clone(&self.ledger),
                amount,
            }),
        };
        self.tasks.spawn(async move {
            let outcome = Box::pin(attempt.resume(entry)).await;
            Ended::Attempt(id, outcome)
        });
    }

    /// Ends an attempt that this node claimed and has no record of.
    fn lost(&mut self, job: &Job, id: AttemptId) {
        let status = job.status.as_ref();
        let attempt = status.and_then(|s| s.attempts.iter().find(|a| a.number == id.number()));
        let Some(attempt) = attempt else { return };
        let claim = Claim {
            namespace: job.namespace().unwrap_or_default(),
            job: job.name_any(),
            uid: id.uid().to_owned(),
            number: id.number(),
            node: attempt.node.clone(),
            token: attempt.token.clone(),
            boot_id: attempt.boot_id.clone(),
            claim_time: attempt.claim_time.0,
        };
        let cause = if claim.boot_id == self.context.boot.as_str() {
            "its node has no record of it"
        } else {
            "the machine was restarted"
        };
        self.register(&id, Some(claim.clone()), &claim.namespace, &claim.job);
        let context = Arc::clone(&self.context);
        self.tasks.spawn(async move {
            let ending = Ending::lost(cause);
            let report = async {
                // Nobody will ever complete its log: who follows it need not wait.
                let log = Shipped::Broken(cause.to_owned());
                let change = |spec: &JobSpec, status: &mut JobStatus, at: &At| {
                    let ended = ending.apply(spec, status, at);
                    if ended {
                        apply_log(&log, status, at);
                    }
                    ended
                };
                report::update(&context.client, &claim, None, change).await
            };
            let _ = context.shutdown.run_until_cancelled(Box::pin(report)).await;
            Ended::Attempt(id, Outcome::Done)
        });
    }

    fn register(
        &mut self,
        id: &AttemptId,
        claim: Option<Claim>,
        namespace: &str,
        name: &str,
    ) -> watch::Receiver<Order> {
        let (orders, receiver) = watch::channel(Order::Run);
        let handle = Handle {
            orders,
            claim,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            latest: None,
        };
        self.handles.insert(id.clone(), handle);
        receiver
    }

    /// A Job is no longer shown: looks whether it is gone, or only bound elsewhere.
    fn look(&mut self, id: &AttemptId) {
        let Some(handle) = self.handles.get(id) else { return };
        let api = Api::<Job>::namespaced(self.context.client.clone(), &handle.namespace);
        let (name, uid) = (handle.name.clone(), id.uid().to_owned());
        let shutdown = self.context.shutdown.clone();
        self.tasks.spawn(async move {
            let look = async {
                let mut backoff = Backoff::new();
                let mut refusals = 0;
                while refusals < report::REFUSALS {
                    match report::request(api.get_opt(&name)).await {
                        Ok(job) => return job.is_none_or(|job| job.metadata.uid.as_deref() != Some(&uid)),
                        Err(Fault::NotFound) => return true,
                        Err(fault) => refusals += u32::from(matches!(fault, Fault::Forbidden(_))),
                    }
                    backoff.wait().await;
                }
                true
            };
            let gone = shutdown.run_until_cancelled(look).await.unwrap_or(false);
            Ended::Looked(uid, gone)
        });
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Attempt(id, outcome)) => {
                tracing::debug!(%id, ?outcome, "an attempt's task has ended");
                let latest = self.handles.remove(&id).and_then(|handle| handle.latest);
                if let (Outcome::NotClaimed, Some(job)) = (outcome, latest) {
                    self.judge(job);
                }
            }
            Ok(Ended::Looked(uid, true)) => {
                let ids: Vec<_> = self.handles.keys().filter(|id| id.uid() == uid).cloned().collect();
                ids.iter().for_each(|id| self.order(id, &Order::Deleted));
            }
            Ok(Ended::Looked(_, false)) => {}
            // The attempt's directory is still there; a restart of the agent takes it up.
            Err(error) => tracing::error!(%error, "an attempt's task failed"),
        }
    }

    /// The fence has come down, or was lifted.
    fn fence(&mut self) {
        self.fenced = self.context.fence.left().is_none();
        if !self.fenced {
            tracing::info!("the lease is renewed again; the node takes jobs");
            return;
        }
        tracing::error!("the lease could not be renewed in time: ending all jobs, since others may start them again");
        let cause = "its node could not reach the API server in time and ended it".to_owned();
        for id in self.handles.keys() {
            self.order(id, &Order::Lost(cause.clone()));
        }
    }
}

/// Waits until the fence is on the other side of `fenced`.
async fn fence_turned(context: &Context, fenced: bool) {
    loop {
        match context.fence.left() {
            None if !fenced => return,
            Some(_) if fenced => return,
            None => tokio::time::sleep(FENCE_LOOK).await,
            Some(left) => tokio::time::sleep(left.min(FENCE_LOOK)).await,
        }
    }
}

/// Hands a job that does not fit back to the scheduler, and says why.
async fn refuse(context: &Context, recorder: &Recorder, job: &Job, short: &str) {
    tokio::time::sleep(REFUSAL_PAUSE).await;
    let node = &context.settings.node;
    let api = Api::<Job>::namespaced(context.client.clone(), &job.namespace().unwrap_or_default());
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": job.metadata.resource_version, "uid": job.metadata.uid },
        "spec": { "nodeName": null },
    });
    let patch = kube::api::Patch::Merge(&patch);
    match report::request(api.patch(&job.name_any(), &kube::api::PatchParams::default(), &patch)).await {
        Ok(_) => {}
        // It has changed: the watch shows how.
        Err(Fault::Conflict | Fault::NotFound) => return,
        Err(fault) => {
            tracing::warn!(%fault, job = job.name_any(), "cannot hand a job back");
            return;
        }
    }
    let told = Told {
        type_: EventType::Warning,
        reason: "DoesNotFit".to_owned(),
        note: Some(format!("node {node} has not enough {short}")),
        action: "Refuse".to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&told, &job.object_ref(&())).await {
        tracing::debug!(%error, "cannot write an event");
    }
}

#[cfg(test)]
mod tests;
