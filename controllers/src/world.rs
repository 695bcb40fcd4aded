//! What the controllers of one process share: a client, one cache for each kind they look at, and the indices over
//! them. Built once; the watches that fill it belong to [`World::watch`].

use std::sync::Arc;

use breakbulk_schemas::{ConcurrencyGroup, GitEvent, GitRepository, Job, Pipeline, PipelineRun, labels};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret, ServiceAccount};
use kube::runtime::events::{Event, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::Settings;
use crate::runtime::{Cache, Index, Key, Store};
use crate::service_account;

/// The namespace of the nodes' leases.
pub const NODE_LEASES: &str = "kube-node-lease";

/// How long the server keeps a watch open before we ask again. Below the client's own limit of 295 s.
const WATCH_SECONDS: u32 = 280;

/// How many Jobs are created at the same time: enough to fill the server's group commit.
const CREATING: usize = 16;

/// Everything that reconcilers read and write through.
pub struct World {
    /// The client, for what has no cache.
    pub client: Client,
    /// What the operator decided.
    pub settings: Settings,
    /// Pipelines.
    pub pipelines: Store<Pipeline>,
    /// Runs.
    pub runs: Store<PipelineRun>,
    /// Jobs.
    pub jobs: Store<Job>,
    /// Repositories.
    pub repositories: Store<GitRepository>,
    /// Events of repositories.
    pub events: Store<GitEvent>,
    /// Concurrency groups.
    pub groups: Store<ConcurrencyGroup>,
    /// Nodes.
    pub nodes: Store<Node>,
    /// The nodes' leases.
    pub leases: Store<Lease>,
    /// Namespaces.
    pub namespaces: Store<Namespace>,
    /// The account `default` of each namespace; no others.
    pub accounts: Store<ServiceAccount>,
    /// The ConfigMap of each namespace that names the server's certificates; no others.
    pub root_maps: Store<ConfigMap>,
    /// Secrets: never cached, read when needed.
    pub secrets: Store<Secret>,
    /// Jobs by the run they belong to.
    pub jobs_by_run: Arc<Index<Job>>,
    /// How many Jobs are being created at the same time, by all runs together: each is a connection of its own.
    pub creating: Semaphore,
    recorder: Recorder,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world that nothing has been seen of yet.
    pub fn new(client: Client, settings: Settings) -> Self {
        let recorder = Recorder::new(
            client.clone(),
            Reporter {
                controller: "breakbulk.dev/controllers".to_owned(),
                instance: None,
            },
        );
        Self {
            pipelines: Store::new(client.clone(), Arc::new(Cache::default())),
            runs: Store::new(client.clone(), Arc::new(Cache::default())),
            jobs: Store::new(client.clone(), Arc::new(Cache::default())),
            repositories: Store::new(client.clone(), Arc::new(Cache::default())),
            events: Store::new(client.clone(), Arc::new(Cache::default())),
            groups: Store::new(client.clone(), Arc::new(Cache::default())),
            nodes: Store::new(client.clone(), Arc::new(Cache::default())),
            leases: Store::new(client.clone(), Arc::new(Cache::default())),
            namespaces: Store::new(client.clone(), Arc::new(Cache::default())),
            accounts: Store::new(client.clone(), Arc::new(Cache::default())),
            root_maps: Store::new(client.clone(), Arc::new(Cache::default())),
            secrets: Store::new(client.clone(), Arc::new(Cache::default())),
            jobs_by_run: Arc::new(Index::new(run_of)),
            creating: Semaphore::new(CREATING),
            recorder,
            client,
            settings,
        }
    }

    /// Starts the watches: one for each kind.
    pub fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        /// One task per kind; each owns a handle to the world.
        macro_rules! watch {
            ($($field:ident => $api:expr $(, named $name:expr)?);+ $(;)?) => {$(
                let world = Arc::clone(self);
                let api = $api;
                let config = watch_config()$(.fields(&format!("metadata.name={}", $name)))?;
                tasks.spawn(async move { world.$field.cache().watch(api, config).await });
            )+};
        }
        let client = || self.client.clone();
        watch!(
            pipelines => Api::all(client());
            runs => Api::all(client());
            jobs => Api::all(client());
            repositories => Api::all(client());
            events => Api::all(client());
            groups => Api::all(client());
            nodes => Api::all(client());
            leases => Api::namespaced(client(), NODE_LEASES);
            namespaces => Api::all(client());
            accounts => Api::all(client()), named service_account::ACCOUNT;
            root_maps => Api::all(client()), named service_account::ROOTS;
        );
    }

    /// Waits until everything has been seen once.
    pub async fn ready(&self) {
        let all = [
            self.pipelines.cache().ready(),
            self.runs.cache().ready(),
            self.jobs.cache().ready(),
            self.repositories.cache().ready(),
            self.events.cache().ready(),
            self.groups.cache().ready(),
            self.nodes.cache().ready(),
            self.leases.cache().ready(),
            self.namespaces.cache().ready(),
            self.accounts.cache().ready(),
            self.root_maps.cache().ready(),
        ];
        for mut ready in all {
            // The senders live as long as the world.
            let _ = ready.wait_for(|ready| *ready).await;
        }
    }

    /// Nobody is told of changes any more.
    pub fn unhook(&self) {
        self.pipelines.cache().unhook();
        self.runs.cache().unhook();
        self.jobs.cache().unhook();
        self.repositories.cache().unhook();
        self.events.cache().unhook();
        self.groups.cache().unhook();
        self.nodes.cache().unhook();
        self.leases.cache().unhook();
        self.namespaces.cache().unhook();
        self.accounts.cache().unhook();
        self.root_maps.cache().unhook();
    }

    /// Tells people something about an object. Losing it loses nothing but the telling.
    pub async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, event: Event) {
        let published = self.recorder.publish(&event, &object.object_ref(&())).await;
        if let Err(error) = published {
            tracing::debug!(%error, reason = event.reason, "could not record an event");
        }
    }
}

fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// The run a Job says it belongs to.
pub fn run_of(job: &Job) -> Option<Key> {
    let run = job.labels().get(labels::RUN)?;
    Some(Key::new(job.namespace()?, run.clone()))
}
