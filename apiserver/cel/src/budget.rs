//! What evaluations may cost: in one call, and all together.
//!
//! One unit is about one step of the evaluator; texts cost a tenth of a unit per character each time they are gone
//! over. The limits are Kubernetes': an evaluation is cut off, not slowed down.

use crate::errors::EvalError;

/// What one evaluation may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// What all rules of one object, or all validations of one policy, may cost.
pub const PER_OBJECT_LIMIT: u64 = 10_000_000;
/// What all match conditions of one webhook or policy may cost.
pub const MATCH_CONDITIONS_LIMIT: u64 = 2_500_000;

/// What is left for a series of evaluations.
#[derive(Clone, Debug)]
pub struct Budget {
    per_call: u64,
    left: u64,
}

impl Budget {
    /// `total` for the series, at most `per_call` for each evaluation.
    pub fn new(per_call: u64, total: u64) -> Self {
        Self { per_call, left: total }
    }

    /// For the rules of one object: [`PER_CALL_LIMIT`] of [`PER_OBJECT_LIMIT`].
    pub fn for_object() -> Self {
        Self::new(PER_CALL_LIMIT, PER_OBJECT_LIMIT)
    }

    /// For match conditions: [`PER_CALL_LIMIT`] of [`MATCH_CONDITIONS_LIMIT`].
    pub fn for_match_conditions() -> Self {
        Self::new(PER_CALL_LIMIT, MATCH_CONDITIONS_LIMIT)
    }

    /// What later evaluations may still cost.
    pub fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter {
            cost: 0,
            aside: 0,
            per_call: self.per_call,
            total: self.left,
            work: 0,
        }
    }

    pub(crate) fn settle(&mut self, meter: &Meter) {
        self.left = self.left.saturating_sub(meter.cost.saturating_add(meter.aside));
    }
}

/// Work that costs one unit although the model counts it free.
const FREE_WORK_PER_UNIT: u64 = 64;

/// The cost of the evaluation under way.
#[derive(Debug)]
pub(crate) struct Meter {
    cost: u64,
    /// Of lazy variables: they have their own calls.
    aside: u64,
    per_call: u64,
    total: u64,
    work: u64,
}

impl Meter {
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.per_call {
            return Err(EvalError::CallCostExceeded);
        }
        if self.cost.saturating_add(self.aside) > self.total {
            return Err(EvalError::BudgetExhausted);
        }
        Ok(())
    }

    /// Steps inside one operation, whose price does not depend on what they meet: comparing deeply nested values, say.
    /// Counted so that they stay bounded as well.
    pub(crate) fn work(&mut self, steps: u64) -> Result<(), EvalError> {
        self.work += steps;
        if self.work < FREE_WORK_PER_UNIT {
            return Ok(());
        }
        let units = self.work / FREE_WORK_PER_UNIT;
        self.work %= FREE_WORK_PER_UNIT;
        self.charge(units)
    }

    /// A text or list about to be made, `size` long: refused when the budget could not pay for going over it once.
    pub(crate) fn allow_size(&self, size: u64) -> Result<(), EvalError> {
        if size / 10 > self.per_call {
            return Err(EvalError::CallCostExceeded);
        }
        Ok(())
    }

    /// Starts the call of a lazy variable; gives what the outer call has cost so far.
    pub(crate) fn enter(&mut self) -> u64 {
        self.aside = self.aside.saturating_add(self.cost);
        std::mem::take(&mut self.cost)
    }

    pub(crate) fn leave(&mut self, outer: u64) {
        self.aside = self.aside.saturating_add(self.cost).saturating_sub(outer);
        self.cost = outer;
    }
}
