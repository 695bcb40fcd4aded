//! A compiled expression.

use std::collections::BTreeSet;

use crate::bindings::Bindings;
use crate::budget::Budget;
use crate::errors::EvalError;
use crate::estimate::CostEstimate;
use crate::eval::Evaluation;
use crate::eval::plan::{Node, Plan};
use crate::types::Type;
use crate::value::Value;

/// Stack that evaluation needs: for itself, and for each level of the tree.
const STACK_BASE: usize = 512 << 10;
const STACK_PER_LEVEL: usize = 6 << 10;

/// A compiled expression: type-checked, planned, with its worst cost known.
#[derive(Debug)]
pub struct Program {
    root: Node,
    variables: BTreeSet<String>,
    lazies: BTreeSet<String>,
    output: Type,
    /// With those of the lazy variables it builds on.
    height: usize,
    cost: CostEstimate,
}

impl Program {
    pub(crate) fn new(plan: Plan, output: Type, height: usize, cost: CostEstimate) -> Self {
        Self {
            root: plan.root,
            variables: plan.variables,
            lazies: plan.lazies,
            output,
            height,
            cost,
        }
    }

    /// With the stack that it needs.
    pub(crate) fn run<'a>(&self, evaluation: &mut Evaluation<'_, 'a>) -> Result<Value<'a>, EvalError> {
        let stack = STACK_BASE + self.height * STACK_PER_LEVEL;
        stacker::maybe_grow(stack, stack + STACK_BASE, || evaluation.eval(&self.root))
    }

    /// The lazy variables that it names.
    pub(crate) fn lazies(&self) -> impl Iterator<Item = &str> {
        self.lazies.iter().map(String::as_str)
    }

    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// The type of its values.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Whether it reads the variable: one that reads `oldSelf` is a transition rule.
    pub fn uses(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }

    /// The variables it reads.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str)
    }

    /// What one evaluation can cost, by the bounds that schemas set.
    pub fn cost(&self) -> CostEstimate {
        self.cost
    }

    /// Its value with the bound variables. What it costs is taken from the budget, whether it has a value or not.
    pub fn evaluate<'a>(&self, bindings: &Bindings<'a>, budget: &mut Budget) -> Result<Value<'a>, EvalError> {
        let mut meter = budget.meter();
        let mut evaluation = Evaluation {
            bindings,
            meter: &mut meter,
            locals: Vec::new(),
        };
        let value = self.run(&mut evaluation);
        budget.settle(&meter);
        value
    }
}
