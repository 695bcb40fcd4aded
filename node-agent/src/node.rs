//! The machine as a Node object: what it is, what it offers, how it is. Built here, purely; written by `heartbeat`.

use std::collections::BTreeMap;

use breakbulk_schemas::labels;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};

use breakbulk_sandbox::{HostReport, Support};

use crate::boot::BootId;
use crate::capacity::Amount;

/// The namespace of Leases of nodes.
pub(crate) const LEASES: &str = "kube-node-lease";
/// The resource that counts jobs.
const JOBS: &str = "breakbulk.dev/jobs";

/// What does not change while the agent runs.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) node: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) capacity: Amount,
    pub(crate) boot: BootId,
    /// What the machine can do to keep jobs apart, as it was tried out.
    pub(crate) host: HostReport,
}

impl Machine {
    /// The Node's labels: ours, and what the operator configured. Others on the object are left alone.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let mut all = self.labels.clone();
        all.insert(labels::HOSTNAME.to_owned(), self.node.clone());
        all.insert(labels::OS.to_owned(), std::env::consts::OS.to_owned());
        all.insert(labels::ARCH.to_owned(), architecture().to_owned());
        all
    }

    /// The Node as it is created.
    pub(crate) fn object(&self) -> Node {
        Node {
            metadata: ObjectMeta {
                name: Some(self.node.clone()),
                labels: Some(self.labels()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        }
    }

    /// The Node's status. `ready_since` is when it last became ready.
    pub(crate) fn status(&self, ready_since: Timestamp, now: Timestamp) -> NodeStatus {
        let conditions = self.conditions().map(|(kind, holds, reason, message)| NodeCondition {
            type_: kind.to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: Some(Time(ready_since)),
        });
        NodeStatus {
            addresses: Some(vec![NodeAddress {
                type_: "Hostname".to_owned(),
                address: hostname(),
            }]),
            capacity: Some(self.resources()),
            allocatable: Some(self.resources()),
            conditions: Some(conditions.into()),
            node_info: Some(self.info()),
            ..NodeStatus::default()
        }
    }

    /// Type, whether it holds, reason, message.
    fn conditions(&self) -> [(&'static str, bool, &'static str, String); 3] {
        let ready = match &self.host.sandbox {
            Support::Works => ("Ready", true, "AgentReady", "the node agent takes jobs".to_owned()),
            Support::Fails { error } => (
                "Ready",
                false,
                "NoSandbox",
                format!("no job can be started here: {error}"),
            ),
        };
        let missing: Vec<_> = self.host.missing.iter().map(|layer| format!("{layer:?}")).collect();
        let full = if missing.is_empty() {
            (
                "SandboxFull",
                true,
                "AllLayers",
                "every layer of the sandbox is there".to_owned(),
            )
        } else {
            (
                "SandboxFull",
                false,
                "LayersMissing",
                format!("this machine lacks {}", missing.join(", ")),
            )
        };
        let network = match &self.host.private_network {
            Support::Works => (
                "PrivateNetwork",
                true,
                "Works",
                "a job can have a network of its own".to_owned(),
            ),
            Support::Fails { error } => ("PrivateNetwork", false, "Fails", error.clone()),
        };
        [ready, full, network]
    }

    fn resources(&self) -> BTreeMap<String, Quantity> {
        let cpu = match self.capacity.cpu_millis {
            millis if millis % 1000 == 0 => (millis / 1000).to_string(),
            millis => format!("{millis}m"),
        };
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu)),
            (
                "memory".to_owned(),
                Quantity(format!("{}Ki", self.capacity.memory_bytes >> 10)),
            ),
            (JOBS.to_owned(), Quantity(self.capacity.jobs.to_string())),
            // Where Kubernetes' own tools look for how many things a node runs.
            ("pods".to_owned(), Quantity(self.capacity.jobs.to_string())),
        ])
    }

    fn info(&self) -> NodeSystemInfo {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        NodeSystemInfo {
            architecture: architecture().to_owned(),
            boot_id: self.boot.as_str().to_owned(),
            machine_id: read("/etc/machine-id"),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            operating_system: std::env::consts::OS.to_owned(),
            os_image: os_image(&read("/etc/os-release")),
            kubelet_version: format!("v{}", env!("CARGO_PKG_VERSION")),
            container_runtime_version: format!("breakbulk://{}", env!("CARGO_PKG_VERSION")),
            ..NodeSystemInfo::default()
        }
    }
}

/// The Lease that says that the node lives.
pub(crate) fn lease(node: &Node, duration: std::time::Duration, now: Timestamp) -> Lease {
    let name = node.metadata.name.clone().unwrap_or_default();
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.clone(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    };
    // Whole seconds is all a Lease can say; never less than one.
    let seconds = i32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
    Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(LEASES.to_owned()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name),
            lease_duration_seconds: Some(seconds.max(1)),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim().to_owned()
}

/// As Kubernetes names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn os_image(os_release: &str) -> String {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_tells_what_it_is_and_offers() {
        let machine = Machine {
            node: "n1".to_owned(),
            labels: BTreeMap::from([
                ("pool".to_owned(), "big".to_owned()),
                (labels::HOSTNAME.to_owned(), "x".to_owned()),
            ]),
            capacity: Amount {
                cpu_millis: 1500,
                memory_bytes: 1 << 30,
                jobs: 8,
            },
            boot: BootId::read(Some("boot-1")).unwrap(),
            host: HostReport {
                root: true,
                sandbox: Support::Works,
                private_network: Support::Fails { error: "no".to_owned() },
                layers: std::collections::BTreeSet::new(),
                missing: [breakbulk_sandbox::Layer::Landlock].into(),
            },
        };
        let labels = machine.labels();
        assert_eq!(labels["pool"], "big");
        assert_eq!(labels[labels::HOSTNAME], "n1");
        let status = machine.status(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let conditions = status.conditions.unwrap();
        let said: Vec<_> = conditions
            .iter()
            .map(|c| (c.type_.as_str(), c.status.as_str()))
            .collect();
        assert_eq!(
            said,
            [("Ready", "True"), ("SandboxFull", "False"), ("PrivateNetwork", "False")]
        );
        assert_eq!(conditions[1].message.as_deref(), Some("this machine lacks Landlock"));
        let capacity = status.capacity.unwrap();
        assert_eq!(capacity["cpu"].0, "1500m");
        assert_eq!(capacity["memory"].0, "1048576Ki");
        assert_eq!(capacity[JOBS].0, "8");
        assert_eq!(status.node_info.unwrap().boot_id, "boot-1");
    }
}
