//! The concurrency group controller: hands places out and takes them back, by compare-and-swap on the group, so that
//! the limit holds whatever else fails. It cancels nothing but what a newcomer's policy says.
//!
//! Who asks for a place: a run that is resolved and has not ended, a Job that has not ended. Who has one goes on when
//! it sees itself among the holders.

mod plan;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breakbulk_schemas::concurrency_group::{ConcurrencyGroup, ConcurrencyGroupSpec, Member, MemberKind};
use breakbulk_schemas::job::{Job, JobConcurrency};
use breakbulk_schemas::pipeline_run::PipelineRun;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use self::plan::Candidate;
use crate::pipeline_run::{self, conclusion};
use crate::runtime::{ApiError, Change, Index, Key, Next, Queue};
use crate::world::World;

/// On a Job: the name of its group as people know it.
pub const GROUP: &str = "breakbulk.dev/concurrency-group";

/// How long a group that nobody needs is kept: a group for each branch would pile up.
const IDLE: Duration = Duration::from_secs(600);

/// The longest name of a group object.
const MAX_NAME: usize = 63;

/// The name of a group's object. A name that can be one is one; any other is made into one, with a hash of the whole.
pub fn object_name(group: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = group.len() <= MAX_NAME
        && group.starts_with(plain)
        && group.ends_with(plain)
        && group.chars().all(|c| plain(c) || c == '-');
    if fits {
        return group.to_owned();
    }
    let hash: String = Sha256::digest(group)
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let lower = group.to_ascii_lowercase();
    let clean: String = lower
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(MAX_NAME - hash.len() - 1)
        .collect();
    let clean = clean.trim_matches('-');
    if clean.is_empty() {
        format!("group-{hash}")
    } else {
        format!("{clean}-{hash}")
    }
}

/// Why a member waits, in words; `None`: it holds a place.
pub fn waits(group: Option<&ConcurrencyGroup>, kind: MemberKind, uid: &str) -> Option<String> {
    let is = |member: &Member| member.kind == kind && member.uid == uid;
    let Some(group) = group else {
        return Some("waits for its concurrency group to be made".to_owned());
    };
    let status = group.status.clone().unwrap_or_default();
    if status.holders.iter().any(is) {
        return None;
    }
    let position = status
        .queue
        .iter()
        .position(is)
        .map_or_else(|| "not yet in line".to_owned(), |at| format!("position {}", at + 1));
    let holders: Vec<_> = status
        .holders
        .iter()
        .take(3)
        .map(|holder| format!("{}/{}", word(holder.kind), holder.name))
        .collect();
    let held = if holders.is_empty() {
        String::new()
    } else {
        format!("; held by {}", holders.join(", "))
    };
    Some(format!(
        "waits for a place in group \"{}\" (limit {}, {position}{held})",
        group.spec.group, group.spec.limit
    ))
}

const fn word(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::PipelineRun => "run",
        MemberKind::Job => "job",
    }
}

