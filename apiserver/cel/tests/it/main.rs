//! Expressions as users write them, against the public interface: tables of texts with what they give or what is said
//! of them, library by library, and properties over texts that nobody would write.

mod authorizer;
mod composition;
mod costs;
mod hostile;
mod language;
mod libraries;
mod mistakes;
mod schemas;
mod soundness;
mod support;
