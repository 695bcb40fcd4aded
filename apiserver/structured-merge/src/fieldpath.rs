//! Names for fields: an element selects one child, a path is a list of elements, a [`FieldSet`] is a set of paths.
//!
//! Managers own field sets; `metadata.managedFields` carries them in the form `FieldsV1`, which `codec` reads and
//! writes. What a path means in a given object is told by the schema, in [`crate::typed`].

mod codec;
mod element;
mod set;
#[cfg(test)]
mod tests;

pub use codec::FieldsError;
pub(crate) use codec::{MAX_DEPTH, Survey, has_all, may_touch, survey};
pub use element::{Path, PathElement};
pub use set::FieldSet;
pub(crate) use set::{Branch, Node};
