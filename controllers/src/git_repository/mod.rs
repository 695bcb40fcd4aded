//! The git repository controller: looks at each repository at intervals, records every move of a branch or tag as a
//! GitEvent, and only then writes down where the refs point. Killed in between, it finds the same moves again and
//! gives them the same names.
//!
//! It starts no runs: that is the trigger controller's.

mod credentials;
mod git;
mod plan;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breakbulk_schemas::GitRepository;
use breakbulk_schemas::condition::{self, READY, Truth, Wanted};
use breakbulk_schemas::git_repository::GitRepositoryStatus;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;

use self::git::Git;
use crate::runtime::{ApiError, Key, Next};
use crate::world::World;

/// How often a repository is looked at that does not say.
const INTERVAL: Duration = Duration::from_secs(30);

/// On a repository: any new value asks for a look at once.
pub const REQUESTED: &str = "breakbulk.dev/look-requested";

/// When a repository is to be looked at again; another generation, uid or request is due at once.
#[derive(Debug)]
struct Due {
    generation: Option<i64>,
    uid: Option<String>,
    requested: Option<String>,
    at: Instant,
}

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    git: Git,
    /// When each repository, at which generation, is due again. A bound on how often we ask, nothing more.
    due: Mutex<HashMap<Key, Due>>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>) -> Self {
        let git = Git::new(&world.settings.data_dir, world.settings.allow_local_git);
        Self {
            world,
            git,
            due: Mutex::default(),
        }
    }

    /// Looks at one repository, if it is due.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let repository = self
            .world
            .repositories
            .get(&key)
            .filter(|r| r.metadata.deletion_timestamp.is_none());
        let Some(repository) = repository.filter(|repository| !repository.spec.suspend) else {
            self.lock().remove(&key);
            return Ok(Next::OnChange);
        };
        let (generation, uid) = (repository.metadata.generation, repository.uid());
        let requested = repository.annotations().get(REQUESTED).cloned();
        if let Some(due) = self
            .lock()
            .get(&key)
            .filter(|due| due.generation == generation && due.uid == uid && due.requested == requested)
        {
            let left = due.at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(Next::After(left));
            }
        }
        let more = self.look(&repository).await?;
        let interval = if more {
            Duration::ZERO
        } else {
            repository.spec.interval.map_or(INTERVAL, Duration::from)
        };
        self.lock().insert(
            key,
            Due {
                generation,
                uid,
                requested,
                at: Instant::now() + interval,
            },
        );
        Ok(Next::After(interval))
    }

    /// Looks once. Whether there is more to record than was.
    async fn look(&self, repository: &GitRepository) -> Result<bool, ApiError> {
        let old = repository.status.clone().unwrap_or_default();
        let credentials = match credentials::of(&self.world, repository, self.git.data_dir()).await? {
            Ok(credentials) => credentials,
            Err(message) => return self.failed(repository, &old, "BadSecret", message).await,
        };
        let remote = match self.git.look(&repository.spec.url, &credentials).await {
            Ok(remote) => remote,
            Err(error) => {
                return self
                    .failed(repository, &old, error.reason(), credentials.redact(&error.to_string()))
                    .await;
            }
        };
        let plan = plan::plan(repository, &remote);
        if !plan.moves.is_empty() {
            self.record(repository, &plan.moves, &credentials).await?;
        }
        let mut new = old.clone();
        new.default_ref = remote.head.clone().or(new.default_ref);
        new.refs = plan.refs;
        let message = format!("{} refs", remote.refs.len());
        self.say(repository, &mut new, Truth::True, "Read", message);
        self.write(repository, &old, new).await?;
        Ok(plan.more)
    }

    /// Records moves as GitEvents. One that is recorded already is the same event, found again.
    async fn record(
        &self,
        repository: &GitRepository,
        moves: &[plan::Move],
        credentials: &credentials::Credentials,
    ) -> Result<(), ApiError> {
        let uid = repository.uid().unwrap_or_default();
        let mirror = match self.git.fetch(&uid, &repository.spec.url, credentials).await {
            Ok(mirror) => Some(mirror),
            Err(error) => {
                // The move is known all the same; only what it changed is not.
                tracing::warn!(repository = %repository.name_any(), error = %credentials.redact(&error.to_string()), "cannot fetch");
                None
            }
        };
        for step in moves {
            let details = match &mirror {
                Some(mirror) => self.git.describe(mirror, step.before.as_deref(), &step.revision).await,
                None => git::Details::default(),
            };
            match self.world.events.create(&plan::event(repository, step, details)).await {
                Err(error) if !error.is_already_exists() => return Err(error),
                _ => {
                    tracing::info!(repository = %repository.name_any(), ref_ = step.ref_, revision = step.revision, "moved");
                }
            }
        }
        Ok(())
    }

    async fn failed(
        &self,
        repository: &GitRepository,
        old: &GitRepositoryStatus,
        reason: &'static str,
        message: String,
    ) -> Result<bool, ApiError> {
        let mut new = old.clone();
        self.say(repository, &mut new, Truth::False, reason, message);
        self.write(repository, old, new).await?;
        Ok(false)
    }

    fn say(
        &self,
        repository: &GitRepository,
        status: &mut GitRepositoryStatus,
        truth: Truth,
        reason: &'static str,
        message: String,
    ) {
        let generation = repository.metadata.generation;
        condition::set(
            &mut status.conditions,
            Wanted {
                kind: READY,
                truth,
                reason,
                message,
            },
            generation,
            Timestamp::now(),
        );
        status.observed_generation = generation;
    }

    /// Writes a status that says something new; the time of the look goes along with it and is no news by itself.
    async fn write(
        &self,
        repository: &GitRepository,
        old: &GitRepositoryStatus,
        mut new: GitRepositoryStatus,
    ) -> Result<(), ApiError> {
        if new == *old {
            return Ok(());
        }
        if condition::truth(&new.conditions, READY) == Truth::True {
            new.last_check_time = Some(Time(Timestamp::now()));
        }
        self.world.repositories.patch_status(repository, old, &new).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Due>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
