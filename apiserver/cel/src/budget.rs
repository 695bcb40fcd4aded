//! What evaluations may cost: in one call, and all together.
//!
//! One unit is about one step of the evaluator; texts cost a tenth of a unit per character each time they are gone
//! over. The limits are Kubernetes': an evaluation is cut off, not slowed down.

use std::time::{Duration, Instant};

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
    end: Option<Instant>,
}

impl Budget {
    /// `total` for the series, at most `per_call` for each evaluation.
    pub fn new(per_call: u64, total: u64) -> Self {
        Self {
            per_call,
            left: total,
            end: None,
        }
    }

    /// For the rules of one object: [`PER_CALL_LIMIT`] of [`PER_OBJECT_LIMIT`].
    pub fn for_object() -> Self {
        Self::new(PER_CALL_LIMIT, PER_OBJECT_LIMIT)
    }

    /// For match conditions: [`PER_CALL_LIMIT`] of [`MATCH_CONDITIONS_LIMIT`].
    pub fn for_match_conditions() -> Self {
        Self::new(PER_CALL_LIMIT, MATCH_CONDITIONS_LIMIT)
    }

    /// The same, with no more than that.
    #[must_use]
    pub fn at_most(self, total: u64) -> Self {
        Self {
            left: self.left.min(total),
            ..self
        }
    }

    /// The same, used up when that time has passed: units are alike only on the whole, and machines are not.
    #[must_use]
    pub fn ending_after(self, time: Duration) -> Self {
        Self {
            end: Instant::now().checked_add(time),
            ..self
        }
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
            depth: 0,
            end: self.end,
            charges: 0,
            late: false,
        }
    }

    pub(crate) fn settle(&mut self, meter: &Meter) {
        if meter.late {
            self.left = 0;
        }
        self.left = self.left.saturating_sub(meter.cost.saturating_add(meter.aside));
    }
}

/// So many steps inside operations go with each unit that is paid.
const STEPS_PER_UNIT: u64 = 4;
/// And so many before anything is paid.
const FREE_STEPS: u64 = 64;

/// The clock is looked at once in so many charges.
const CHARGES_PER_LOOK: u32 = 1024;

/// Deeper values than any JSON that is read are not compared.
pub(crate) const MAX_VALUE_DEPTH: usize = 256;

/// The cost of the evaluation under way.
#[derive(Debug)]
pub(crate) struct Meter {
    cost: u64,
    /// Of lazy variables: they have their own calls.
    aside: u64,
    per_call: u64,
    total: u64,
    work: u64,
    depth: usize,
    end: Option<Instant>,
    charges: u32,
    /// The end has come.
    late: bool,
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
        self.charges = self.charges.wrapping_add(1);
        if self.charges.is_multiple_of(CHARGES_PER_LOOK) {
            self.late = self.end.is_some_and(|end| Instant::now() >= end);
        }
        if self.late {
            return Err(EvalError::BudgetExhausted);
        }
        Ok(())
    }

    /// Steps inside operations whose price does not depend on what they meet: comparing deeply nested values, say. As
    /// many as are usual come with the price; beyond these they are paid for as well, so that they stay bounded.
    pub(crate) fn work(&mut self, steps: u64) -> Result<(), EvalError> {
        self.work = self.work.saturating_add(steps);
        let paid = FREE_STEPS.saturating_add(self.cost.saturating_mul(STEPS_PER_UNIT));
        if self.work <= paid {
            return Ok(());
        }
        self.charge((self.work - paid).div_ceil(STEPS_PER_UNIT))
    }

    /// One level deeper into a value.
    pub(crate) fn nested<T>(&mut self, look: impl FnOnce(&mut Self) -> Result<T, EvalError>) -> Result<T, EvalError> {
        if self.depth >= MAX_VALUE_DEPTH {
            return Err(EvalError::failed("value nests too deep"));
        }
        self.depth += 1;
        let found = look(self);
        self.depth -= 1;
        found
    }

    /// A text or list about to be made, `size` long: refused when the budget could not pay for going over it once.
    pub(crate) fn allow_size(&self, size: u64) -> Result<(), EvalError> {
        if size / 10 > self.per_call {
            return Err(EvalError::CallCostExceeded);
        }
        Ok(())
    }

    /// What this call has cost so far.
    pub(crate) fn so_far(&self) -> u64 {
        self.cost
    }

    /// Takes back what was charged since then: the model counts it as part of something else.
    pub(crate) fn forgive(&mut self, since: u64) {
        self.cost = self.cost.min(since);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_whose_time_is_over_is_used_up() {
        let mut budget = Budget::for_object().ending_after(Duration::ZERO);
        let mut meter = budget.meter();
        let ended = (0..=CHARGES_PER_LOOK).find_map(|_| meter.charge(1).err());
        assert!(matches!(ended, Some(EvalError::BudgetExhausted)));
        budget.settle(&meter);
        assert_eq!(budget.left(), 0);
    }

    #[test]
    fn a_part_of_a_budget_is_no_more_than_the_whole() {
        assert_eq!(Budget::new(5, 10).at_most(3).left(), 3);
        assert_eq!(Budget::new(5, 10).at_most(30).left(), 10);
    }
}
