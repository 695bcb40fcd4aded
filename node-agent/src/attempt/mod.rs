//! One attempt, from the claim to the last trace of it.
//!
//! ```text
//! claim ─▶ record ─▶ prepare ─▶ launch ─▶ watch ─▶ ship the rest ─▶ report ─▶ clean
//!             restart: a record is found ──────▲ or ─────▲
//! ```
//!
//! The steps up to the launch are taken once, by the agent that claimed. Everything behind it is decided from what is
//! on record ([`ending`]), by whichever agent looks, and may be done again at any point.

pub(crate) mod claim;
pub(crate) mod ending;
mod process;
pub(crate) mod report;
mod run;
pub(crate) mod spec;

pub(crate) use run::{Attempt, Context, Order, Outcome, chain};
