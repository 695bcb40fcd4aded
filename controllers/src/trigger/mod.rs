//! The trigger controller: from a GitEvent to the runs of the Pipelines that it matches, one each. A run's name follows
//! from pipeline and event, so that whoever creates it again creates nothing.

mod matching;

use std::collections::BTreeMap;
use std::sync::Arc;

use breakbulk_schemas::condition::{self, SUCCEEDED, Truth, Wanted};
use breakbulk_schemas::git_event::{GitEvent, GitEventStatus};
use breakbulk_schemas::pipeline_run::{PipelineRef, PipelineRun, PipelineRunSpec, Source};
use breakbulk_schemas::{Pipeline, labels};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::runtime::{ApiError, Key, Next};
use crate::world::World;

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// Deals with one event.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let Some(event) = self.world.events.get(&key).filter(|event| !is_done(event)) else {
            return Ok(Next::OnChange);
        };
        // Asked of the server: a pipeline that was applied before the push must see it.
        let pipelines = self.world.pipelines.list(&key.namespace).await?;
        let mut runs = Vec::new();
        let mut conflicts = Vec::new();
        for pipeline in pipelines.iter().filter(|pipeline| wants(pipeline, &event)) {
            let run = run(pipeline, &event);
            let name = run.name_any();
            match self.world.runs.create(&run).await {
                Ok(_) => tracing::info!(event = %key, run = name, "triggered"),
                Err(error) if error.is_already_exists() => {
                    let there = self.world.runs.fetch(&key.sibling(&name)).await?;
                    if there.is_some_and(|there| there.labels().get(labels::GIT_EVENT) != Some(&key.name)) {
                        conflicts.push(name);
                        continue;
                    }
                }
                Err(error) => match error.refused() {
                    Some(words) => {
                        conflicts.push(format!("{name} ({words})"));
                        continue;
                    }
                    None => return Err(error),
                },
            }
            runs.push(name);
        }
        let old = event.status.clone().unwrap_or_default();
        self.world
            .events
            .patch_status(&event, &old, &dealt_with(&event, &old, runs, &conflicts))
            .await?;
        Ok(Next::OnChange)
    }
}

fn is_done(event: &GitEvent) -> bool {
    event
        .status
        .as_ref()
        .is_some_and(|status| condition::truth(&status.conditions, SUCCEEDED) != Truth::Unknown)
}

fn wants(pipeline: &Pipeline, event: &GitEvent) -> bool {
    let push = pipeline
        .spec
        .triggers
        .as_ref()
        .and_then(|triggers| triggers.push.as_ref());
    pipeline.metadata.deletion_timestamp.is_none()
        && pipeline.spec.repository.as_ref() == Some(&event.spec.repository)
        && push.is_some_and(|push| matching::matches(push, &event.spec))
}

/// The one run of a pipeline for an event.
fn run(pipeline: &Pipeline, event: &GitEvent) -> PipelineRun {
    let (name, cause) = (pipeline.name_any(), event.name_any());
    let digest = Sha256::digest(format!("{name}\0{cause}"));
    let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    PipelineRun {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{hash}")),
            namespace: event.namespace(),
            labels: Some(BTreeMap::from([
                (labels::PIPELINE.to_owned(), name.clone()),
                (labels::GIT_EVENT.to_owned(), cause.clone()),
            ])),
            ..ObjectMeta::default()
        },
        spec: PipelineRunSpec {
            pipeline_ref: Some(PipelineRef { name }),
            source: Some(Source {
                repository: Some(event.spec.repository.clone()),
                revision: Some(event.spec.revision.clone()),
                ref_: Some(event.spec.ref_.clone()),
                event: Some(cause),
            }),
            ..PipelineRunSpec::default()
        },
        status: None,
    }
}

fn dealt_with(event: &GitEvent, old: &GitEventStatus, runs: Vec<String>, conflicts: &[String]) -> GitEventStatus {
    let now = Timestamp::now();
    let mut status = old.clone();
    let (truth, reason, message) = match (runs.len(), conflicts) {
        (0, []) => (Truth::True, "NoMatch", "no pipeline waits for it".to_owned()),
        (count, []) => (Truth::True, "Triggered", format!("{count} runs were started")),
        (_, conflicts) => (
            Truth::False,
            "Conflict",
            format!("could not be started: {}", conflicts.join(", ")),
        ),
    };
    let wanted = Wanted {
        kind: SUCCEEDED,
        truth,
        reason,
        message,
    };
    condition::set(&mut status.conditions, wanted, event.metadata.generation, now);
    status.runs = runs;
    status.completion_time = Some(Time(now));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_gives_one_name_for_each_pipeline() {
        let pipeline = |name: &str| Pipeline::new(name, breakbulk_schemas::PipelineSpec::default());
        let event = |name: &str| GitEvent::new(name, breakbulk_schemas::GitEventSpec::default());
        let one = run(&pipeline(&"p".repeat(52)), &event("e")).name_any();
        assert_eq!(one, run(&pipeline(&"p".repeat(52)), &event("e")).name_any());
        assert!(one.len() <= 63);
        assert_ne!(one, run(&pipeline(&"p".repeat(52)), &event("f")).name_any());
        assert_ne!(
            run(&pipeline("a"), &event("e")).name_any(),
            run(&pipeline("b"), &event("e")).name_any()
        );
    }
}
