//! Roles and bindings: what they allow together. The objects are read once into [`Index`], which finds the rules of an
//! identity by its names; asking it costs some comparisons of strings and no parsing.
//!
//! Rules only ever add: there is none that takes away.

mod index;
mod rule;

pub use index::{Bound, Grant, Index, Memo, RoleKey, RoleRules};
pub(in crate::authorization) use rule::quoted;
pub use rule::{Rule, compact};

/// The API group of the four kinds.
pub const GROUP: &str = "rbac.authorization.k8s.io";

#[cfg(test)]
mod tests;
