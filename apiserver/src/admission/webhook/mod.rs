//! Admission webhooks: programs of users that are asked about writes, those that may change an object first
//! ([`MutatingWebhooks`]) and those that may only refuse it last ([`ValidatingWebhooks`]).
//!
//! ```text
//! configurations ─▶ Hooks (parsed once)        request ─▶ select ─▶ match conditions ─▶ review ─▶ answer ─▶ patch or verdict
//! ```

mod call;
mod configuration;
mod mutating;
mod review;
mod validating;

pub(super) use configuration::FailurePolicy;
pub use mutating::MutatingWebhooks;
pub use validating::ValidatingWebhooks;
