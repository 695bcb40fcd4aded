//! Objects before their kind's rules. What an update leaves as it was is let pass with a warning, unless the rule is about
//! the change itself; one budget pays for all that is evaluated of an object.

use breakbulk_cel::{Bindings, Budget, Declared, EvalError};
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::Value;

use super::Programs;
use super::compile::{OLD_SELF, ReadyRule, RuledNode, SELF, UNTYPED, takes_none};
use crate::schema::{Rule, RuledValue, Schema};

/// The most mistakes told of one object.
const MAX_ERRORS: usize = 100;
/// The longest message that an expression may make, in bytes.
const MAX_MESSAGE: usize = 5 << 10;
const EXHAUSTED: &str = "validation failed due to running out of cost budget, no further validation rules will be run";
const MESSAGE_EXHAUSTED: &str = "messageExpression evaluation failed due to running out of cost budget, no further \
                                 validation rules will be run";

/// Where a value stands and what its rules may cost.
pub(crate) struct Scope<'a> {
    /// Its path, if it is not an object of its own.
    pub(crate) base: Option<&'a Path>,
    /// What is left to spend.
    pub(crate) budget: &'a mut Budget,
}

/// What rules say of a value.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Why it is refused.
    pub(crate) errors: Vec<FieldError>,
    /// What is wrong with it but has been so before.
    pub(crate) warnings: Vec<String>,
}

impl Programs {
    /// Evaluates all rules that apply. `schema` is the one that the programs were compiled from.
    pub(crate) fn judge(&self, schema: &Schema, new: &Value, old: Option<&Value>, scope: Scope<'_>) -> Verdict {
        let mut judge = Judge {
            scope,
            verdict: Verdict::default(),
            ended: false,
        };
        schema.visit_ruled(new, old, &mut |value| {
            if let Some(node) = self.nodes.get(value.node.id) {
                judge.value(node, &value);
            }
        });
        judge.verdict
    }
}

struct Judge<'a> {
    scope: Scope<'a>,
    verdict: Verdict,
    /// Nothing more is evaluated: the budget is spent, or there are mistakes enough.
    ended: bool,
}

/// A rule and the value it is asked about.
struct Case<'a> {
    node: &'a RuledNode,
    rule: &'a ReadyRule,
    value: &'a RuledValue<'a>,
    uses_old_self: bool,
}

