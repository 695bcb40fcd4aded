//! A controller's queue of names to look at, and the loop that looks.
//!
//! A name is in it at most once, and is never looked at twice at the same time: a hint that comes while its
//! reconciler runs makes it run once more. Failures are tried again after a growing pause; a reconciler may also ask
//! to look again later. It holds as many entries as there are objects, and no more.
//!
//! `kube::runtime`'s applier does the same behind a timer wheel, which costs one to two milliseconds a step; a job
//! takes five steps.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{ApiError, Key};

/// The pause after a first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When to look again if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    OnChange,
    /// After this time at the latest.
    After(Duration),
}

/// Looks at one object.
pub type Reconcile = Box<dyn Fn(Key) -> BoxFuture<'static, Result<Next, ApiError>> + Send + Sync>;

/// Names to look at.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Key>,
    queued: HashSet<Key>,
    active: HashSet<Key>,
    timers: BTreeSet<(Instant, Key)>,
    timer_of: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

impl Queue {
    /// Asks to look at `key`.
    pub fn add(&self, key: Key) {
        if self.lock().add(key) {
            self.wake.notify_one();
        }
    }

    /// Runs `reconcile` for what is in the queue, at most `concurrency` at the same time. Ends only by being dropped,
    /// which drops reconcilers where they wait: they must be able to bear it, as they bear a crash.
    pub async fn run(self: Arc<Self>, name: &'static str, concurrency: usize, reconcile: Reconcile) {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < concurrency
                && let Some(key) = self.lock().next(Instant::now())
            {
                let future = reconcile(key.clone());
                running.push(future.map(move |result| (key, result)));
            }
            let timer = self.lock().timers.first().map(|(at, _)| *at);
            // Every arm is cancel-safe: a wake-up is kept by `Notify`, timers and running futures are only polled.
            tokio::select! {
                () = self.wake.notified() => {}
                Some((key, result)) = running.next() => {
                    if let Err(error) = &result {
                        report(name, &key, error);
                    }
                    self.lock().done(key, result.ok(), Instant::now());
                }
                () = sleep_until(timer) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(controller: &str, key: &Key, error: &ApiError) {
    if error.is_conflict() {
        tracing::debug!(controller, %key, "somebody else was faster; looking again");
    } else {
        let source = std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::warn!(controller, %key, %error, source, "reconciling failed; trying again");
    }
}

async fn sleep_until(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl State {
    fn add(&mut self, key: Key) -> bool {
        if !self.queued.insert(key.clone()) {
            return false;
        }
        if self.active.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    /// The next name to look at, after moving in those whose time has come.
    fn next(&mut self, now: Instant) -> Option<Key> {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            if let Some((_, key)) = self.timers.pop_first() {
                self.timer_of.remove(&key);
                self.add(key);
            }
        }
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.set_timer(&key, None);
        self.active.insert(key.clone());
        Some(key)
    }

    fn done(&mut self, key: Key, next: Option<Next>, now: Instant) {
        self.active.remove(&key);
        let wait = match next {
            Some(Next::OnChange) => None,
            Some(Next::After(wait)) => Some(wait),
            None => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures += 1;
                Some(
                    FIRST_PAUSE
                        .saturating_mul(1 << (*failures - 1).min(16))
                        .min(LONGEST_PAUSE),
                )
            }
        };
        if next.is_some() {
            self.failures.remove(&key);
        }
        if self.queued.contains(&key) {
            self.ready.push_back(key);
        } else if let Some(wait) = wait {
            self.set_timer(&key, now.checked_add(wait));
        }
    }

    fn set_timer(&mut self, key: &Key, at: Option<Instant>) {
        if let Some(old) = self.timer_of.remove(key) {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, key.clone()));
            self.timer_of.insert(key.clone(), at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    #[test]
    fn a_name_waits_only_once() {
        let mut state = State::default();
        assert!(state.add(key("a")));
        assert!(!state.add(key("a")));
        let now = Instant::now();
        assert_eq!(state.next(now), Some(key("a")));
        assert_eq!(state.next(now), None);
    }

    #[test]
    fn a_hint_during_a_look_leads_to_one_more_look_after_it() {
        let mut state = State::default();
        let now = Instant::now();
        state.add(key("a"));
        state.next(now);
        state.add(key("a"));
        state.add(key("a"));
        assert_eq!(state.next(now), None, "it is being looked at");
        state.done(key("a"), Some(Next::OnChange), now);
        assert_eq!(state.next(now), Some(key("a")));
        state.done(key("a"), Some(Next::OnChange), now);
        assert_eq!(state.next(now), None);
    }

    #[test]
    fn failures_are_tried_again_after_growing_pauses() {
        let mut state = State::default();
        let mut now = Instant::now();
        state.add(key("a"));
        let mut last = Duration::ZERO;
        for _ in 0..6 {
            assert_eq!(state.next(now), Some(key("a")));
            state.done(key("a"), None, now);
            let at = state.timers.first().unwrap().0;
            assert!(at - now > last);
            last = at - now;
            assert_eq!(state.next(now), None);
            now = at;
        }
    }

    #[test]
    fn a_hint_comes_before_a_timer_and_takes_its_place() {
        let mut state = State::default();
        let now = Instant::now();
        state.add(key("a"));
        state.next(now);
        state.done(key("a"), Some(Next::After(Duration::from_secs(5))), now);
        state.add(key("a"));
        assert_eq!(state.next(now), Some(key("a")));
        state.done(key("a"), Some(Next::OnChange), now);
        assert_eq!(state.next(now + Duration::from_secs(10)), None);
    }
}
