//! The garbage collector: what belonged to an object that is gone goes too; foreground deletion and orphaning are
//! carried out for owners that ask for it by their finalizers.
//!
//! It knows objects by their metadata alone. Our own kinds come from the caches that are there anyway; everything else
//! that the server serves is watched here. Before anything is deleted the server is asked whether its owner is really
//! gone, and the deletion names the uid it means.

mod graph;
mod plan;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

use self::graph::{FOREGROUND, Graph, Node, ORPHAN};
use self::plan::{Owner, Plan, Policy};
use crate::catalog::Catalog;
use crate::runtime::{ApiError, Change, Key, Next, Queue};
use crate::world::World;

/// How often it is asked what the server serves.
const REFRESH: Duration = Duration::from_secs(60);

/// Kinds that come from caches, and kinds that own nothing and are many.
const ELSEWHERE: &[(&str, &str)] = &[
    ("breakbulk.dev", "Pipeline"),
    ("breakbulk.dev", "PipelineRun"),
    ("breakbulk.dev", "Job"),
    ("breakbulk.dev", "GitRepository"),
    ("breakbulk.dev", "GitEvent"),
    ("breakbulk.dev", "ConcurrencyGroup"),
    ("", "Node"),
    ("", "Namespace"),
    ("", "Event"),
    ("events.k8s.io", "Event"),
    ("coordination.k8s.io", "Lease"),
];

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    catalog: Arc<Catalog>,
    graph: Mutex<Graph>,
    queue: Arc<Queue>,
}

impl Controller {
    /// A collector over `world`. What is to be looked at goes into `queue`, by uid.
    pub fn new(world: Arc<World>, catalog: Arc<Catalog>, queue: Arc<Queue>) -> Self {
        Self {
            world,
            catalog,
            graph: Mutex::default(),
            queue,
        }
    }

