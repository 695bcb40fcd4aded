//! Labels, annotations and finalizers that more than one process reads. A name used by one process alone
//! stays in that process.

/// On a Job: the PipelineRun it belongs to.
pub const RUN: &str = "breakbulk.dev/run";
/// On a PipelineRun and its Jobs: the Pipeline.
pub const PIPELINE: &str = "breakbulk.dev/pipeline";
/// On a Job: its name in the pipeline (`jobs.<name>`).
pub const JOB: &str = "breakbulk.dev/job";
/// On a PipelineRun: the GitEvent that started it.
pub const GIT_EVENT: &str = "breakbulk.dev/git-event";
/// On a GitEvent: the GitRepository it was seen in.
pub const REPOSITORY: &str = "breakbulk.dev/repository";
/// On a Node: its name, as Kubernetes labels it.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// On a Node: the machine architecture, as Kubernetes labels it (`amd64`, `arm64`).
pub const ARCH: &str = "kubernetes.io/arch";
/// On a Node: the operating system, as Kubernetes labels it.
pub const OS: &str = "kubernetes.io/os";
