//! From a configuration to running controllers: connect, be elected, watch, wire, run.

use std::sync::Arc;

use breakbulk_client::ConnectError;
use breakbulk_schemas::concurrency_group::MemberKind;
use breakbulk_schemas::{ConcurrencyGroup, GitEvent, GitRepository, Job, PipelineRun};
use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Election, Settings};
use crate::heartbeat::Heartbeats;
use crate::runtime::leader::{self, Candidate};
use crate::runtime::queue::Reconcile;
use crate::runtime::{Change, Key, Queue};
use crate::scheduler::Scheduler;
use crate::world::{self, World};
use crate::{concurrency_group, git_repository, job, node_lifecycle, pipeline_run, trigger};

/// How many objects of one kind are reconciled at the same time.
const AT_ONCE: usize = 32;

/// Why there are no controllers.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No client.
    #[error("cannot connect the controllers")]
    Connect(#[source] ConnectError),
}

/// Controllers that have a client and wait to be started.
pub struct Controllers {
    client: Client,
    election: Option<Election>,
    settings: Settings,
}

impl std::fmt::Debug for Controllers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controllers")
            .field("election", &self.election)
            .finish_non_exhaustive()
    }
}

/// Makes the controllers. Nothing is asked of the server yet.
///
/// # Errors
/// Credentials that cannot be used.
pub async fn build(config: Config) -> Result<Controllers, BuildError> {
    let client = config.server.client().await.map_err(BuildError::Connect)?;
    Ok(Controllers {
        client,
        election: config.election,
        settings: config.settings,
    })
}

impl Controllers {
    /// Runs until `shutdown`. A server that cannot be reached is waited for.
    pub async fn serve(self, shutdown: CancellationToken) {
        let work = |stop: CancellationToken| run(self.client.clone(), self.settings.clone(), stop);
        match self.election.clone() {
            Some(election) => {
                let candidate = Candidate::new(self.client.clone(), election);
                leader::while_leading(candidate, shutdown, work).await;
            }
            None => {
                while !shutdown.is_cancelled() {
                    work(shutdown.clone()).await;
                }
            }
        }
    }
}

/// Runs all controllers until `stop`, or until dropped.
async fn run(client: Client, settings: Settings, stop: CancellationToken) {
    let world = Arc::new(World::new(client, settings));
    // Owns every task; dropping it ends them all.
    let mut tasks = JoinSet::new();
    wire(&world, &mut tasks);
    world.watch(&mut tasks);
    tokio::select! {
        () = stop.cancelled() => {}
        // No task ends by itself: one that does has panicked, and it is better to begin anew than to go on without it.
        ended = tasks.join_next() => tracing::error!(?ended, "a controller ended"),
    }
    tasks.shutdown().await;
}

/// The table of controllers: who is told of what, and what runs.
fn wire(world: &Arc<World>, tasks: &mut JoinSet<()>) {
    let runs = Arc::new(pipeline_run::Controller::new(Arc::clone(world)));
    let groups = Arc::new(concurrency_group::Controller::new(Arc::clone(world)));
    let scheduler = Arc::new(Scheduler::new(Arc::clone(world)));
    let heartbeats = Arc::new(Heartbeats::default());
    let queues = Arc::new(Queues::default());
    hook_runs(world, &queues, &groups);
    hook_jobs(world, &queues, &groups, &scheduler);
    hook_groups(world, &queues, &scheduler);
    hook_nodes(world, &queues, &scheduler, &heartbeats);
    hook_git(world, &queues);

    /// A task that reconciles what is in a queue, once everything has been seen.
    macro_rules! reconcile {
        ($name:literal, $queue:ident, $controller:expr) => {
            let controller = $controller;
            let reconcile: Reconcile = Box::new(move |key| {
                let controller = Arc::clone(&controller);
                async move { controller.reconcile(key).await }.boxed()
            });
            tasks.spawn(work(
                Arc::clone(world),
                Arc::clone(&queues.$queue),
                $name,
                reconcile,
            ));
        };
    }
    reconcile!("pipeline run", runs, runs);
    reconcile!("concurrency group", groups, groups);
    reconcile!(
        "job",
        jobs,
        Arc::new(job::Controller::new(Arc::clone(world), Arc::clone(&heartbeats)))
    );
    reconcile!(
        "node lifecycle",
        nodes,
        Arc::new(node_lifecycle::Controller::new(Arc::clone(world), heartbeats))
    );
    reconcile!(
        "git repository",
        repositories,
        Arc::new(git_repository::Controller::new(Arc::clone(world)))
    );
    reconcile!("trigger", events, Arc::new(trigger::Controller::new(Arc::clone(world))));
    let world = Arc::clone(world);
    tasks.spawn(async move {
        world.ready().await;
        scheduler.run().await;
    });
}

