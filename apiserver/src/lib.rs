//! The API server: speaks the Kubernetes API over TLS, knows no kind by name, and keeps everything in the store.
//!
//! ```text
//! server ─▶ endpoints ─▶ authentication ─▶ authorization ─▶ admission ─▶ registry ─▶ cacher ─▶ store
//!              │                                               │
//!              ├ discovery, openapi, table                     ├ schema, patch, json, webhook
//!              └ selector
//! ```
//!
//! [`registry`] is the table: one row for each resource, and everything else reads it. [`server`] builds and serves:
//! [`Config`] → [`build`] → [`Server::serve`].

pub mod admission;
pub mod authentication;
pub mod authorization;
pub mod cacher;
pub mod command;
pub mod config;
pub mod discovery;
pub mod endpoints;
mod housekeeping;
pub mod ingest;
pub mod joblog;
pub mod json;
pub mod kubeconfig;
mod managed;
pub mod openapi;
pub mod patch;
pub mod pki;
pub mod registry;
pub mod schema;
pub mod selector;
pub mod server;
pub mod status;
mod storage;
pub mod table;
pub mod webhook;

pub use config::{Config, EtcdTls, StoreConfig};
pub use server::{Server, ServerError, build};
