//! The API server: speaks the Kubernetes API over TLS, knows no kind by name, and keeps everything in the store.
//!
//! ```text
//! server ─▶ connection ─▶ endpoints ─▶ authorization ─▶ admission ─▶ registry ─▶ cacher ─▶ store
//!               │             │                            │
//!               │             ├ discovery, openapi, table  ├ schema, patch, json, webhook
//!               │             └ selector, reviews
//!               └ authentication
//!
//! around every request: request (what it is), overload, audit, metrics; beside them: health
//! ```
//!
//! [`registry`] is the table: one row for each resource, and everything else reads it. [`server`] builds and serves:
//! [`Config`] → [`build`] → [`Server::serve`].

pub mod admission;
mod aside;
pub mod audit;
pub mod authentication;
pub mod authorization;
pub mod cacher;
pub mod command;
pub mod config;
pub mod connection;
pub mod definitions;
pub mod discovery;
pub mod endpoints;
mod establish;
pub mod health;
mod housekeeping;
pub mod ingest;
pub mod joblog;
pub mod json;
pub mod kubeconfig;
pub mod managed;
pub mod metrics;
pub mod openapi;
pub mod overload;
pub mod patch;
pub mod pki;
pub mod registry;
pub mod request;
pub mod reviews;
mod rules;
pub mod schema;
pub mod selector;
pub mod server;
pub mod status;
mod storage;
pub mod table;
pub mod webhook;

pub use audit::{AuditConfig, Sink};
pub use config::{Config, EtcdTls, StoreConfig};
pub use overload::Limits;
pub use server::{Server, ServerError, build};
