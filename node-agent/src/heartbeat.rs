//! Shows that the node lives: the Node object and its Lease, over a connection that nothing else uses, so that no
//! amount of logs or jobs can keep a renewal waiting.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rand::Rng;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::attempt::report::{Fault, request};
use crate::boot::since_boot;
use crate::config::LeaseTimes;
use crate::fence::Fence;
use crate::node::{LEASES, Machine, lease};

/// How often the Node's status is written where nothing has changed.
const STATUS: Duration = Duration::from_secs(10);
/// Tries to renew that fit between two looks of the fence.
const TRIES: u32 = 5;

/// Keeps Node and Lease.
pub(crate) struct Heartbeat {
    pub(crate) client: Client,
    pub(crate) machine: Machine,
    pub(crate) times: LeaseTimes,
    pub(crate) fence: Arc<Fence>,
}

impl Heartbeat {
    /// Registers the node, says so once through `registered`, and renews until `shutdown`.
    pub(crate) async fn run(self, registered: oneshot::Sender<()>, shutdown: CancellationToken) {
        let mut registered = Some(registered);
        let mut ready_since = Timestamp::now();
        let mut node: Option<Node> = None;
        let mut status_at: Option<Duration> = None;
        loop {
            let beat = async {
                let sent = since_boot();
                if status_at.is_none_or(|at| sent.saturating_sub(at) >= STATUS) {
                    node = Some(self.register(ready_since).await?);
                    status_at = Some(sent);
                }
                let Some(node) = &node else { return Ok(()) };
                let sent = since_boot();
                self.renew(node).await?;
                self.fence.renewed(sent);
                Ok(())
            };
            // Several tries must fit before the fence comes down, also when the server accepts and never answers.
            let beat = async {
                let answered = tokio::time::timeout(self.times.fence / TRIES, beat).await;
                answered.unwrap_or_else(|_| Err(Fault::Later("the API server did not answer in time".to_owned())))
            };
            match shutdown.run_until_cancelled(Box::pin(beat)).await {
                None => return,
                Some(Ok(())) => {
                    if let Some(registered) = registered.take() {
                        // Nobody waits for it any more when the agent is shutting down.
                        let _ = registered.send(());
                    }
                }
                Some(Err(fault)) => {
                    tracing::warn!(%fault, "cannot renew the node's lease; trying again");
                    // When it works again, the node says anew that it is ready.
                    status_at = None;
                    ready_since = Timestamp::now();
                }
            }
            // A little unevenness keeps a fleet that was started together apart.
            let pause = self.times.renew.mul_f64(rand::rng().random_range(0.9..1.0));
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Makes the Node if it is missing, and writes its labels and status. Labels, taints and `unschedulable` that the
    /// operator set stay.
    async fn register(&self, ready_since: Timestamp) -> Result<Node, Fault> {
        let api = Api::<Node>::all(self.client.clone());
        let name = &self.machine.node;
        let labels = serde_json::json!({ "metadata": { "labels": self.machine.labels() } });
        let params = PatchParams::default();
        match request(api.patch(name, &params, &Patch::Merge(&labels))).await {
            Ok(_) => {}
            Err(Fault::NotFound) => {
                let created = request(api.create(&PostParams::default(), &self.machine.object())).await;
                if let Err(fault) = created
                    && !matches!(fault, Fault::Conflict)
                {
                    return Err(fault);
                }
            }
            Err(fault) => return Err(fault),
        }
        let status = serde_json::json!({ "status": self.machine.status(ready_since, Timestamp::now()) });
        request(api.patch_status(name, &params, &Patch::Merge(&status))).await
    }

    async fn renew(&self, node: &Node) -> Result<(), Fault> {
        let api = Api::<Lease>::namespaced(self.client.clone(), LEASES);
        let lease = lease(node, self.times.duration, Timestamp::now());
        let params = PatchParams::default();
        let patch = serde_json::json!({ "spec": lease.spec });
        match request(api.patch(&self.machine.node, &params, &Patch::Merge(&patch))).await {
            Ok(_) => Ok(()),
            Err(Fault::NotFound) => request(api.create(&PostParams::default(), &lease)).await.map(drop),
            Err(fault) => Err(fault),
        }
    }
}