/// Makes the group if it is not there, and gives it the limit wanted.
///
/// # Errors
/// What may go better the next time.
pub async fn ensure(world: &World, near: &Key, wanted: &JobConcurrency, name: &str) -> Result<(), ApiError> {
    let key = near.sibling(&wanted.group);
    let there = match world.groups.get(&key) {
        Some(group) => group,
        None => {
            let mut group = ConcurrencyGroup::new(
                &wanted.group,
                ConcurrencyGroupSpec {
                    group: name.to_owned(),
                    limit: wanted.limit,
                },
            );
            group.metadata.namespace = Some(key.namespace.clone());
            match world.groups.create(&group).await {
                Ok(group) => group,
                Err(error) if error.is_already_exists() => match world.groups.fetch(&key).await? {
                    Some(group) => world.groups.cache().written(group),
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    };
    if there.spec.limit != wanted.limit {
        world
            .groups
            .patch(&there, json!({ "spec": { "limit": wanted.limit } }))
            .await?;
    }
    Ok(())
}

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    runs: Index<PipelineRun>,
    jobs: Index<Job>,
    /// Since when nobody needs a group.
    idle: Mutex<HashMap<Key, Instant>>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            runs: Index::new(group_of_run),
            jobs: Index::new(group_of_job),
            idle: Mutex::default(),
        }
    }

    /// Takes in that a run changed, and asks to look at the groups it touches.
    pub fn run_changed(&self, change: &Change<'_, PipelineRun>, queue: &Queue) {
        self.runs.changed(change);
        let touched = change
            .old
            .into_iter()
            .chain(change.new)
            .filter_map(|run| group_of_run(run));
        touched.for_each(|group| queue.add(group));
    }

    /// Takes in that a Job changed, and asks to look at the groups it touches.
    pub fn job_changed(&self, change: &Change<'_, Job>, queue: &Queue) {
        self.jobs.changed(change);
        let touched = change
            .old
            .into_iter()
            .chain(change.new)
            .filter_map(|job| group_of_job(job));
        touched.for_each(|group| queue.add(group));
    }

    /// Hands places out and takes them back.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let Some(group) = self.world.groups.get(&key) else {
            self.lock().remove(&key);
            return self.make_again(&key).await;
        };
        let old = group.status.clone().unwrap_or_default();
        let mut candidates = self.candidates(&key);
        // Creation times are whole seconds: of two in one second, the one that the group knows already is the older.
        let known = |c: &Candidate| old.holders.iter().chain(&old.queue).position(|member| c.is(member));
        candidates.sort_by_key(|c| (c.created, known(c).unwrap_or(usize::MAX)));
        let mut over = Vec::new();
        for holder in old
            .holders
            .iter()
            .filter(|holder| !candidates.iter().any(|c| c.is(holder)))
        {
            if self.is_over(&key, holder).await? {
                over.push(holder.clone());
            }
        }
        let plan = plan::plan(&old, group.spec.limit, &candidates, &over, Timestamp::now());
        self.world.groups.patch_status(&group, &old, &plan.status).await?;
        for victim in &plan.cancel {
            self.cancel(&key, victim, &plan.newcomer).await?;
        }
        if !candidates.is_empty() || !plan.status.holders.is_empty() {
            self.lock().remove(&key);
            return Ok(Next::OnChange);
        }
        let idle = self.lock().entry(key).or_insert_with(Instant::now).elapsed();
        match IDLE.checked_sub(idle).filter(|left| !left.is_zero()) {
            Some(left) => Ok(Next::After(left)),
            None => self.world.groups.delete(&group).await.map(|()| Next::OnChange),
        }
    }

    /// Makes a group that somebody deleted while others still need it. Who held a place gets one first: it is older.
    async fn make_again(&self, key: &Key) -> Result<Next, ApiError> {
        let runs = self
            .runs
            .get(key)
            .into_iter()
            .filter_map(|run| pipeline_run::run_group(&run)?.ok());
        let jobs = self.jobs.get(key).into_iter().filter_map(|job| {
            let wanted = job.spec.concurrency.clone()?;
            Some((
                job.annotations()
                    .get(GROUP)
                    .cloned()
                    .unwrap_or_else(|| wanted.group.clone()),
                wanted,
            ))
        });
        if let Some((name, wanted)) = runs.chain(jobs).next() {
            ensure(&self.world, key, &wanted, &name).await?;
        }
        Ok(Next::OnChange)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn candidates(&self, key: &Key) -> Vec<Candidate> {
        let runs = self.runs.get(key).into_iter().filter_map(|run| {
            let (_, wanted) = pipeline_run::run_group(&run)?.ok()?;
            Some(candidate(&*run, MemberKind::PipelineRun, &wanted, run.spec.cancel))
        });
        let jobs = self.jobs.get(key).into_iter().filter_map(|job| {
            let wanted = job.spec.concurrency.clone()?;
            Some(candidate(&*job, MemberKind::Job, &wanted, job.spec.cancel))
        });
        let mut all: Vec<_> = runs.chain(jobs).collect();
        all.sort_by(|a, b| (a.created, &a.member.name).cmp(&(b.created, &b.member.name)));
        all
    }

    /// Whether a holder that is not among the candidates has ended or is gone. A cache that shows it ended is right,
    /// however old it is; one that does not show it at all may be behind, so the server is asked.
    async fn is_over(&self, key: &Key, holder: &Member) -> Result<bool, ApiError> {
        let key = key.sibling(&holder.name);
        let over = match holder.kind {
            MemberKind::PipelineRun => match self.world.runs.get(&key) {
                Some(run) if run.uid().as_ref() == Some(&holder.uid) => pipeline_run::is_ended(&run),
                _ => self
                    .world
                    .runs
                    .fetch(&key)
                    .await?
                    .is_none_or(|run| run.uid().as_ref() != Some(&holder.uid)),
            },
            MemberKind::Job => match self.world.jobs.get(&key) {
                Some(job) if job.uid().as_ref() == Some(&holder.uid) => job.is_ended(),
                _ => self
                    .world
                    .jobs
                    .fetch(&key)
                    .await?
                    .is_none_or(|job| job.uid().as_ref() != Some(&holder.uid)),
            },
        };
        Ok(over)
    }

    async fn cancel(&self, key: &Key, victim: &Member, newcomer: &str) -> Result<(), ApiError> {
        let key = key.sibling(&victim.name);
        let note = json!({ conclusion::SUPERSEDED_BY: newcomer });
        let patch = json!({ "metadata": { "annotations": note }, "spec": { "cancel": true } });
        let done = match victim.kind {
            MemberKind::PipelineRun => match self.world.runs.get(&key) {
                Some(run) => self.world.runs.patch(&run, patch).await.map(|_| ()),
                None => Ok(()),
            },
            MemberKind::Job => match self.world.jobs.get(&key) {
                Some(job) => self.world.jobs.patch(&job, patch).await.map(|_| ()),
                None => Ok(()),
            },
        };
        done.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
    }
}

fn candidate<K: ResourceExt>(object: &K, kind: MemberKind, wanted: &JobConcurrency, cancelled: bool) -> Candidate {
    let created = object.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let member = Member {
        kind,
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        since: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created),
    };
    Candidate {
        member,
        created,
        policy: wanted.policy,
        cancelled,
    }
}

fn group_of_run(run: &PipelineRun) -> Option<Key> {
    if pipeline_run::is_ended(run) {
        return None;
    }
    let (_, wanted) = pipeline_run::run_group(run)?.ok()?;
    Some(Key::of(run).sibling(wanted.group))
}

fn group_of_job(job: &Job) -> Option<Key> {
    let wanted = job.spec.concurrency.as_ref().filter(|_| !job.is_ended())?;
    Some(Key::of(job).sibling(&wanted.group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_object_has_a_name_that_can_be_one() {
        assert_eq!(object_name("deploy-main"), "deploy-main");
        let odd = object_name("Deploy/feature branch");
        assert!(
            odd.starts_with("deploy-feature-branch-") && odd != object_name("deploy/feature-branch"),
            "{odd}"
        );
        assert!(object_name(&"x".repeat(200)).len() <= MAX_NAME);
        assert!(object_name("///").starts_with("group-"));
    }
}
