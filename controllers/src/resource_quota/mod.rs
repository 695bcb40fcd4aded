//! The quota controller: counts what a namespace uses of its ResourceQuotas, and writes it where the API server charges.
//!
//! The server charges before it creates, so for a moment more is charged than there is. What was charged may be taken back
//! only when that moment is over: a lower count is written after a pause, together with all that was charged since that
//! pause began. So the count comes down also where something is created all the time; what is counted twice by this is
//! little, and is taken back the next time. A higher count is written at once.

mod plan;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use breakbulk_schemas::Job;
use breakbulk_schemas::quota::{self, Amounts};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::json;

use self::plan::Step;
use crate::catalog::Catalog;
use crate::garbage_collector;
use crate::runtime::{ApiError, Change, Key, Next, Queue};
use crate::world::World;

/// How long a lower count must stand. A create is in the store a few milliseconds after it was charged.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a lower count is written before another pause. Each time somebody else has had success.
const TRIES: usize = 32;
/// How often it is counted although nothing happened: kinds that nobody watches are counted so.
const RESYNC: Duration = Duration::from_secs(30);

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    catalog: Arc<Catalog>,
    /// Quotas of which less is used than they say.
    lower: Mutex<HashMap<Key, Mark>>,
}

/// What was charged to a quota at a time.
#[derive(Clone, Debug)]
struct Mark {
    used: Amounts,
    at: Instant,
}

impl Mark {
    fn now(quota: &ResourceQuota) -> Self {
        Self {
            used: plan::charged(quota),
            at: Instant::now(),
        }
    }
}

/// Whether a quota's status does not say yet what its spec does.
pub fn is_behind(quota: &ResourceQuota) -> bool {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let said = quota.status.as_ref().and_then(|status| status.hard.as_ref());
    hard.is_some() && hard != said
}

/// Asks to look at the quotas of a namespace that limit a kind.
pub fn hint(world: &World, queue: &Queue, api: &ApiResource, namespace: &str) {
    let names = quota::counted_as(&api.group, &api.plural);
    ask(world, queue, namespace, |name| names.iter().any(|own| own == name));
}

/// The same when a Job has changed: what it takes may not be what it took.
pub fn job_changed(world: &World, queue: &Queue, change: &Change<'_, Job>) {
    let takes = |job: Option<&Arc<Job>>| job.map(|job| quota::of_job(job));
    if takes(change.old) == takes(change.new) {
        return;
    }
    let counted = quota::counted_as(breakbulk_schemas::GROUP, "jobs");
    ask(world, queue, &change.key.namespace, |name| {
        quota::is_of_jobs(name) || counted.iter().any(|own| own == name)
    });
}

