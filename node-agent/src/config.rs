//! What an agent is told when it starts. Nothing here is read from the environment: who starts the agent decides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use breakbulk_client::Connection;
use breakbulk_schemas::pipeline::Network;

/// An agent's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name: a lower-case DNS name. The credentials are for `system:node:<name>`.
    pub node: String,
    /// The API server, and the agent's credentials for it.
    pub server: Connection,
    /// Where attempts, workspaces and mirrors lie. Made when it is missing, readable by the agent alone.
    pub data_dir: PathBuf,
    /// Labels for the Node, beside its host name, system and architecture.
    pub labels: BTreeMap<String, String>,
    /// What the node offers, where that is not what the machine has.
    pub capacity: CapacityOverrides,
    /// Paths of the machine that every job sees, read-only, at the same place.
    pub expose: Vec<PathBuf>,
    /// The network of jobs that do not say which.
    pub network: Network,
    /// The shim's program. Unset: `bulk-shim` beside the running program.
    pub shim: Option<PathBuf>,
    /// Lease and fence.
    pub lease: LeaseTimes,
    /// Whether repositories of this machine (`file://` and absolute paths) may be checked out.
    pub local_git: LocalGit,
    /// How long a script may take to end when it is asked to.
    pub grace: Duration,
    /// The identity of this boot. Unset: the kernel's. Tests say here that the machine was restarted.
    pub boot_id: Option<String>,
}

/// What the node offers; what is unset is the machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapacityOverrides {
    /// Processors in thousandths.
    pub cpu_millis: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Jobs at the same time. Unset: four per processor, at least eight.
    pub jobs: Option<u32>,
}

/// How the node shows that it lives, and when it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Between two renewals.
    pub renew: Duration,
    /// How long one renewal is good for, as written into the Lease.
    pub duration: Duration,
    /// Without a successful renewal for this long, the agent kills what it runs. It must be shorter than the time
    /// after which the control plane takes the node for lost.
    pub fence: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            renew: Duration::from_secs(3),
            duration: Duration::from_secs(10),
            fence: Duration::from_secs(25),
        }
    }
}

/// Whether repositories of this machine may be checked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalGit {
    /// Yes: whoever may create repositories may read any repository that the agent can read.
    Allowed,
    /// No.
    Refused,
}

/// What is wrong with a [`Config`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent's settings are not valid: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Settings with nothing but what cannot be guessed.
    pub fn new(node: impl Into<String>, server: Connection, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            node: node.into(),
            server,
            data_dir: data_dir.into(),
            labels: BTreeMap::new(),
            capacity: CapacityOverrides::default(),
            expose: Vec::new(),
            network: Network::Host,
            shim: None,
            lease: LeaseTimes::default(),
            local_git: LocalGit::Refused,
            grace: Duration::from_secs(10),
            boot_id: None,
        }
    }

    /// Reports everything that is wrong.
    ///
    /// # Errors
    /// All problems found, each naming the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        if !is_dns_name(&self.node) {
            problems.push(format!(
                "node {:?}: lower-case letters, digits, '-' and '.', at most 63, starting and ending with a letter or digit",
                self.node
            ));
        }
        if !self.data_dir.is_absolute() {
            problems.push(format!("data dir {}: not absolute", self.data_dir.display()));
        }
        for path in self.expose.iter().filter(|path| !path.is_absolute()) {
            problems.push(format!("expose {}: not absolute", path.display()));
        }
        if self.lease.renew.is_zero() || self.lease.renew >= self.lease.duration {
            problems.push("lease: the time between renewals must be shorter than the lease".to_owned());
        }
        if self.lease.fence <= self.lease.renew {
            problems.push("lease: the fence must be longer than the time between renewals".to_owned());
        }
        if self.capacity.jobs == Some(0) {
            problems.push("jobs: must be at least 1".to_owned());
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(problems))
        }
    }
}

fn is_dns_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 63 && name.bytes().all(inner) && edge(name.bytes().next()) && edge(name.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_setting_is_named() {
        let mut config = Config::new("-Node", Connection::Text(String::new()), "relative");
        config.expose = vec!["x".into()];
        config.lease.renew = config.lease.duration;
        config.lease.fence = Duration::ZERO;
        config.capacity.jobs = Some(0);
        let ConfigError(problems) = config.validate().unwrap_err();
        assert_eq!(problems.len(), 6, "{problems:?}");
        assert!(
            Config::new("a-1.b", Connection::Text(String::new()), "/x")
                .validate()
                .is_ok()
        );
    }
}
