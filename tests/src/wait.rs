//! Waiting for conditions: often asked, never for a fixed time, and with the last state seen in the error.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take that should happen soon. Long, since test machines are slow and shared; a test that
/// passes never waits it out.
pub const SOON: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// What a look found.
#[derive(Debug)]
pub enum Look<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; this is how it stands.
    NotYet(String),
}

impl<T> Look<T> {
    /// Done where there is a value; else how it stands.
    pub fn some(value: Option<T>, state: impl FnOnce() -> String) -> Self {
        value.map_or_else(|| Self::NotYet(state()), Self::Done)
    }
}

/// Looks until it is done. An error of the look counts as "not yet": servers are restarted under tests.
///
/// # Errors
/// After `limit`, with what was seen last.
pub async fn until<T>(
    what: impl Display,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let state = match look().await {
            Ok(Look::Done(value)) => return Ok(value),
            Ok(Look::NotYet(state)) => state,
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}; last seen: {state}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