fn ask(world: &World, queue: &Queue, namespace: &str, concerns: impl Fn(&str) -> bool) {
    if namespace.is_empty() {
        return;
    }
    for quota in world.quotas.cache().all() {
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        let concerned = hard.into_iter().flatten().any(|(name, _)| concerns(name));
        if concerned && quota.metadata.namespace.as_deref() == Some(namespace) {
            queue.add(Key::of(&*quota));
        }
    }
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>, catalog: Arc<Catalog>) -> Self {
        Self {
            world,
            catalog,
            lower: Mutex::default(),
        }
    }

    /// Looks at one quota.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        // Read first, counted afterwards: what is charged in between makes the write fail.
        let Some(seen) = self.world.quotas.fetch(&key).await? else {
            self.lock().remove(&key);
            return Ok(Next::OnChange);
        };
        let mark = self.lock().get(&key).cloned();
        if let Some(mark) = &mark
            && let Some(rest) = PAUSE.checked_sub(mark.at.elapsed())
            && !is_behind(&seen)
        {
            // It says too much, so nobody gets too much: to count now would be for nothing.
            return Ok(Next::After(rest));
        }
        let begun = Mark::now(&seen);
        let used = self.count(&seen).await?;
        let status = plan::status(&seen, &used);
        match plan::step(&seen, &status) {
            Step::Nothing => {
                self.lock().remove(&key);
                Ok(Next::After(RESYNC))
            }
            Step::Write => {
                let old = seen.status.clone().unwrap_or_default();
                self.world.quotas.patch_status(&seen, &old, &status).await?;
                self.lock().remove(&key);
                Ok(Next::After(RESYNC))
            }
            Step::Lower => match mark {
                None => {
                    self.lock().insert(key, begun);
                    Ok(Next::After(PAUSE))
                }
                Some(mark) if mark.at.elapsed() < PAUSE => Ok(Next::After(PAUSE)),
                Some(mark) => self.lower(key, seen, &mark, &used).await,
            },
        }
    }

    /// Writes a lower count, and goes on from there until it is the right one. Whoever charges in between makes a write
    /// fail: then what was charged is added, and it is tried again.
    async fn lower(&self, key: Key, mut seen: ResourceQuota, mark: &Mark, counted: &Amounts) -> Result<Next, ApiError> {
        for _ in 0..TRIES {
            let used = plan::with_charges(counted, &mark.used, &plan::charged(&seen));
            let status = plan::status(&seen, &used);
            let old = seen.status.clone().unwrap_or_default();
            match self.world.quotas.patch_status(&seen, &old, &status).await {
                Ok(()) if used == *counted => {
                    self.lock().remove(&key);
                    return Ok(Next::After(RESYNC));
                }
                Ok(()) => break,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
            let Some(now) = self.announce(&key).await? else {
                break;
            };
            seen = now;
        }
        // The next look begins anew.
        self.lock().remove(&key);
        Ok(Next::After(PAUSE))
    }

    /// Tells the server that the status is about to be written, by a write that changes nothing: for a moment charges give
    /// way. Returns the quota as it is.
    async fn announce(&self, key: &Key) -> Result<Option<ResourceQuota>, ApiError> {
        let quotas: Api<ResourceQuota> = Api::namespaced(self.world.client.clone(), &key.namespace);
        let nothing = Patch::Merge(json!({ "status": {} }));
        let seen = quotas.patch_status(&key.name, &PatchParams::default(), &nothing).await;
        match seen {
            Ok(seen) => Ok(Some(seen)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(source) => Err(ApiError::Request {
                verb: "announce a write of",
                kind: "ResourceQuota".to_owned(),
                key: key.clone(),
                source: Box::new(source),
            }),
        }
    }

    /// Counts everything that a quota limits, as the server has it now.
    async fn count(&self, seen: &ResourceQuota) -> Result<Amounts, ApiError> {
        let spec = seen.spec.clone().unwrap_or_default();
        let namespace = seen.metadata.namespace.clone().unwrap_or_default();
        let limited: Vec<&String> = spec.hard.iter().flatten().map(|(name, _)| name).collect();
        let mut used = Amounts::new();
        if limited.iter().any(|name| quota::is_of_jobs(name)) {
            let jobs = self.world.jobs.list(&namespace).await?;
            used.extend(plan::of_jobs(&spec, &jobs));
        }
        if !quota::is_unscoped(&spec) {
            return Ok(used);
        }
        for resource in self.catalog.all().iter().filter(|resource| resource.namespaced) {
            let names = quota::counted_as(&resource.api.group, &resource.api.plural);
            if names.iter().any(|name| limited.contains(&name)) {
                let count = self.objects(&resource.api, &namespace).await?;
                used.extend(names.into_iter().map(|name| (name, count)));
            }
        }
        Ok(used)
    }

    /// How many objects of a kind there are: one is read, and the server says how many more there are.
    async fn objects(&self, api: &ApiResource, namespace: &str) -> Result<breakbulk_schemas::amount::Amount, ApiError> {
        let key = Key::new(namespace, "");
        let objects = garbage_collector::api(self.world.client.clone(), api, &key);
        let listed = objects.list_metadata(&ListParams::default().limit(1)).await;
        let listed = listed.map_err(|source| ApiError::Request {
            verb: "count",
            kind: api.kind.clone(),
            key,
            source: Box::new(source),
        });
        match listed {
            Ok(list) => {
                let more = list.metadata.remaining_item_count.unwrap_or(0);
                let count = i64::try_from(list.items.len()).unwrap_or(i64::MAX).saturating_add(more);
                Ok(breakbulk_schemas::amount::Amount::units(
                    u64::try_from(count).unwrap_or(0),
                ))
            }
            // The kind has gone since it was asked for.
            Err(error) if error.is_not_found() => Ok(breakbulk_schemas::amount::Amount::default()),
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Mark>> {
        self.lower.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
