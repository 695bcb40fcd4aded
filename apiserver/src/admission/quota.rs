//! Quotas: what is created in a namespace is charged to its ResourceQuotas before it is kept, and refused where that would
//! exceed one (upstream's ResourceQuota). The charge is a compare-and-swap of `status.used`, so that no two writers take the
//! same last place. What is charged and then not created is given back when the controller counts again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use breakbulk_schemas::Job;
use breakbulk_schemas::amount::Amount;
use breakbulk_schemas::quota::{self, Amounts};
use breakbulk_store::{KeyValue, Revision, Txn, TxnOutcome};
use bytes::Bytes;
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::{Value, json};

use super::{Operation, Remarks, Request, Step, Touched};
use crate::cacher::Entry;
use crate::registry::objects::{Objects, Persist};
use crate::registry::{Resource, object};
use crate::status::{ApiError, ApiResult};

/// How often a charge starts over when others are faster. Each time somebody else has had success.
const TRIES: usize = 64;

/// How long charges wait for somebody who is about to write a quota's status.
const COURTESY: Duration = Duration::from_millis(50);
/// How long a charge waits at most, however many are about to write.
const PATIENCE: Duration = Duration::from_millis(500);

/// Quotas that are remembered although nobody is charging them.
const MOST_LANES: usize = 1024;

/// The step. Charges of one quota stand in line, so that they do not make each other fail; other servers are told apart by
/// the compare-and-swap. Where something is created all the time a quota changes all the time, and whoever writes its
/// status by its version would never have success: the line gives way to them.
#[derive(Default)]
pub struct Quota {
    /// By the quota's key.
    lanes: Mutex<HashMap<Bytes, Arc<Lane>>>,
}

/// The line before one quota.
#[derive(Default)]
struct Lane {
    /// Until when it gives way.
    until: Mutex<Option<Instant>>,
    /// The quota as it was after the last charge. Whoever charges holds it.
    last: tokio::sync::Mutex<Option<Known>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Quota {
    fn lane(&self, key: &Bytes) -> Arc<Lane> {
        let mut lanes = lock(&self.lanes);
        if lanes.len() >= MOST_LANES {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        lanes.entry(key.clone()).or_default().clone()
    }
}

impl Lane {
    /// Returns when the quota may be charged.
    async fn give_way(&self) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            let until = lock(&self.until).filter(|until| *until > now);
            match until {
                Some(until) if now < patience => tokio::time::sleep_until(until.into()).await,
                _ => return,
            }
        }
    }
}

/// What an object takes.
struct Usage {
    amounts: Amounts,
    /// A job, for quotas that are about some jobs only.
    job: Option<Box<Job>>,
}

#[async_trait]
impl Step for Quota {
    async fn mutate(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        _: &mut Value,
        _: &mut Remarks,
    ) -> ApiResult<Touched> {
        let quota = request.resource.group.is_empty() && request.resource.plural == "resourcequotas";
        if quota && request.operation == Operation::Update && request.subresource == "status" {
            let lane = self.lane(&objects.key(request.resource, request.namespace, request.name));
            *lock(&lane.until) = Some(Instant::now() + COURTESY);
        }
        Ok(Touched::No)
    }

    async fn validate(&self, objects: &Objects, request: &Request<'_>, _: &mut Remarks) -> ApiResult<()> {
        let (Some(namespace), Some(new)) = (request.namespace, request.new) else {
            return Ok(());
        };
        let asked = request.operation == Operation::Create && request.subresource.is_empty();
        if !asked || request.persist == Persist::DryRun || is_free(request.resource) {
            return Ok(());
        }
        let Some(quotas) = objects.registry.find("", "v1", "resourcequotas") else {
            return Ok(());
        };
        let entries = quotas.storage.cache.list(&format!("{namespace}/"), None, 0).entries;
        if entries.is_empty() {
            return Ok(());
        }
        let usage = Usage::of(request.resource, new);
        // All are asked before one is charged: what is refused costs nothing.
        let mut willing = Vec::new();
        for entry in &entries {
            let known = Known::remembered(objects.key(&quotas, request.namespace, entry.name()), entry);
            willing.extend(known.asked(objects, &usage, request).await?);
        }
        for known in willing {
            let lane = self.lane(&known.key);
            lane.charge(objects, &quotas, known, &usage, request).await?;
        }
        Ok(())
    }
}

/// A quota as it was at a revision.
struct Known {
    key: Bytes,
    object: Value,
    revision: Revision,
}

impl Known {
    fn remembered(key: Bytes, entry: &Entry) -> Self {
        Self {
            key,
            object: entry.parsed(),
            revision: Revision(entry.revision),
        }
    }

    fn stored(found: &KeyValue) -> ApiResult<Self> {
        Ok(Self {
            key: found.key.clone(),
            object: serde_json::from_slice(&found.value)
                .map_err(|_| ApiError::internal("a stored object cannot be read"))?,
            revision: found.mod_revision,
        })
    }

    /// Whether it has room: the quota to be charged, or none when it is gone by now. The memory may be behind: it says
    /// yes, and the charge will fail if that is not so; but before it says no the store is asked.
    async fn asked(self, objects: &Objects, usage: &Usage, request: &Request<'_>) -> ApiResult<Option<Self>> {
        if charged(&self.object, usage, request).is_ok() {
            return Ok(Some(self));
        }
        let (found, _) = objects.store.get(&self.key).await?;
        let Some(found) = found else { return Ok(None) };
        let now = Self::stored(&found)?;
        charged(&now.object, usage, request)?;
        Ok(Some(now))
    }
}

