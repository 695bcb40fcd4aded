//! The seam to the language of rules: a definition's checks hand each rule to a [`CheckRule`], and turn what it says
//! into upstream's texts. What a rule may cost, statically: one rule, and all of a version's.

use breakbulk_cel::excess;
use breakbulk_schemas::field::{FieldError, Path};
use serde_json::Value;

use super::check::Mistakes;
use crate::schema::{Rule, Schema};

/// The most that one rule may be estimated to cost.
const RULE_COST: u64 = 10_000_000;
/// The most that all rules of a schema may.
const SCHEMA_COST: u64 = 100_000_000;
/// How many of the most expensive rules are named when all together cost too much.
const NAMED: usize = 4;

/// Compiles rules.
pub trait CheckRule {
    /// Compiles the rules of a schema, each against it, and estimates what they cost: one answer for each, in their order.
    fn compile(&self, site: &RuleSite<'_>) -> Vec<Compiled>;

    /// The mistakes that a default makes against the rules in its schema: once as what an update leaves alone, once as
    /// new.
    fn default_fits(&self, schema: &Schema, default: &Value, at: &Path) -> Vec<FieldError> {
        _ = (schema, default, at);
        Vec::new()
    }
}

/// Where rules stand.
#[derive(Clone, Copy, Debug)]
pub struct RuleSite<'a> {
    /// The rules.
    pub rules: &'a [Rule],
    /// The schema of `self`, as written.
    pub schema: &'a Value,
    /// Whether that is the schema of an object, whose `self` has the head of an object.
    pub is_resource: bool,
    /// How many values there may be that a rule is evaluated for; none if nothing bounds it.
    pub cardinality: Option<u64>,
}

/// What became of a rule.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// Why the rule does not compile.
    pub rule: Option<RuleProblem>,
    /// Why its message expression does not.
    pub message_expression: Option<String>,
    /// What one evaluation of it may cost.
    pub cost: u64,
    /// How often it may be evaluated, where nothing in the schema bounds that: by the size of requests.
    pub most_evaluations: u64,
    /// What its message expression may cost.
    pub message_cost: u64,
    /// Whether it speaks of `oldSelf`.
    pub uses_old_self: bool,
}

/// Why a rule does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleProblem {
    /// It says nothing.
    Required(String),
    /// It is wrong.
    Invalid(String),
}

/// Takes every rule as it is: for where rules are not evaluated.
pub struct Unchecked;

impl CheckRule for Unchecked {
    fn compile(&self, site: &RuleSite<'_>) -> Vec<Compiled> {
        let taken = |rule: &Rule| Compiled {
            uses_old_self: rule.rule.contains("oldSelf"),
            ..Compiled::default()
        };
        site.rules.iter().map(taken).collect()
    }
}

/// What all rules of a schema cost.
#[derive(Default)]
pub(super) struct Costs {
    total: u64,
    most: Vec<(u64, Path)>,
}

impl Costs {
    fn observe(&mut self, path: Path, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_COST / 100 {
            self.most.push((cost, path));
            self.most.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            self.most.truncate(NAMED);
        }
    }

    /// Complains if they cost too much together.
    pub(super) fn tell(self, schema: Path, mistakes: &mut Mistakes) {
        if self.total <= SCHEMA_COST {
            return;
        }
        for (_, path) in self.most {
            let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            mistakes.forbidden(path, detail);
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        if let Some(detail) = excess(what, self.total, SCHEMA_COST) {
            mistakes.forbidden(schema, detail);
        }
    }
}

/// Whether the cost of single rules is held against them: not where a schema is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    Held,
    Waived,
}

/// Tells what became of a rule at `path`, which ends in `x-kubernetes-validations[n]`.
pub(super) fn tell(
    (rule, cardinality): (&Rule, Option<u64>),
    compiled: Compiled,
    path: &Path,
    budget: Budget,
    costs: &mut Costs,
) -> Vec<FieldError> {
    let mut mistakes = Mistakes::default();
    let (at, message_at) = (path.child("rule"), path.child("messageExpression"));
    let as_json = || {
        serde_json::json!({
            "rule": rule.rule, "message": rule.message, "messageExpression": rule.message_expression,
        })
    };
    let times = cardinality.unwrap_or(compiled.most_evaluations);
    let cost = compiled.cost.saturating_mul(times);
    if budget == Budget::Held
        && let Some(detail) = excess("estimated rule cost", cost, RULE_COST)
    {
        mistakes.forbidden(at.clone(), detail);
    }
    costs.observe(at.clone(), cost);
    match compiled.rule {
        Some(RuleProblem::Required(detail)) => mistakes.required(at, detail),
        Some(RuleProblem::Invalid(detail)) => mistakes.invalid(at, as_json(), detail),
        None => {}
    }
    match compiled.message_expression {
        Some(detail) => mistakes.invalid(message_at, as_json(), detail),
        None if rule.message_expression.is_empty() => {}
        None => {
            if budget == Budget::Held
                && let Some(detail) = excess("estimated messageExpression cost", compiled.message_cost, RULE_COST)
            {
                mistakes.forbidden(message_at.clone(), detail);
            }
            costs.observe(message_at, compiled.message_cost);
        }
    }
    mistakes.0
}
