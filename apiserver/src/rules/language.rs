//! What the language has to say of the rules in a definition that is being written.

use std::cell::RefCell;

use breakbulk_cel::Budget;
use breakbulk_schemas::field::{FieldError, Path};
use serde_json::Value;

use super::compile::{OLD_SELF, Scopes, Tried, UNTYPED, declared};
use super::{Programs, Scope};
use crate::aside;
use crate::definitions::{CheckRule, Compiled, RuleProblem, RuleSite};
use crate::schema::Schema;

/// Checks the rules of one definition. What its defaults may cost is one budget, for all of them.
pub(crate) struct Language {
    budget: RefCell<Budget>,
}

impl Language {
    /// For one definition.
    pub(crate) fn new() -> Self {
        Self {
            budget: RefCell::new(aside::limited(Budget::for_object())),
        }
    }
}

impl CheckRule for Language {
    fn compile(&self, site: &RuleSite<'_>) -> Vec<Compiled> {
        let Some(declared) = declared(site.schema, site.is_resource) else {
            let untyped = || Compiled {
                rule: Some(RuleProblem::Invalid(UNTYPED.to_owned())),
                ..Compiled::default()
            };
            return site.rules.iter().map(|_| untyped()).collect();
        };
        let scopes = Scopes::of(&declared);
        let most = declared.max_cardinality();
        site.rules
            .iter()
            .map(|rule| compiled(&scopes.compile(rule), most))
            .collect()
    }

    fn default_fits(&self, schema: &Schema, default: &Value, at: &Path) -> Vec<FieldError> {
        if schema.ruled_nodes() == 0 {
            return Vec::new();
        }
        let programs = Programs::of_part(schema);
        let mut budget = self.budget.borrow_mut();
        let mut judge = |old: Option<&Value>| {
            let scope = Scope {
                base: Some(at),
                budget: &mut budget,
            };
            programs.judge(schema, default, old, scope).errors
        };
        let left_alone = judge(Some(default));
        if left_alone.is_empty() { judge(None) } else { left_alone }
    }
}

fn compiled(tried: &Tried, most_evaluations: u64) -> Compiled {
    Compiled {
        rule: tried.problem.clone().map(RuleProblem::Invalid),
        message_expression: tried.message_problem.clone(),
        cost: tried.program.as_ref().map_or(0, |program| program.cost().max),
        most_evaluations,
        message_cost: tried.message.as_ref().map_or(0, |program| program.cost().max),
        uses_old_self: tried.program.as_ref().is_some_and(|program| program.uses(OLD_SELF)),
    }
}