impl Judge<'_> {
    fn value(&mut self, node: &RuledNode, value: &RuledValue<'_>) {
        if self.ended {
            return;
        }
        let plain = |detail: String| invalid(value.trail.path_below(self.scope.base), node, detail);
        let Some(declared) = &node.declared else {
            let error = plain(format!("rule compiler initialization error: {UNTYPED}"));
            return self.refuse(error);
        };
        if self.scope.budget.left() == 0 {
            let error = plain(EXHAUSTED.to_owned());
            return self.end(error);
        }
        for rule in &node.rules {
            if self.ended {
                return;
            }
            self.rule(node, rule, declared, value);
        }
    }

    fn rule(&mut self, node: &RuledNode, rule: &ReadyRule, declared: &Declared, value: &RuledValue<'_>) {
        let at = || value.trail.path_below(self.scope.base);
        if let Some(problem) = &rule.tried.problem {
            let error = invalid(at(), node, format!("rule compile error: {problem}"));
            return self.refuse(error);
        }
        let Some(program) = &rule.tried.program else { return };
        let uses_old_self = program.uses(OLD_SELF);
        if uses_old_self && value.old.is_none() && !takes_none(&rule.written) {
            return;
        }
        let bindings = bind(&rule.written, declared, value);
        let told = told(&rule.written);
        match program.evaluate(&bindings, self.scope.budget) {
            Ok(outcome) if outcome.as_bool() == Some(true) => {}
            Ok(_) => {
                let case = Case {
                    node,
                    rule,
                    value,
                    uses_old_self,
                };
                self.broken(&case, &bindings);
            }
            Err(EvalError::BudgetExhausted) => self.end(invalid(at(), node, EXHAUSTED)),
            Err(error @ EvalError::CallCostExceeded) => {
                let detail = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {told}"
                );
                self.end(invalid(at(), node, detail));
            }
            Err(error @ EvalError::NoSuchOverload) => {
                let detail = format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for \
                     rule: {told}"
                );
                self.refuse(invalid(at(), node, detail));
            }
            Err(error) => self.refuse(invalid(at(), node, format!("{error} evaluating rule: {told}"))),
        }
    }

    /// A rule that is not fulfilled.
    fn broken(&mut self, case: &Case<'_>, bindings: &Bindings<'_>) {
        let path = below(case.value, self.scope.base, case.rule.field.as_deref());
        let written = &case.rule.written;
        let said = match self.message(case.rule, bindings) {
            Ok(said) => said,
            Err(detail) => {
                self.complain(case, invalid(path, case.node, detail));
                self.ended = true;
                return;
            }
        };
        let detail = said.unwrap_or_else(|| match written.message.as_str() {
            "" => format!("failed rule: {}", told(written)),
            message => message.trim().to_owned(),
        });
        let error = match written.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::new(path, ErrorKind::Forbidden, detail),
            Some("FieldValueRequired") => FieldError::new(path, ErrorKind::Required, detail),
            Some("FieldValueDuplicate") => FieldError::with_value(path, ErrorKind::Duplicate, &case.node.type_name, ""),
            _ => invalid(path, case.node, detail),
        };
        self.complain(case, error);
    }

    /// What the rule's message expression says, if it says anything fit; else why all ends here.
    fn message(&mut self, rule: &ReadyRule, bindings: &Bindings<'_>) -> Result<Option<String>, String> {
        let Some(program) = &rule.tried.message else {
            return Ok(None);
        };
        match program.evaluate(bindings, self.scope.budget) {
            Ok(value) => {
                let text = value.as_str().unwrap_or_default().trim();
                let fits = !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
                Ok(fits.then(|| text.to_owned()))
            }
            Err(EvalError::BudgetExhausted) => Err(MESSAGE_EXHAUSTED.to_owned()),
            Err(EvalError::CallCostExceeded) => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                rule.written.message_expression
            )),
            Err(_) => Ok(None),
        }
    }

    /// Refuses, unless the value is what it was and the rule does not ask what it was.
    fn complain(&mut self, case: &Case<'_>, error: FieldError) {
        if !case.uses_old_self && case.value.is_unchanged() {
            if self.verdict.warnings.len() < MAX_ERRORS {
                self.verdict.warnings.push(error.to_string());
            }
            return;
        }
        self.refuse(error);
    }

    fn refuse(&mut self, error: FieldError) {
        self.verdict.errors.push(error);
        self.ended = self.verdict.errors.len() >= MAX_ERRORS;
    }

    fn end(&mut self, error: FieldError) {
        self.verdict.errors.push(error);
        self.ended = true;
    }
}

fn bind<'a>(rule: &Rule, declared: &'a Declared, value: &RuledValue<'a>) -> Bindings<'a> {
    let bindings = Bindings::new().json(SELF, value.value, declared);
    match value.old {
        old if takes_none(rule) => bindings.optional_json(OLD_SELF, old, declared),
        Some(old) => bindings.json(OLD_SELF, old, declared),
        None => bindings,
    }
}

/// What upstream names a rule by: its message, if it has one.
fn told(rule: &Rule) -> &str {
    if rule.message.is_empty() {
        rule.rule.trim()
    } else {
        rule.message.trim()
    }
}

fn invalid(path: Path, node: &RuledNode, detail: impl Into<String>) -> FieldError {
    FieldError::invalid(path, &node.type_name, detail)
}

/// The path of a field below a value.
fn below(value: &RuledValue<'_>, base: Option<&Path>, field: Option<&str>) -> Path {
    let path = value.trail.path_below(base);
    match field {
        None => path,
        Some(field) if path.as_str() == "<nil>" => Path::root(field),
        Some(field) => Path::root(&format!("{path}.{field}")),
    }
}