    /// Takes in that an object of a cached kind changed.
    pub fn changed<K: kube::Resource<DynamicType = ()>>(&self, change: &Change<'_, K>) {
        let look = match (change.old, change.new) {
            (old, Some(new)) => {
                let mut look = Vec::new();
                // Another object of the same name: the old one is gone, though nobody said so.
                if let Some(gone) = old
                    .and_then(|old| old.meta().uid.clone())
                    .filter(|uid| Some(uid) != new.meta().uid.as_ref())
                {
                    look = self.lock().remove(&gone);
                }
                let node = Node::of(ApiResource::erase::<K>(&()), new.meta());
                look.extend(node.map(|node| self.lock().put(node)).unwrap_or_default());
                look
            }
            (Some(old), None) => old
                .meta()
                .uid
                .as_ref()
                .map(|uid| self.lock().remove(uid))
                .unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        self.look_at(look);
    }

    /// Watches what has no cache, and whatever is served later. Ends only by being dropped.
    pub async fn watch(self: Arc<Self>) {
        let mut known: HashSet<(String, String)> = HashSet::new();
        let mut watches = JoinSet::new();
        loop {
            match self.catalog.refresh(self.world.client.clone()).await {
                Ok(resources) => {
                    for resource in resources
                        .iter()
                        .filter(|resource| resource.is_watchable() && resource.is_deletable())
                    {
                        let name = (resource.api.group.clone(), resource.api.kind.clone());
                        let elsewhere = ELSEWHERE
                            .iter()
                            .any(|(group, kind)| (*group, *kind) == (name.0.as_str(), name.1.as_str()));
                        if !elsewhere && known.insert(name) {
                            watches.spawn(Arc::clone(&self).watch_one(resource.api.clone()));
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot ask what the server serves"),
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    async fn watch_one(self: Arc<Self>, resource: ApiResource) {
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(self.world.client.clone(), &resource);
        let events = watcher::watcher(api, watcher::Config::default().timeout(280)).default_backoff();
        pin_mut!(events);
        let mut listed: HashSet<String> = HashSet::new();
        let mut known: HashSet<String> = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object)) => {
                    known.extend(object.metadata.uid.clone());
                    self.put(&resource, &object);
                }
                Ok(Event::InitApply(object)) => {
                    listed.extend(object.metadata.uid.clone());
                    self.put(&resource, &object);
                }
                Ok(Event::Delete(object)) => {
                    if let Some(uid) = &object.metadata.uid {
                        known.remove(uid);
                        self.remove(uid);
                    }
                }
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitDone) => {
                    known.difference(&listed).for_each(|uid| self.remove(uid));
                    known = std::mem::take(&mut listed);
                }
                Err(error) => tracing::debug!(kind = resource.kind, %error, "the watch broke off; trying again"),
            }
        }
    }

    fn put(&self, resource: &ApiResource, object: &PartialObjectMeta<DynamicObject>) {
        if let Some(node) = Node::of(resource.clone(), &object.metadata) {
            let look = self.lock().put(node);
            self.look_at(look);
        }
    }

    fn remove(&self, uid: &str) {
        let look = self.lock().remove(uid);
        self.look_at(look);
    }

    fn look_at(&self, uids: Vec<String>) {
        uids.into_iter().for_each(|uid| self.queue.add(Key::new("", uid)));
    }

    /// Looks at one object, by its uid.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, uid: Key) -> Result<Next, ApiError> {
        let uid = uid.name;
        let Some(node) = self.lock().get(&uid).cloned() else {
            return Ok(Next::OnChange);
        };
        let mut owners = Vec::new();
        if !node.deleting {
            for reference in &node.owners {
                owners.push((reference.uid.clone(), self.owner(&node, reference).await?));
            }
        }
        let plan = plan::plan(&node, &self.lock(), &owners);
        match plan {
            Plan::Nothing => return Ok(Next::OnChange),
            Plan::Delete(policy) => self.delete(&node, policy).await?,
            Plan::Strip(gone) => self.strip(&node, &gone).await?,
            Plan::Orphan(dependents) => {
                for dependent in dependents {
                    let dependent = self.lock().get(&dependent).cloned();
                    if let Some(dependent) = dependent {
                        self.strip(&dependent, std::slice::from_ref(&uid)).await?;
                    }
                }
                self.drop_finalizer(&node, ORPHAN).await?;
            }
            Plan::Release(finalizer) => self.drop_finalizer(&node, finalizer).await?,
        }
        Ok(Next::OnChange)
    }

    async fn owner(&self, node: &Node, reference: &OwnerReference) -> Result<Owner, ApiError> {
        if let Some(owner) = self.lock().get(&reference.uid) {
            let waits = owner.deleting && owner.has_finalizer(FOREGROUND) && owner.is_blocked_by(node);
            return Ok(if waits { Owner::Waiting } else { Owner::Solid });
        }
        let Some(resource) = self.catalog.find(&reference.api_version, &reference.kind) else {
            return Ok(Owner::Unknown);
        };
        if resource.namespaced && node.key.namespace.is_empty() {
            return Ok(Owner::Unknown);
        }
        let namespace = if resource.namespaced {
            node.key.namespace.as_str()
        } else {
            ""
        };
        let key = Key::new(namespace, reference.name.clone());
        let found = api(self.world.client.clone(), &resource.api, &key)
            .get_metadata_opt(&key.name)
            .await;
        let found = found.map_err(|source| error("get", &resource.api, &key, source))?;
        let there = found.is_some_and(|found| found.uid().as_ref() == Some(&reference.uid));
        Ok(if there { Owner::Solid } else { Owner::Absent })
    }

    async fn delete(&self, node: &Node, policy: Policy) -> Result<(), ApiError> {
        let propagation_policy = Some(match policy {
            Policy::Background => PropagationPolicy::Background,
            Policy::Foreground => PropagationPolicy::Foreground,
            Policy::Orphan => PropagationPolicy::Orphan,
        });
        let preconditions = Some(Preconditions {
            uid: Some(node.uid.clone()),
            resource_version: None,
        });
        let params = DeleteParams {
            propagation_policy,
            preconditions,
            ..DeleteParams::default()
        };
        tracing::debug!(kind = node.api.kind, key = %node.key, "its owners are gone: deleting it");
        let deleted = api(self.world.client.clone(), &node.api, &node.key)
            .delete(&node.key.name, &params)
            .await;
        forgive(
            deleted
                .map(|_| ())
                .map_err(|source| error("delete", &node.api, &node.key, source)),
        )
    }

    /// Takes owners out of an object's references, as it is now.
    async fn strip(&self, node: &Node, gone: &[String]) -> Result<(), ApiError> {
        self.change(node, |object| {
            let owners = object.metadata.owner_references.clone().unwrap_or_default();
            let left: Vec<_> = owners
                .iter()
                .filter(|owner| !gone.contains(&owner.uid))
                .cloned()
                .collect();
            (left.len() != owners.len()).then(|| json!({ "ownerReferences": left }))
        })
        .await
    }

    async fn drop_finalizer(&self, node: &Node, finalizer: &'static str) -> Result<(), ApiError> {
        self.change(node, |object| {
            let own = object.metadata.finalizers.clone().unwrap_or_default();
            let left: Vec<_> = own.iter().filter(|own| *own != finalizer).cloned().collect();
            (left.len() != own.len()).then(|| json!({ "finalizers": left }))
        })
        .await
    }

    /// Changes an object's metadata, if it still is the one that is meant.
    async fn change(
        &self,
        node: &Node,
        to: impl Fn(&PartialObjectMeta<DynamicObject>) -> Option<serde_json::Value> + Send,
    ) -> Result<(), ApiError> {
        let api = api(self.world.client.clone(), &node.api, &node.key);
        let found = api
            .get_metadata_opt(&node.key.name)
            .await
            .map_err(|source| error("get", &node.api, &node.key, source))?;
        let Some(found) = found.filter(|found| found.uid().as_ref() == Some(&node.uid)) else {
            return Ok(());
        };
        let Some(mut metadata) = to(&found) else { return Ok(()) };
        if let Some(fields) = metadata.as_object_mut() {
            fields.insert("resourceVersion".to_owned(), json!(found.resource_version()));
            fields.insert("uid".to_owned(), json!(node.uid));
        }
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let patched = api.patch(&node.key.name, &PatchParams::default(), &patch).await;
        forgive(
            patched
                .map(|_| ())
                .map_err(|source| error("patch", &node.api, &node.key, source)),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is gone already is as good.
fn forgive(result: Result<(), ApiError>) -> Result<(), ApiError> {
    result.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

pub(crate) fn api(client: Client, resource: &ApiResource, key: &Key) -> Api<DynamicObject> {
    if key.namespace.is_empty() {
        Api::all_with(client, resource)
    } else {
        Api::namespaced_with(client, &key.namespace, resource)
    }
}

fn error(verb: &'static str, resource: &ApiResource, key: &Key, source: kube::Error) -> ApiError {
    ApiError::Request {
        verb,
        kind: resource.kind.clone(),
        key: key.clone(),
        source: Box::new(source),
    }
}
