//! Long computations, aside from what else the server does: expressions of users may keep a processor busy for as long as
//! their budgets allow, and the threads that serve requests are few.
//!
//! Whether an expression is long is not known before. So it is evaluated where the request is with a small part of its
//! budget, which is enough for nearly all, and once more from the beginning if that was too little: then at one of a few
//! places, for which requests wait in line. Expressions change nothing, so that to begin again is no harm.

use std::num::NonZero;
use std::sync::LazyLock;
use std::time::Duration;

use breakbulk_cel::Budget;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// What is spent of a budget where the request is: about a millisecond.
const LITTLE: u64 = 10_000;
/// The longest that a whole budget takes, if the machine does not get through it before.
const LONGEST: Duration = Duration::from_secs(5);

/// As many computations at once: half of the processors, so that the others go on with what is short.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Semaphore::new(processors.div_ceil(2))
});

/// Does something that takes long. Cancelled while it waits it does not begin; once begun it ends.
pub(crate) async fn run<T>(work: impl FnOnce() -> T) -> T {
    let place = PLACES.acquire().await;
    let done = if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        block_in_place(work)
    } else {
        work()
    };
    drop(place);
    done
}

/// Does something that may take long, within a budget. It may be done twice.
pub(crate) async fn evaluate<T>(budget: Budget, work: impl Fn(&mut Budget) -> T) -> T {
    let mut little = budget.clone().at_most(LITTLE);
    let done = work(&mut little);
    if little.left() > 0 {
        return done;
    }
    drop(done);
    evaluate_aside(budget, work).await
}

/// Does something that takes long, within a budget.
pub(crate) async fn evaluate_aside<T>(budget: Budget, work: impl FnOnce(&mut Budget) -> T) -> T {
    run(|| work(&mut limited(budget))).await
}

/// A budget that is used up when it takes too long.
pub(crate) fn limited(budget: Budget) -> Budget {
    budget.ending_after(LONGEST)
}

#[cfg(test)]
mod tests {
    use breakbulk_cel::{Bindings, Environment};

    use super::*;

    async fn evaluated(text: &str) -> (usize, bool) {
        let program = Environment::new().compile(text, &[]).unwrap();
        let calls = std::cell::Cell::new(0);
        let good = evaluate(Budget::for_object(), |budget| {
            calls.set(calls.get() + 1);
            program.evaluate(&Bindings::new(), budget).is_ok()
        })
        .await;
        (calls.get(), good)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_short_is_done_once_and_what_is_long_has_its_whole_budget() {
        let numbers = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        let (few, many) = (numbers(3), numbers(200));
        assert_eq!(evaluated(&format!("{few}.all(a, a > 0)")).await, (1, true));
        let long = format!("{many}.all(a, {many}.all(b, a + b > 0))");
        assert_eq!(evaluated(&long).await, (2, true));
        let endless = format!("{many}.all(a, {many}.all(b, {many}.all(c, a + b + c > 0)))");
        assert_eq!(evaluated(&endless).await, (2, false));
    }
}
