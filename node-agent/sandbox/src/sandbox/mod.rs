//! The sandbox's inside: what happens between `clone3` and the script's first instruction.
//!
//! [`init`] is pid 1 of the sandbox and walks the numbered [`Step`]s; [`mounts`] builds the tree the
//! script sees. It is started by `shim`, with which it talks over the control socket.

pub(crate) mod init;
mod landlock;
mod mounts;
mod seccomp;

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::layer::Layer;
use crate::sys;

/// The steps of setting a sandbox up, in their order. One that fails is named in the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Reading and checking the spec.
    Spec,
    /// Opening the spool and the rest of the attempt's directory.
    Directory,
    /// Finding out whether the host has the layers the attempt requires.
    Layers,
    /// Making the cgroups and setting their limits.
    Cgroup,
    /// Making the pipes, the control socket and the signal descriptor.
    Pipes,
    /// Mapping the workspace's owner to the job's user.
    WorkspaceMap,
    /// Making the namespaces.
    Namespaces,
    /// Mapping user ids into them.
    IdMap,
    /// Recording that the script is about to start.
    Intent,
    /// Tying init's life to the shim's.
    ParentDeath,
    /// Setting the host name.
    Hostname,
    /// Bringing the loopback interface up.
    Loopback,
    /// Opening the workspace and the exposed paths on the host.
    Sources,
    /// Becoming the sandbox's own root.
    Identity,
    /// Mounting the private root.
    Root,
    /// Mounting the read-only system.
    System,
    /// Writing `/etc`.
    Etc,
    /// Mounting `/dev`.
    Devices,
    /// Mounting `/proc`.
    Proc,
    /// Mounting `/tmp` and the home directory.
    Temporary,
    /// Mounting the exposed paths.
    Expose,
    /// Mounting the workspace.
    Workspace,
    /// Writing the script, the secret files and the outputs file.
    Files,
    /// Leaving the host's tree.
    Pivot,
    /// Setting resource limits.
    Limits,
    /// Becoming the job's user, without capabilities.
    Privileges,
    /// Starting the script's process.
    Fork,
    /// Restricting files and signals by Landlock.
    Landlock,
    /// Restricting system calls.
    Seccomp,
    /// Entering the working directory.
    WorkingDir,
    /// Executing the shell.
    Exec,
    /// Watching over the script; a failure here is the sandbox's, not the script's.
    Supervise,
}

/// Layers that any sandbox on this host lacks, limits aside.
pub(crate) fn missing_layers() -> BTreeSet<Layer> {
    let mut missing = BTreeSet::new();
    if !rustix::process::geteuid().is_root() {
        missing.insert(Layer::DistinctUser);
    }
    match sys::landlock_version() {
        0 => missing.extend([Layer::Landlock, Layer::LandlockScopes]),
        // Scopes came with the sixth version of the interface.
        1..6 => drop(missing.insert(Layer::LandlockScopes)),
        _ => {}
    }
    missing
}

/// A step that failed, and what the system said.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) error: String,
}

impl Failure {
    pub(crate) fn new(step: Step, error: impl fmt::Display) -> Self {
        Self {
            step,
            error: error.to_string(),
        }
    }
}

/// Names the step a system error happened in.
pub(crate) trait At<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
    /// As [`At::at`], with the thing it happened to.
    fn at_path(self, step: Step, path: impl fmt::Debug) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, error.into()))
    }

    fn at_path(self, step: Step, path: impl fmt::Debug) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, format_args!("{path:?}: {}", error.into())))
    }
}
