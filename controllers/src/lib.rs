//! The controllers: they look at what is desired and what is there, and move it one step closer, for as long as they
//! run.
//!
//! | controller | looks at | does |
//! |---|---|---|
//! | [`pipeline_run`] | runs, their Jobs | resolves, creates Jobs whose needs are met, cancels, sums up |
//! | [`pipeline`] | Pipelines, what they refer to, their runs | says whether they are ready, and what ran last |
//! | [`scheduler`] | waiting Jobs, Nodes | binds, says why a Job waits |
//! | [`concurrency_group`] | groups, who asks for a place | hands places out and takes them back |
//! | [`job`] | Jobs, their nodes' leases | next attempts, lost attempts, cancels nobody claimed |
//! | [`node_lifecycle`] | Nodes, their leases | marks what is silent |
//! | [`git_repository`] | repositories, the git servers | records moves as GitEvents, then where refs point |
//! | [`garbage_collector`] | who belongs to whom, of all kinds | deletes what has lost its owners |
//! | [`namespace`] | namespaces being deleted | empties them |
//! | [`service_account`] | namespaces | keeps the account `default` and the server's certificate in each |
//! | [`trigger`] | GitEvents, Pipelines | one run for each that matches |
//!
//! Each is *observe, plan, act*: a plan is a pure function, tested on its own; acting twice on it is acting once. They
//! share one [`world`]: one watch and one cache per kind. Any of them may be killed between any two of its writes.

pub mod catalog;
pub mod command;
pub mod concurrency_group;
pub mod config;
pub mod garbage_collector;
pub mod git_repository;
pub mod heartbeat;
pub mod job;
pub mod namespace;
pub mod node_lifecycle;
pub mod pipeline;
pub mod pipeline_run;
pub mod runtime;
pub mod scheduler;
pub mod serve;
pub mod service_account;
pub mod trigger;
mod wiring;
pub mod world;

pub use config::{Config, Election, Settings};
pub use serve::{BuildError, Controllers, build};
