//! The parts in their order: the API server first, then controllers and agent, which connect to it as anybody else
//! would, each with a certificate of its own. They stop in the opposite order, so that what a part still has to say
//! finds somebody who listens.

use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::pin::Pin;

use breakbulk_apiserver::StoreConfig;
use breakbulk_client::Connection;
use breakbulk_controllers::Election;
use breakbulk_node_agent::config::LocalGit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::settings::{Settings, Store};
use crate::failure::{self, Failure};
use crate::printer;

/// Names the rights of the controllers and of nodes, as the API server's authorizer knows them.
const CONTROLLERS: (&str, &str) = ("system:breakbulk:controllers", "system:breakbulk:controllers");
const NODES: &str = "system:nodes";
const NODE_USER: &str = "system:node:";

/// A part that runs: how to stop it, and its end.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    /// Polled from here and never dropped before its end: nothing outlives `up`.
    end: Pin<Box<dyn Future<Output = Result<(), String>> + Send>>,
}

/// Signals that ask for the end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// Starts everything, says so, and runs until a signal or until a part fails.
pub(super) async fn up(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::Runtime)?;
    make_private(&settings.data_dir)?;
    let mut parts = Vec::new();
    // What was started is stopped again when something after it cannot be.
    let started = start(&settings, &mut parts).await;
    let failed = match started {
        Err(failure) => Some(failure),
        Ok(()) => tokio::select! {
            () = signals.wait() => None,
            failed = first_end(&mut parts) => Some(failed),
        },
    };
    // A second signal is somebody who cannot wait. What is durable is durable, and shims go on by themselves.
    let stopped = tokio::select! {
        stopped = stop_all(parts) => stopped,
        () = signals.wait() => Err(Failure::said("stopped at once")),
    };
    failed.map_or(stopped, Err)
}

async fn start(settings: &Settings, parts: &mut Vec<Part>) -> Result<(), Failure> {
    let kubeconfig = settings.data_dir.join("kubeconfig");
    let server = breakbulk_apiserver::build(server_config(settings))
        .await
        .map_err(failed("the API server"))?;
    let url = server.url().to_owned();
    let credentials = |user: &str, group: &str| {
        let text = server
            .kubeconfig_for(user, &[group.to_owned()])
            .map_err(failed("the API server"))?;
        Ok::<_, Failure>(Connection::Text(text))
    };
    let for_controllers = credentials(CONTROLLERS.0, CONTROLLERS.1)?;
    let for_agent = credentials(&format!("{NODE_USER}{}", settings.node), NODES)?;
    parts.push(Part::new("the API server", |stop| async move {
        server.serve(stop).await.map_err(told)
    }));

    let config = controllers_config(settings, for_controllers);
    let built = breakbulk_controllers::build(config)
        .await
        .map_err(failed("the controllers"))?;
    parts.push(Part::new("the controllers", |stop| async move {
        built.serve(stop).await;
        Ok(())
    }));

    let config = agent_config(settings, for_agent);
    let built = breakbulk_node_agent::build(config)
        .await
        .map_err(failed("the node agent"))?;
    parts.push(Part::new("the node agent", |stop| async move {
        built.serve(stop).await.map_err(told)
    }));
    printer::line(&format!("ready {url} kubeconfig {}", kubeconfig.display()))
}

fn server_config(settings: &Settings) -> breakbulk_apiserver::Config {
    let mut config = breakbulk_apiserver::Config::embedded(settings.listen, &settings.data_dir);
    if let Store::Etcd(endpoints) = &settings.store {
        config.store = StoreConfig::Etcd {
            endpoints: endpoints.clone(),
            tls: None,
        };
    }
    config.audit.clone_from(&settings.audit);
    config
}

/// No election: there is no second process of controllers. On an etcd store there may be one elsewhere.
fn controllers_config(settings: &Settings, server: Connection) -> breakbulk_controllers::Config {
    let mut own = breakbulk_controllers::Settings::new(settings.data_dir.join("controllers"));
    own.allow_local_git = settings.local_git;
    let shared = settings.store != Store::Embedded;
    let election = shared.then(|| Election::new(format!("{}-{}", settings.node, std::process::id())));
    breakbulk_controllers::Config {
        server,
        election,
        settings: own,
    }
}

fn agent_config(settings: &Settings, server: Connection) -> breakbulk_node_agent::Config {
    let mut config = breakbulk_node_agent::Config::new(&settings.node, server, settings.data_dir.join("node"));
    config.labels.clone_from(&settings.labels);
    config.expose.clone_from(&settings.expose);
    config.capacity.jobs = settings.slots;
    config.network = settings.network;
    config.shim = Some(settings.shim.clone());
    config.local_git = if settings.local_git {
        LocalGit::Allowed
    } else {
        LocalGit::Refused
    };
    config
}

impl Part {
    /// Spawns it, so that it runs while others are built and stopped.
    fn new<F>(name: &'static str, serve: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(stop.clone()));
        let end = async move { task.await.unwrap_or_else(|error| Err(error.to_string())) };
        Self {
            name,
            stop,
            end: Box::pin(end),
        }
    }
}

/// For `map_err`: a part could not be built.
fn failed<E: std::error::Error + 'static>(part: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Part {
        part,
        cause: told(error),
    }
}

/// An error with its causes.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn told<E: std::error::Error + 'static>(error: E) -> String {
    failure::chain(&error)
}

/// Waits for the first part that ends without having been asked to. It is taken out.
async fn first_end(parts: &mut Vec<Part>) -> Failure {
    let ends = parts.iter_mut().map(|part| &mut part.end);
    let (result, index, _) = futures::future::select_all(ends).await;
    let part = parts.remove(index);
    let cause = result.err().unwrap_or_else(|| "it ended by itself".to_owned());
    Failure::Part { part: part.name, cause }
}

/// Stops the parts, the last started first, each when the one before it has ended.
async fn stop_all(mut parts: Vec<Part>) -> Result<(), Failure> {
    let mut outcome = Ok(());
    while let Some(part) = parts.pop() {
        part.stop.cancel();
        // The parts below go on meanwhile: this one may still need them.
        let result = {
            let mut end = part.end;
            tokio::select! {
                result = &mut end => result,
                failure = first_end(&mut parts), if !parts.is_empty() => {
                    outcome = Err(failure);
                    end.await
                }
            }
        };
        if let Err(cause) = result {
            outcome = Err(Failure::Part { part: part.name, cause });
        }
    }
    outcome
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Makes the data directory, for its owner alone: it holds the authority's key.
fn make_private(dir: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| Failure::said(format!("cannot make the data directory {}: {error}", dir.display())))
}
