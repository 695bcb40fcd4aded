//! The job controller: does for a Job what no agent can: unbinds it from a node that is silent, ends an attempt whose
//! node is lost, ends a Job that was cancelled before anybody claimed it, and asks for the next attempt when its time
//! has come.
//!
//! How a Job stands follows from its attempts by [`breakbulk_schemas::job::outcome`], which the agents use as well.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::events::{Event, EventType};
use serde_json::json;

use self::plan::Plan;
use crate::heartbeat::Heartbeats;
use crate::runtime::{ApiError, Key, Next};
use crate::world::World;

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    heartbeats: Arc<Heartbeats>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>, heartbeats: Arc<Heartbeats>) -> Self {
        Self { world, heartbeats }
    }

    /// Moves one Job on.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let Some(job) = self.world.jobs.get(&key) else {
            return Ok(Next::OnChange);
        };
        let silence = |node: &str| self.heartbeats.silence(node);
        match plan::plan(&job, silence, &self.world.settings, Timestamp::now()) {
            Plan::Wait(next) => return Ok(next),
            Plan::Unbind { why } => {
                self.world
                    .jobs
                    .patch(&job, json!({ "spec": { "nodeName": null } }))
                    .await?;
                self.world.tell(&*job, event("Unbound", why)).await;
            }
            Plan::Again { attempt } => {
                let patch = json!({ "spec": { "nodeName": null, "attempt": attempt } });
                self.world.jobs.patch(&job, patch).await?;
            }
            Plan::Write { status, told } => {
                let old = job.status.clone().unwrap_or_default();
                self.world.jobs.patch_status(&job, &old, &*status).await?;
                if let Some(told) = told {
                    self.world.tell(&*job, event("NodeLost", told)).await;
                }
            }
        }
        // What was written leads to another look.
        Ok(Next::OnChange)
    }
}

fn event(reason: &str, note: String) -> Event {
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}
