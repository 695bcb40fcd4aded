//! Match conditions: expressions that must all be true before a webhook or a policy is asked.

use breakbulk_cel::{Bindings, Budget, Environment, Type};
use k8s_openapi::api::admissionregistration::v1::MatchCondition;

use super::{Expression, Inputs, NoValue};
use crate::aside;

/// The conditions of one webhook or policy.
pub(in crate::admission) struct Conditions(Vec<Expression>);

/// What conditions say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admission) enum Verdict {
    /// It is meant.
    Match,
    /// It is not.
    NoMatch,
    /// None is false, but some have no value: the failure policy decides. With the words for it.
    Unclear(String),
}

impl Conditions {
    /// Compiles them.
    pub(in crate::admission) fn new(environment: &Environment, given: Option<&[MatchCondition]>) -> Self {
        let given = given.unwrap_or_default().iter();
        Self(
            given
                .map(|condition| Expression::new(environment, &condition.expression, &[Type::Bool]))
                .collect(),
        )
    }

    /// Whether there are none, so that nothing needs to be evaluated.
    pub(in crate::admission) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Evaluates them. One that is false decides, whatever became of the others.
    pub(in crate::admission) async fn judge(&self, inputs: &Inputs<'_>) -> Verdict {
        let within = |budget: &mut Budget| self.judge_within(&inputs.bindings(), budget);
        aside::evaluate(Budget::for_match_conditions(), within).await
    }

    fn judge_within(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> Verdict {
        let mut wrong = Vec::new();
        for condition in &self.0 {
            match condition.evaluate(bindings, budget) {
                Ok(value) if value.as_bool() == Some(false) => return Verdict::NoMatch,
                Ok(_) => {}
                Err(NoValue::Failed(why)) => wrong.push(why),
                Err(NoValue::Exhausted(why)) => return Verdict::Unclear(why),
            }
        }
        match wrong.as_slice() {
            [] => Verdict::Match,
            [one] => Verdict::Unclear(one.clone()),
            many => Verdict::Unclear(format!("[{}]", many.join(", "))),
        }
    }
}
