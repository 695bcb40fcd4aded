//! Rules of schemas (`x-kubernetes-validations`) at work: compiled when a definition is written, to say what is wrong with
//! them ([`Language`]), and once more for a version that is served, to judge its objects ([`Programs`]).
//!
//! ```text
//! definition written ─▶ definitions::validate ─▶ Language: types, costs, upstream's texts
//! object written ─▶ its schema has nothing against it ─▶ Programs::judge ─▶ mistakes, warnings
//! ```
//!
//! The language itself is `breakbulk-cel`'s. Where rules may stand and what is looked at of an object is
//! [`crate::schema`]'s to say; the texts are those of upstream's `apiserver/schema/cel`.

mod compile;
mod judge;
mod language;

#[cfg(test)]
mod tests;

pub(crate) use judge::{Scope, Verdict};
pub(crate) use language::Language;

use self::compile::RuledNode;
use crate::schema::Schema;

/// The compiled rules of a schema.
#[derive(Debug)]
pub(crate) struct Programs {
    /// By the numbers of the schema's nodes.
    nodes: Vec<RuledNode>,
}

impl Programs {
    /// Compiles the rules of an object's schema. One that does not compile, although it was accepted once, is kept: it
    /// refuses every value that it is asked about.
    pub(crate) fn of_object(schema: &Schema) -> Self {
        let nodes = schema.rules().into_iter();
        Self {
            nodes: nodes.map(|node| RuledNode::of(&node, node.is_root)).collect(),
        }
    }

    /// The same of a schema within another.
    pub(crate) fn of_part(schema: &Schema) -> Self {
        let nodes = schema.rules().into_iter();
        Self {
            nodes: nodes.map(|node| RuledNode::of(&node, false)).collect(),
        }
    }
}
