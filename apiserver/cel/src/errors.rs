//! Why an expression is not one, and why it has no value.

use std::borrow::Cow;

use crate::types::Type;

/// The text does not compile.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompileError {
    /// It is no expression, or one whose types do not fit: everything found, as cel-go prints it.
    #[error("{0}")]
    Invalid(String),
    /// Its value has another type than what is wanted.
    #[error("must evaluate to {}", wanted(expected))]
    Output {
        /// What is wanted.
        expected: Vec<Type>,
        /// What it is.
        found: Type,
    },
}

fn wanted(expected: &[Type]) -> String {
    match expected {
        [one] => one.to_string(),
        many => {
            let names: Vec<String> = many.iter().map(Type::to_string).collect();
            format!("one of [{}]", names.join(" "))
        }
    }
}

/// An evaluation gave no value. The texts are cel-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// An operator or function met values that it does not take.
    #[error("no such overload")]
    NoSuchOverload,
    /// A map without the key, or an object without the field.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// A variable that was not bound.
    #[error("no such attribute(s): {0}")]
    NoSuchAttribute(String),
    /// A list without the index.
    #[error("index out of bounds: {0}")]
    OutOfBounds(i64),
    /// What a function or operator says of its arguments.
    #[error("{0}")]
    Failed(Cow<'static, str>),
    /// One evaluation cost more than one may.
    #[error("operation cancelled: actual cost limit exceeded")]
    CallCostExceeded,
    /// All evaluations on one budget cost more than it had.
    #[error("running out of cost budget")]
    BudgetExhausted,
}

impl EvalError {
    pub(crate) fn failed(text: impl Into<Cow<'static, str>>) -> Self {
        EvalError::Failed(text.into())
    }

    /// Not even `a || b` may go on after it.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, EvalError::CallCostExceeded | EvalError::BudgetExhausted)
    }
}
