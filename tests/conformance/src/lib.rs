//! What the conformance tests stand on: upstream's list of tests and their state here, and what each test is given (a
//! namespace of its own, requests as JSON, watches line by line).
//!
//! ```text
//! upstream.list ─▶ checklist ─▶ suite (runs what is ported, counts) ─▶ case (one test's namespace and requests)
//! ```
//!
//! Tests speak HTTP with JSON values and no types of Kubernetes: what they look at is the wire, as any client has it.
//!
//! What this does not do: start processes (the harness of the end-to-end tests does), or hold tests.

pub mod case;
pub mod checklist;
pub mod definition;
pub mod kubectl;
pub mod suite;
pub mod transcript;
pub mod watching;
