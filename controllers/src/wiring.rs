//! The table of controllers in code: who is told when an object of a kind changes, and what runs.

use std::sync::Arc;

use breakbulk_schemas::concurrency_group::MemberKind;
use breakbulk_schemas::{ConcurrencyGroup, GitEvent, GitRepository, Job, Pipeline, PipelineRun};
use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, ServiceAccount};
use tokio::task::JoinSet;

use crate::catalog::Catalog;
use crate::heartbeat::Heartbeats;
use crate::runtime::queue::Reconcile;
use crate::runtime::{Change, Key, Queue};
use crate::scheduler::Scheduler;
use crate::world::{self, World};
use crate::{
    concurrency_group, garbage_collector, git_repository, job, namespace, node_lifecycle, pipeline, pipeline_run,
    service_account, trigger,
};

/// How many objects of one kind are reconciled at the same time.
const AT_ONCE: usize = 32;
/// How many repositories are looked at, each with a git process of its own.
const GIT_AT_ONCE: usize = 4;

/// One queue per controller that looks at single objects.
#[derive(Debug, Default)]
struct Queues {
    pipelines: Arc<Queue>,
    runs: Arc<Queue>,
    groups: Arc<Queue>,
    jobs: Arc<Queue>,
    nodes: Arc<Queue>,
    repositories: Arc<Queue>,
    events: Arc<Queue>,
    namespaces: Arc<Queue>,
    accounts: Arc<Queue>,
    garbage: Arc<Queue>,
}

/// The controllers of one term, and who is told of what.
struct Wiring {
    world: Arc<World>,
    queues: Queues,
    pipelines: Arc<pipeline::Controller>,
    runs: Arc<pipeline_run::Controller>,
    groups: Arc<concurrency_group::Controller>,
    scheduler: Arc<Scheduler>,
    collector: Arc<garbage_collector::Controller>,
    heartbeats: Arc<Heartbeats>,
    catalog: Arc<Catalog>,
}

/// Controllers that are told of changes. Dropped, they are not any more.
pub(crate) struct Wired(Arc<Wiring>);

impl Drop for Wired {
    /// The caches hold the controllers, and the controllers the caches: let go of one side.
    fn drop(&mut self) {
        self.0.world.unhook();
    }
}

impl Wired {
    /// Makes the controllers over `world` and has them told of everything that changes.
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let queues = Queues::default();
        let catalog = Arc::new(Catalog::default());
        let garbage = Arc::clone(&queues.garbage);
        let wiring = Arc::new(Wiring {
            pipelines: Arc::new(pipeline::Controller::new(Arc::clone(world))),
            runs: Arc::new(pipeline_run::Controller::new(Arc::clone(world))),
            groups: Arc::new(concurrency_group::Controller::new(Arc::clone(world))),
            scheduler: Arc::new(Scheduler::new(Arc::clone(world))),
            collector: Arc::new(garbage_collector::Controller::new(
                Arc::clone(world),
                Arc::clone(&catalog),
                garbage,
            )),
            heartbeats: Arc::default(),
            world: Arc::clone(world),
            queues,
            catalog,
        });
        wiring.hook();
        Self(wiring)
    }

    /// Starts every controller. The tasks end only by being aborted.
    pub(crate) fn run(&self, tasks: &mut JoinSet<()>) {
        let wired = &*self.0;
        let world = || Arc::clone(&wired.world);
        let beats = || Arc::clone(&wired.heartbeats);
        let catalog = Arc::clone(&wired.catalog);
        /// A row of the table: a queue, and who reconciles what is in it.
        macro_rules! row {
            ($queue:ident, $at_once:expr, $controller:expr) => {
                let controller = $controller;
                let reconcile: Reconcile = Box::new(move |key| {
                    let controller = Arc::clone(&controller);
                    async move { controller.reconcile(key).await }.boxed()
                });
                tasks.spawn(work(
                    world(),
                    Arc::clone(&wired.queues.$queue),
                    stringify!($queue),
                    $at_once,
                    reconcile,
                ));
            };
        }
        row!(runs, AT_ONCE, Arc::clone(&wired.runs));
        row!(pipelines, AT_ONCE, Arc::clone(&wired.pipelines));
        row!(jobs, AT_ONCE, Arc::new(job::Controller::new(world(), beats())));
        row!(groups, AT_ONCE, Arc::clone(&wired.groups));
        row!(
            repositories,
            GIT_AT_ONCE,
            Arc::new(git_repository::Controller::new(world()))
        );
        row!(events, AT_ONCE, Arc::new(trigger::Controller::new(world())));
        row!(
            nodes,
            AT_ONCE,
            Arc::new(node_lifecycle::Controller::new(world(), beats()))
        );
        row!(
            namespaces,
            AT_ONCE,
            Arc::new(namespace::Controller::new(world(), catalog))
        );
        row!(accounts, AT_ONCE, Arc::new(service_account::Controller::new(world())));
        row!(garbage, AT_ONCE, Arc::clone(&wired.collector));
        tasks.spawn(Arc::clone(&wired.collector).watch());
        let (world, scheduler) = (world(), Arc::clone(&wired.scheduler));
        tasks.spawn(async move {
            world.ready().await;
            scheduler.run().await;
        });
    }
}

