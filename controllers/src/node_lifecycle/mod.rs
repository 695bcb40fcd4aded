//! The node lifecycle controller: a node that is silent is marked as unreachable, so that nothing new goes there, and
//! unmarked when it is heard of again. What was running there is the job controller's.

mod plan;

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::events::{Event, EventType};
use serde_json::json;

use crate::heartbeat::Heartbeats;
use crate::runtime::{ApiError, Key, Next};
use crate::world::World;

/// The taint of a node that is not heard of.
pub const UNREACHABLE: &str = "breakbulk.dev/unreachable";

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

    /// Looks at one node.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let Some(node) = self.world.nodes.get(&key) else {
            self.heartbeats.forget(&key.name);
            return Ok(Next::OnChange);
        };
        let silence = self.heartbeats.silence(&key.name);
        let after = self.world.settings.node_silent_after;
        let plan = plan::plan(&node, silence, after, Timestamp::now());
        // The taint first: it is what keeps jobs away.
        let node = match plan.taints {
            Some(taints) => {
                self.world
                    .nodes
                    .patch(&node, json!({ "spec": { "taints": taints } }))
                    .await?
            }
            None => node,
        };
        if let Some(conditions) = plan.conditions {
            let old = node.status.clone().unwrap_or_default();
            let mut new = old.clone();
            new.conditions = Some(conditions);
            self.world.nodes.patch_status(&node, &old, &new).await?;
            if let Some(note) = plan.told {
                let (type_, reason) = if silence >= after {
                    (EventType::Warning, "Unreachable")
                } else {
                    (EventType::Normal, "Reachable")
                };
                let event = Event {
                    type_,
                    reason: reason.to_owned(),
                    note: Some(note),
                    action: "Watch".to_owned(),
                    secondary: None,
                };
                self.world.tell(&*node, event).await;
            }
        }
        // While it is silent only its lease can change anything.
        Ok(after
            .checked_sub(silence)
            .filter(|left| !left.is_zero())
            .map_or(Next::OnChange, Next::After))
    }
}
