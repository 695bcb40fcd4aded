//! Values seen through their schema: which fields they set, how two of them differ, what they make when merged, and
//! what is left when fields are taken away.
//!
//! Each operation is a walk over one or two values and a type, in step. All of them agree on what a leaf is: a scalar,
//! an atomic list or map, and an empty list or map. They take any JSON; what does not fit its type is an error, as is
//! a field so deep that its owner could not be written down. Follows upstream's `structured-merge-diff` in meaning.

mod compare;
mod errors;
mod items;
mod merge;
mod reconcile;
mod remove;
#[cfg(test)]
mod tests;
mod to_set;
mod validate;

pub(crate) use compare::{Comparison, compare};
pub use errors::{FieldError, FieldErrors};
pub(crate) use merge::merge;
pub(crate) use reconcile::{ensure_named_fields, reconcile};
pub(crate) use remove::{extract_items, remove_items, remove_items_for_good};
pub(crate) use to_set::to_field_set;
pub(crate) use validate::validate;
