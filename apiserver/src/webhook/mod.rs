//! Webhooks: asking programs of users over HTTPS. Admission asks them about writes, and definitions with conversion
//! `Webhook` about versions ([`Converter`]). Here is only how they are reached ([`Endpoint`], [`Client`]); what they are
//! asked, and what follows from an answer, is said by whoever asks.
//!
//! What comes back is hostile: it is bounded in time and size, redirects are not followed, and every answer is read
//! strictly.

mod client;
mod converter;
mod endpoint;

pub use client::{CallError, Client, MAX_ANSWER};
pub use converter::{ConversionError, Converter};
pub use endpoint::{Endpoint, EndpointError};