/// What is not counted: there are many, and they go by themselves.
fn is_free(resource: &Resource) -> bool {
    !resource.namespaced || (resource.plural == "events" && matches!(resource.group.as_str(), "" | "events.k8s.io"))
}

impl Usage {
    fn of(resource: &Resource, new: &Value) -> Self {
        let names = quota::counted_as(&resource.group, &resource.plural);
        let mut amounts: Amounts = names.into_iter().map(|name| (name, Amount::units(1))).collect();
        let is_job = resource.group == breakbulk_schemas::GROUP && resource.plural == "jobs";
        let job = is_job
            .then(|| serde_json::from_value::<Job>(new.clone()).ok())
            .flatten();
        if let Some(job) = &job {
            amounts.extend(quota::of_job(job));
        }
        Self {
            amounts,
            job: job.map(Box::new),
        }
    }

    /// The part that a quota is about.
    fn under(&self, quota: &ResourceQuota) -> Amounts {
        let Some(spec) = &quota.spec else { return Amounts::new() };
        let unscoped = quota::is_unscoped(spec);
        let about = unscoped || self.job.as_ref().is_some_and(|job| quota::is_about(spec, job));
        let counted = self.amounts.iter().filter(|(name, _)| {
            let of_jobs = quota::is_of_jobs(name);
            about && (unscoped || of_jobs)
        });
        counted.map(|(name, amount)| (name.clone(), *amount)).collect()
    }
}

impl Lane {
    /// Charges a quota, of which something is known.
    async fn charge(
        &self,
        objects: &Objects,
        quotas: &Resource,
        known: Known,
        usage: &Usage,
        request: &Request<'_>,
    ) -> ApiResult<()> {
        let mut last = self.last.lock().await;
        self.give_way().await;
        let newest = last.take().filter(|last| last.revision > known.revision);
        let known = newest.unwrap_or(known).asked(objects, usage, request).await?;
        // A quota that is gone limits nothing.
        let Some(mut known) = known else { return Ok(()) };
        for _ in 0..TRIES {
            let Some(new) = charged(&known.object, usage, request)? else {
                return Ok(());
            };
            let empty = serde_json::Map::new();
            let stored = object::encode(&quotas.storage.header, new.as_object().unwrap_or(&empty));
            let txn = Txn::update(known.key.clone(), known.revision, stored);
            match objects.store.txn(txn).await? {
                TxnOutcome::Committed { revision } => {
                    *last = Some(Known {
                        key: known.key,
                        object: new,
                        revision,
                    });
                    return Ok(());
                }
                TxnOutcome::Conflict { current, .. } => {
                    let Some(current) = current.into_iter().next().flatten() else {
                        return Ok(());
                    };
                    known = Known::stored(&current)?;
                }
            }
        }
        Err(ApiError::modified(quotas.target(object::meta(&known.object, "name"))))
    }
}

/// A quota with the charge; none when it is not about such objects.
fn charged(found: &Value, usage: &Usage, request: &Request<'_>) -> ApiResult<Option<Value>> {
    let refused = |why: String| ApiError::forbidden(request.resource.target(request.name), why);
    let quota: ResourceQuota =
        serde_json::from_value(found.clone()).map_err(|_| ApiError::internal("a stored quota cannot be read"))?;
    let name = quota.metadata.name.as_deref().unwrap_or("");
    let status = quota.status.clone().unwrap_or_default();
    let hard = amounts(status.hard.as_ref());
    let used = amounts(status.used.as_ref());
    let mut more = usage.under(&quota);
    let limited = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let unknown = |name: &&String| {
        limited.is_some_and(|limited| limited.contains_key(*name))
            && !(hard.contains_key(*name) && used.contains_key(*name))
    };
    let unknown: BTreeSet<&str> = more.keys().filter(unknown).map(String::as_str).collect();
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect::<Vec<_>>().join(",");
        return Err(refused(format!("status unknown for quota: {name}, resources: {names}")));
    }
    more.retain(|name, amount| hard.contains_key(name) && !amount.is_zero());
    if more.is_empty() {
        return Ok(None);
    }
    let over = quota::exceeded(&hard, &used, &more);
    if !over.is_empty() {
        let told = |of: &Amounts| {
            let part = |name: &String| format!("{name}={}", of.get(name).copied().unwrap_or_default());
            over.iter().map(part).collect::<Vec<_>>().join(",")
        };
        return Err(refused(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            told(&more),
            told(&used),
            told(&hard)
        )));
    }
    let mut new = found.clone();
    for (name, amount) in more {
        let sum = used.get(&name).copied().unwrap_or_default() + amount;
        new["status"]["used"][name] = json!(sum.to_string());
    }
    Ok(Some(new))
}

fn amounts(
    given: Option<&std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
) -> Amounts {
    let read = |(name, quantity): (&String, &k8s_openapi::apimachinery::pkg::api::resource::Quantity)| {
        Some((name.clone(), quantity.0.parse().ok()?))
    };
    given.into_iter().flatten().filter_map(read).collect()
}