async fn work(world: Arc<World>, queue: Arc<Queue>, name: &'static str, at_once: usize, reconcile: Reconcile) {
    world.ready().await;
    queue.run(name, at_once, reconcile).await;
}

impl Wiring {
    fn hook(self: &Arc<Self>) {
        /// Has a kind's changes told to a method.
        macro_rules! hook {
            ($($kind:ident => $method:ident),+ $(,)?) => {$(
                let wiring = Arc::clone(self);
                self.world.$kind.cache().set_hook(Box::new(move |change| wiring.$method(change)));
            )+};
        }
        hook!(
            pipelines => pipeline_changed,
            runs => run_changed,
            jobs => job_changed,
            repositories => repository_changed,
            events => event_changed,
            groups => group_changed,
            nodes => node_changed,
            leases => lease_changed,
            namespaces => namespace_changed,
            accounts => account_changed,
            root_maps => root_map_changed,
        );
    }

    fn pipeline_changed(&self, change: &Change<'_, Pipeline>) {
        self.queues.pipelines.add(change.key.clone());
        self.collector.changed(change);
    }

    fn run_changed(&self, change: &Change<'_, PipelineRun>) {
        self.groups.run_changed(change, &self.queues.groups);
        self.pipelines.run_changed(change, &self.queues.pipelines);
        self.queues.runs.add(change.key.clone());
        self.collector.changed(change);
    }

    fn job_changed(&self, change: &Change<'_, Job>) {
        self.world.jobs_by_run.changed(change);
        self.scheduler.job_changed(change);
        self.groups.job_changed(change, &self.queues.groups);
        if let Some(run) = change.latest().and_then(|job| world::run_of(job)) {
            self.queues.runs.add(run);
        }
        self.queues.jobs.add(change.key.clone());
        self.collector.changed(change);
    }

    fn repository_changed(&self, change: &Change<'_, GitRepository>) {
        self.queues.repositories.add(change.key.clone());
        self.runs.repository_changed(change.key, &self.queues.runs);
        if change.old.is_none() || change.new.is_none() {
            self.pipelines.repository_changed(change.key, &self.queues.pipelines);
        }
        self.collector.changed(change);
    }

    fn event_changed(&self, change: &Change<'_, GitEvent>) {
        self.queues.events.add(change.key.clone());
        self.collector.changed(change);
    }

    fn group_changed(&self, change: &Change<'_, ConcurrencyGroup>) {
        self.queues.groups.add(change.key.clone());
        let statuses = change
            .old
            .into_iter()
            .chain(change.new)
            .filter_map(|group| group.status.clone());
        for member in statuses.flat_map(|status| status.holders.into_iter().chain(status.queue)) {
            if member.kind == MemberKind::PipelineRun {
                self.queues.runs.add(change.key.sibling(member.name));
            }
        }
        self.scheduler.look();
        self.collector.changed(change);
    }

    fn node_changed(&self, change: &Change<'_, Node>) {
        self.scheduler.look();
        self.queues.nodes.add(change.key.clone());
        self.collector.changed(change);
    }

    fn lease_changed(&self, change: &Change<'_, Lease>) {
        self.heartbeats.changed(change);
        self.queues.nodes.add(Key::new("", change.key.name.clone()));
    }

    fn namespace_changed(&self, change: &Change<'_, Namespace>) {
        self.queues.namespaces.add(change.key.clone());
        self.queues.accounts.add(change.key.clone());
        self.collector.changed(change);
    }

    fn account_changed(&self, change: &Change<'_, ServiceAccount>) {
        self.queues.accounts.add(Key::new("", change.key.namespace.clone()));
    }

    fn root_map_changed(&self, change: &Change<'_, ConfigMap>) {
        self.queues.accounts.add(Key::new("", change.key.namespace.clone()));
    }
}
