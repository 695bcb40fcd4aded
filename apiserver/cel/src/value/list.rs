//! Lists: an array of a bound object, or one that an expression made.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::declared::{Declared, Merge};
use crate::errors::EvalError;
use crate::value::{Value, json};

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// An array and what its items are.
    #[non_exhaustive]
    Json {
        /// The array.
        items: &'a [Json],
        /// What each item is.
        of: &'a Declared,
    },
    /// As [`List::Json`], with an order that means nothing.
    #[non_exhaustive]
    Unordered {
        /// The array.
        items: &'a [Json],
        /// The list's own declaration.
        of: &'a Declared,
    },
    /// Made by an expression.
    Owned(Arc<Vec<Value<'a>>>),
}

impl<'a> List<'a> {
    pub(crate) fn read(items: &'a [Json], of: &'a Declared, element: &'a Declared, merge: &Merge) -> Self {
        match merge {
            Merge::Atomic => List::Json { items, of: element },
            Merge::Set | Merge::Keys(_) => List::Unordered { items, of },
        }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            List::Json { items, .. } | List::Unordered { items, .. } => items.len(),
            List::Owned(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<Result<Value<'a>, EvalError>> {
        Some(match self {
            List::Json { items, of } => json::read(items.get(index)?, of),
            List::Unordered { items, of } => json::read(items.get(index)?, of.element()?),
            List::Owned(items) => Ok(items.get(index)?.clone()),
        })
    }

    /// All elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// How it is compared and joined.
    pub(crate) fn merge(&self) -> &'a Merge {
        match self {
            List::Unordered { of, .. } => match &of.shape {
                crate::declared::Shape::List { merge, .. } => merge,
                _ => &Merge::Atomic,
            },
            _ => &Merge::Atomic,
        }
    }
}
