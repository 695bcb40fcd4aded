//! The patch formats: pure functions from an object and a patch to a new object. Which format a request may use, and
//! what becomes of the result, is decided above.

pub mod json;
pub mod merge;
pub mod strategic;

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed: the request is bad (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object: unprocessable (422).
    #[error("{0}")]
    Failed(String),
    /// More operations than allowed (413).
    #[error("The allowed maximum operations in a JSON patch is {limit}, got {got}")]
    TooManyOperations {
        /// How many are allowed.
        limit: usize,
        /// How many there were.
        got: usize,
    },
}
