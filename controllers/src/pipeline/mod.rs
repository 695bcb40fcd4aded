//! The pipeline controller: says whether what a Pipeline refers to is there, and which run of it is the newest. It
//! starts nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breakbulk_schemas::condition::{self, READY, Truth, Wanted};
use breakbulk_schemas::pipeline::{Pipeline, PipelineStatus};
use breakbulk_schemas::pipeline_run::PipelineRun;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::runtime::{ApiError, Change, Key, Next, Queue};
use crate::world::World;

/// A pipeline whose runs come thick and fast is written to at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    /// The newest run of each pipeline, as far as runs have been seen: told by the watch, all of them at its start.
    newest: Mutex<HashMap<Key, (Timestamp, String)>>,
    written: Mutex<HashMap<Key, Instant>>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            newest: Mutex::default(),
            written: Mutex::default(),
        }
    }

    /// Takes in that a run was created.
    pub fn run_changed(&self, change: &Change<'_, PipelineRun>, queue: &Queue) {
        let (None, Some(run)) = (change.old, change.new) else {
            return;
        };
        let Some(reference) = &run.spec.pipeline_ref else {
            return;
        };
        let created = run.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let found = (created, run.name_any());
        let key = change.key.sibling(&reference.name);
        let mut newest = lock(&self.newest);
        if newest.get(&key).is_none_or(|known| *known < found) {
            newest.insert(key.clone(), found);
            queue.add(key);
        }
    }

    /// Asks to look at the pipelines of a repository that came or went.
    pub fn repository_changed(&self, key: &Key, queue: &Queue) {
        let touched = |pipeline: &Arc<Pipeline>| {
            pipeline.spec.repository.as_ref() == Some(&key.name)
                && pipeline.namespace().as_ref() == Some(&key.namespace)
        };
        self.world
            .pipelines
            .cache()
            .all()
            .iter()
            .filter(|pipeline| touched(pipeline))
            .for_each(|pipeline| queue.add(Key::of(&**pipeline)));
    }

    /// Brings one pipeline's status up to date.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let Some(pipeline) = self.world.pipelines.get(&key) else {
            lock(&self.newest).remove(&key);
            lock(&self.written).remove(&key);
            return Ok(Next::OnChange);
        };
        let newest = lock(&self.newest).get(&key).map(|(_, name)| name.clone());
        let repository = pipeline
            .spec
            .repository
            .as_ref()
            .map(|name| self.world.repositories.get(&key.sibling(name)).is_some());
        let old = pipeline.status.clone().unwrap_or_default();
        let new = plan(&pipeline, newest, repository, Timestamp::now());
        if new == old {
            return Ok(Next::OnChange);
        }
        let since = lock(&self.written).get(&key).map(Instant::elapsed);
        if let Some(left) = since
            .and_then(|since| PAUSE.checked_sub(since))
            .filter(|left| !left.is_zero())
        {
            return Ok(Next::After(left));
        }
        self.world.pipelines.patch_status(&pipeline, &old, &new).await?;
        lock(&self.written).insert(key, Instant::now());
        Ok(Next::OnChange)
    }
}

/// The status to be. `repository`: whether the one it names is there.
fn plan(pipeline: &Pipeline, newest: Option<String>, repository: Option<bool>, now: Timestamp) -> PipelineStatus {
    let mut status = pipeline.status.clone().unwrap_or_default();
    let (truth, reason, message) = match (repository, &pipeline.spec.repository) {
        (Some(false), Some(name)) => (
            Truth::False,
            "RepositoryMissing",
            format!("there is no repository `{name}`"),
        ),
        _ => (Truth::True, "Ready", "what it refers to is there".to_owned()),
    };
    let generation = pipeline.metadata.generation;
    condition::set(
        &mut status.conditions,
        Wanted {
            kind: READY,
            truth,
            reason,
            message,
        },
        generation,
        now,
    );
    status.observed_generation = generation;
    status.last_run = newest.or(status.last_run);
    status
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use breakbulk_schemas::PipelineSpec;

    use super::*;

    #[test]
    fn a_missing_repository_is_named_and_a_second_look_changes_nothing() {
        let spec = PipelineSpec {
            repository: Some("src".to_owned()),
            ..PipelineSpec::default()
        };
        let mut pipeline = Pipeline::new("p", spec);
        let status = plan(&pipeline, Some("r".to_owned()), Some(false), Timestamp::UNIX_EPOCH);
        let ready = condition::find(&status.conditions, READY).unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.message.as_str()),
            ("False", "there is no repository `src`")
        );
        pipeline.status = Some(status.clone());
        assert_eq!(plan(&pipeline, None, Some(false), Timestamp::MAX), status);
        let found = plan(&pipeline, None, Some(true), Timestamp::MAX);
        assert_eq!(condition::truth(&found.conditions, READY), Truth::True);
    }
}
