//! The nouns of Breakbulk: the kinds of group `breakbulk.dev`, their rules, and nothing that does I/O.
//!
//! ```text
//! Pipeline ──▶ PipelineRun ──▶ Job ──▶ attempts on a Node
//!    ▲              ▲
//!    │          GitEvent ◀── GitRepository
//! ```
//!
//! A kind's spec is what is desired, its status what was observed; state is told by conditions. Each file
//! holds one kind: types, defaults, and the rules that a schema cannot say. [`kinds`] is the table that the
//! API server serves them from.
//!
//! What this crate does not do: talk to a server, read files, or know how anything is stored or run.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns share types and kinds; the lint takes them for mistakes"
)]

pub mod amount;
pub mod concurrency_group;
pub mod condition;
pub mod decode;
pub mod duration;
pub mod expression;
pub mod field;
pub mod git_event;
pub mod git_repository;
pub mod graph;
pub mod job;
pub mod kinds;
pub mod labels;
pub mod matrix;
pub mod pipeline;
pub mod pipeline_run;
pub mod quantity;
pub mod quota;
pub mod scalar;
pub(crate) mod terminal;
pub mod text;

pub use concurrency_group::{ConcurrencyGroup, ConcurrencyGroupSpec, ConcurrencyGroupStatus};
pub use duration::Duration;
pub use git_event::{GitEvent, GitEventSpec, GitEventStatus};
pub use git_repository::{GitRepository, GitRepositorySpec, GitRepositoryStatus};
pub use job::{Job, JobSpec, JobStatus};
pub use pipeline::{Pipeline, PipelineSpec, PipelineStatus};
pub use pipeline_run::{PipelineRun, PipelineRunSpec, PipelineRunStatus};
pub use scalar::Scalar;

/// The API group of every kind defined here.
pub const GROUP: &str = "breakbulk.dev";
/// Its one version.
pub const VERSION: &str = "v1";
/// `group/version`, as objects carry it.
pub const API_VERSION: &str = "breakbulk.dev/v1";