/// One queue per controller that looks at single objects.
#[derive(Debug, Default)]
struct Queues {
    runs: Arc<Queue>,
    groups: Arc<Queue>,
    jobs: Arc<Queue>,
    nodes: Arc<Queue>,
    repositories: Arc<Queue>,
    events: Arc<Queue>,
}

async fn work(world: Arc<World>, queue: Arc<Queue>, name: &'static str, reconcile: Reconcile) {
    world.ready().await;
    queue.run(name, AT_ONCE, reconcile).await;
}

fn hook_runs(world: &World, queues: &Arc<Queues>, groups: &Arc<concurrency_group::Controller>) {
    let (queues, groups) = (Arc::clone(queues), Arc::clone(groups));
    world
        .runs
        .cache()
        .set_hooks(vec![Box::new(move |change: &Change<'_, PipelineRun>| {
            groups.run_changed(change, &queues.groups);
            queues.runs.add(change.key.clone());
        })]);
}

fn hook_jobs(
    world: &Arc<World>,
    queues: &Arc<Queues>,
    groups: &Arc<concurrency_group::Controller>,
    scheduler: &Arc<Scheduler>,
) {
    let (queues, groups, scheduler) = (Arc::clone(queues), Arc::clone(groups), Arc::clone(scheduler));
    let by_run = Arc::clone(&world.jobs_by_run);
    world
        .jobs
        .cache()
        .set_hooks(vec![Box::new(move |change: &Change<'_, Job>| {
            by_run.changed(change);
            scheduler.job_changed(change);
            groups.job_changed(change, &queues.groups);
            if let Some(run) = change.latest().and_then(|job| world::run_of(job)) {
                queues.runs.add(run);
            }
        })]);
}

fn hook_groups(world: &World, queues: &Arc<Queues>, scheduler: &Arc<Scheduler>) {
    let (to, passes) = (Arc::clone(queues), Arc::clone(scheduler));
    world
        .groups
        .cache()
        .set_hooks(vec![Box::new(move |change: &Change<'_, ConcurrencyGroup>| {
            to.groups.add(change.key.clone());
            let status = change
                .latest()
                .and_then(|group| group.status.clone())
                .unwrap_or_default();
            for member in status
                .holders
                .iter()
                .chain(&status.queue)
                .filter(|member| member.kind == MemberKind::PipelineRun)
            {
                to.runs.add(change.key.sibling(&member.name));
            }
            passes.look();
        })]);
}

fn hook_nodes(world: &World, queues: &Arc<Queues>, scheduler: &Arc<Scheduler>, heartbeats: &Arc<Heartbeats>) {
    let (to, passes) = (Arc::clone(queues), Arc::clone(scheduler));
    world
        .nodes
        .cache()
        .set_hooks(vec![Box::new(move |change: &Change<'_, Node>| {
            passes.look();
            to.nodes.add(change.key.clone());
        })]);
    let (to, heartbeats) = (Arc::clone(queues), Arc::clone(heartbeats));
    world
        .leases
        .cache()
        .set_hooks(vec![Box::new(move |change: &Change<'_, Lease>| {
            heartbeats.changed(change);
            to.nodes.add(Key::new("", change.key.name.clone()));
        })]);
}

fn hook_git(world: &World, queues: &Arc<Queues>) {
    let to = Arc::clone(queues);
    let hook = move |change: &Change<'_, GitRepository>| to.repositories.add(change.key.clone());
    world.repositories.cache().set_hooks(vec![Box::new(hook)]);
    let to = Arc::clone(queues);
    let hook = move |change: &Change<'_, GitEvent>| to.events.add(change.key.clone());
    world.events.cache().set_hooks(vec![Box::new(hook)]);
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT.
pub async fn until_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            // Both are cancel-safe: a signal is kept until it is received.
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            shutdown.cancel();
        }
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "cannot wait for signals"),
    }
}
