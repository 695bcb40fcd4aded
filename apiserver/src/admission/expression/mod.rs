//! Expressions of admission: the match conditions of webhooks and policies, and everything a policy says. Here is what they
//! may name, how they are compiled, and what they are evaluated on; the language itself is `breakbulk-cel`.
//!
//! ```text
//! written ─▶ compile (environment) ─▶ Program      request ─▶ Inputs ─▶ bindings ─▶ Program::evaluate within a Budget
//! ```

mod authorizer;
mod conditions;
mod declarations;

use breakbulk_cel::{Bindings, Budget, CompileError, Environment, EvalError, Program, Type, Value as Evaluated};
use serde_json::Value;

pub(super) use authorizer::Asker;
pub(super) use conditions::{Conditions, Verdict};
pub(crate) use declarations::{Asks, Params, environment};
pub(super) use declarations::{Shapes, environment_of};

/// The words for a budget that is used up.
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// Compiles an expression whose value is to be of one of the types.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub(crate) fn compile(environment: &Environment, text: &str, types: &[Type]) -> Result<Program, String> {
    environment.compile(text, types).map_err(|error| match error {
        CompileError::Invalid(why) => format!("compilation failed: {why}"),
        other => other.to_string(),
    })
}

/// An expression as it was stored. One that does not compile any more is an error each time it is asked for.
pub(super) struct Expression {
    /// Its text.
    pub(super) text: String,
    program: Result<Program, String>,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoValue {
    /// Of this one.
    Failed(String),
    /// Of this one and those after it: the budget is used up.
    Exhausted(String),
}

impl NoValue {
    /// The words.
    pub(super) fn words(self) -> String {
        match self {
            Self::Failed(why) | Self::Exhausted(why) => why,
        }
    }
}

impl Expression {
    /// Compiles a stored expression.
    pub(super) fn new(environment: &Environment, text: &str, types: &[Type]) -> Self {
        Self {
            text: text.to_owned(),
            program: compile(environment, text, types),
        }
    }

    /// Its value.
    pub(super) fn evaluate<'a>(&self, bindings: &Bindings<'a>, budget: &mut Budget) -> Result<Evaluated<'a>, NoValue> {
        let program = self.program.as_ref();
        let program = program.map_err(|why| NoValue::Failed(format!("compilation error: {why}")))?;
        program.evaluate(bindings, budget).map_err(|error| match error {
            EvalError::BudgetExhausted => NoValue::Exhausted(OUT_OF_BUDGET.to_owned()),
            error => NoValue::Failed(format!("expression '{}' resulted in error: {error}", self.text)),
        })
    }
}

/// What expressions are evaluated on.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// The object as it will be, or null.
    pub(super) object: &'a Value,
    /// The object as it is, or null.
    pub(super) old: &'a Value,
    /// The request.
    pub(super) request: &'a Value,
    /// The namespace, or null.
    pub(super) namespace: &'a Value,
    /// The parameters of a policy, or null.
    pub(super) params: &'a Value,
    /// Who answers questions about what somebody may do.
    pub(super) asker: &'a Asker<'a>,
}

impl<'a> Inputs<'a> {
    /// The values of the variables.
    pub(super) fn bindings(&self) -> Bindings<'a> {
        let dynamic = breakbulk_cel::Declared::dynamic();
        Bindings::new()
            .json("object", self.object, dynamic)
            .json("oldObject", self.old, dynamic)
            .json("params", self.params, dynamic)
            .json("request", self.request, &declarations::REQUEST)
            .json("namespaceObject", self.namespace, &declarations::NAMESPACE)
            .authorizer(self.asker, Some(self.asker.request()))
    }
}
