//! What this host can do, found out by doing it: switches and version numbers say little about what a
//! container, a security module or an administrator leaves of a kernel's features.
//!
//! The agent asks once, when it starts, and shows the answer on its node. It does nothing the shim would not
//! do for a job.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt_dir::AttemptDir;
use crate::exit::Outcome;
use crate::layer::Layer;
use crate::remove::remove_workspace;
use crate::spec::{Limits, Network, Spec};
use crate::{cgroup, launch, sandbox};

/// What this host can do for jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// Whether shims run as root: then each job is a user of its own.
    pub root: bool,
    /// Whether a job runs at all, with the host's network.
    pub sandbox: Support,
    /// Whether a job runs with a network of its own.
    pub private_network: Support,
    /// Layers of protection that are there.
    pub layers: BTreeSet<Layer>,
    /// Layers of protection that are not.
    pub missing: BTreeSet<Layer>,
}

/// Whether something was seen to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Support {
    /// It worked.
    Works,
    /// It did not.
    Fails {
        /// What happened, in words.
        error: String,
    },
}

/// Runs two empty jobs in directories below `dir`, which must exist, and sets every limit once below
/// `cgroup_parent` (see [`Spec::cgroup_parent`]). Takes some ten milliseconds and leaves nothing.
pub fn probe(shim: &Path, dir: &Path, cgroup_parent: Option<&Path>) -> HostReport {
    let mut missing = sandbox::missing_layers();
    let limits = [Layer::MemoryLimit, Layer::PidsLimit, Layer::CpuLimit];
    let settable = cgroup::probe(cgroup_parent);
    missing.extend(limits.into_iter().filter(|limit| !settable.contains(limit)));
    let all = [Layer::DistinctUser, Layer::Landlock, Layer::LandlockScopes]
        .into_iter()
        .chain(limits);
    HostReport {
        root: rustix::process::geteuid().is_root(),
        sandbox: try_job(shim, dir, Network::Host),
        private_network: try_job(shim, dir, Network::None),
        layers: all.filter(|layer| !missing.contains(layer)).collect(),
        missing,
    }
}

fn try_job(shim: &Path, dir: &Path, network: Network) -> Support {
    let name = format!("probe-{}-{network:?}", std::process::id());
    let top = dir.join(&name);
    let run = || -> Result<Outcome, Box<dyn std::error::Error>> {
        remove_workspace(&top)?;
        let attempt = AttemptDir::create(&top)?;
        let workspace = top.join("workspace");
        std::fs::create_dir(&workspace)?;
        let mut spec = Spec::new(name.clone(), workspace, "exit 0");
        spec.shell = vec!["/bin/sh".to_owned()];
        spec.network = network;
        spec.timeout = Some(Duration::from_secs(10));
        spec.limits = Limits {
            tmp_bytes: Some(1 << 20),
            ..Limits::default()
        };
        launch::spawn_shim(shim, &attempt, &spec)?.wait()?;
        Ok(attempt.exit()?.ok_or("the shim died")?.outcome)
    };
    let outcome = run();
    // What could not be removed is found and removed by the next probe.
    let _ = remove_workspace(&top);
    match outcome {
        Ok(Outcome::Exited { code: 0 }) => Support::Works,
        Ok(Outcome::SetupFailed { step, error }) => Support::Fails {
            error: format!("{step:?}: {error}"),
        },
        Ok(other) => Support::Fails {
            error: format!("an empty job ended with {other:?}"),
        },
        Err(error) => Support::Fails {
            error: error.to_string(),
        },
    }
}
