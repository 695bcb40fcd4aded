//! Evaluating a policy on a request (`k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go`).

use breakbulk_cel::{Bindings, Budget};

use super::definition::{Policy, Reason, Validation};
use crate::admission::expression::{Inputs, NoValue, Verdict};
use crate::admission::webhook::FailurePolicy;
use crate::aside;

/// The longest message that an expression makes, in bytes; a longer one is left aside.
const MAX_MESSAGE: usize = 5 << 10;
/// The longest annotation that an expression makes; a longer one is cut.
const MAX_ANNOTATION: usize = 10 << 10;

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The place of the validation that said it.
    pub(super) index: usize,
    /// In words.
    pub(super) message: String,
    /// The reason of the answer.
    pub(super) reason: Reason,
}

/// What a policy says of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opinion {
    /// Everything that is not as it must be.
    pub(super) refusals: Vec<Refusal>,
    /// Annotations for the audit log.
    pub(super) annotations: Vec<(String, String)>,
    /// Annotations that have no value, where that refuses the request whatever follows from a no.
    pub(super) errors: Vec<String>,
}

impl Opinion {
    /// Of a policy that could not be evaluated.
    fn failed(policy: &Policy, message: String) -> Self {
        let refusal = Refusal {
            index: 0,
            message,
            reason: Reason::Invalid,
        };
        Self {
            refusals: Some(refusal)
                .filter(|_| policy.failure == FailurePolicy::Fail)
                .into_iter()
                .collect(),
            ..Self::default()
        }
    }
}

impl Policy {
    /// Evaluates it.
    pub(super) async fn evaluate(&self, inputs: &Inputs<'_>) -> Opinion {
        if !self.conditions.is_empty() {
            match self.conditions.judge(inputs).await {
                Verdict::Match => {}
                Verdict::NoMatch => return Opinion::default(),
                Verdict::Unclear(why) => return Opinion::failed(self, why),
            }
        }
        let bindings = || inputs.bindings().variables(&self.variables);
        let refusals = |budget: &mut Budget| self.refusals(&bindings(), budget);
        let refusals = match aside::evaluate(Budget::for_object(), refusals).await {
            Ok(refusals) => refusals,
            Err(exhausted) => return Opinion::failed(self, exhausted),
        };
        if self.annotations.is_empty() {
            return Opinion {
                refusals,
                ..Opinion::default()
            };
        }
        let (annotations, errors) =
            aside::evaluate(Budget::for_object(), |budget| self.annotate(&bindings(), budget)).await;
        Opinion {
            refusals,
            annotations,
            errors,
        }
    }

    /// What its validations say, or that the budget is used up.
    fn refusals(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> Result<Vec<Refusal>, String> {
        let mut refusals = Vec::new();
        for (index, validation) in self.validations.iter().enumerate() {
            let (message, reason) = match validation.expression.evaluate(bindings, budget) {
                Ok(value) if value.as_bool() == Some(true) => continue,
                Ok(_) => (validation.message(bindings, budget)?, validation.reason),
                Err(NoValue::Exhausted(why)) => return Err(why),
                Err(NoValue::Failed(_)) if self.failure == FailurePolicy::Ignore => continue,
                Err(NoValue::Failed(why)) => (why, Reason::Invalid),
            };
            refusals.push(Refusal { index, message, reason });
        }
        Ok(refusals)
    }

    /// The annotations that have a value, and what is wrong with the others.
    fn annotate(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> (Vec<(String, String)>, Vec<String>) {
        let (mut annotations, mut errors) = (Vec::new(), Vec::new());
        for (key, expression) in &self.annotations {
            match expression.evaluate(bindings, budget) {
                Ok(value) => {
                    let text = value.as_str().unwrap_or("").trim();
                    if !text.is_empty() {
                        annotations.push((key.clone(), cut(text, MAX_ANNOTATION).to_owned()));
                    }
                }
                Err(why) if self.failure == FailurePolicy::Fail => errors.push(why.words()),
                Err(_) => {}
            }
        }
        (annotations, errors)
    }
}

impl Validation {
    /// What is said when it is not true.
    fn message(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> Result<String, String> {
        if let Some(expression) = &self.message_expression {
            match expression.evaluate(bindings, budget) {
                Ok(value) => {
                    let text = value.as_str().unwrap_or("").trim();
                    if !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n') {
                        return Ok(text.to_owned());
                    }
                }
                Err(NoValue::Exhausted(why)) => return Err(format!("failed messageExpression: {why}")),
                Err(NoValue::Failed(error)) => tracing::debug!(error, "a messageExpression has no value"),
            }
        }
        if self.message.is_empty() {
            return Ok(format!("failed expression: {}", self.expression.text.trim()));
        }
        Ok(self.message.clone())
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
