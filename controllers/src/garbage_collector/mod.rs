//! The garbage collector: what belonged to an object that is gone goes too; foreground deletion and orphaning are
//! carried out for owners that ask for it by their finalizers.
//!
//! It knows objects by their metadata alone. Our own kinds come from the caches that are there anyway; everything else
//! that the server serves is watched here. Before anything is deleted the server is asked whether its owner is really
//! gone, and the deletion names the uid it means.

mod graph;
mod plan;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::events::EventType;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use self::graph::{Graph, Node, ORPHAN};
use self::plan::{Owner, Plan, Policy};
use crate::catalog::{Catalog, Resource};
use crate::runtime::{ApiError, Change, Key, Next, Queue};
use crate::world::World;

/// How often it is asked what the server serves, when nothing hints at a change.
const REFRESH: Duration = Duration::from_secs(60);
/// How soon it is asked again when it could not be told: without an answer nothing is collected.
const RETRY: Duration = Duration::from_secs(1);
/// How long after a change of a definition, and again: it takes the server a moment to serve what it says.
const SETTLE: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(600)];

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

/// Who is told that there is one object more or less of a kind in a namespace.
pub type Told = Box<dyn Fn(&ApiResource, &str) + Send + Sync>;

/// The controller.
pub struct Controller {
    world: Arc<World>,
    catalog: Arc<Catalog>,
    graph: Mutex<Graph>,
    queue: Arc<Queue>,
    /// Ticks when a definition of kinds changes.
    definitions: Notify,
    told: Told,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").finish_non_exhaustive()
    }
}

/// Whether there is something new to be known of an owner.
enum Known {
    /// This.
    State(Owner),
    /// The reference can never be valid: the object is left alone for good.
    Invalid,
}

impl Controller {
    /// A collector over `world`. What is to be looked at goes into `queue`, by uid; `told` hears of objects that come and
    /// go.
    pub fn new(world: Arc<World>, catalog: Arc<Catalog>, queue: Arc<Queue>, told: Told) -> Self {
        Self {
            world,
            catalog,
            graph: Mutex::default(),
            queue,
            definitions: Notify::new(),
            told,
        }
    }

    /// Takes in that an object of a cached kind changed.
    pub fn changed<K: kube::Resource<DynamicType = ()>>(&self, change: &Change<'_, K>) {
        if change.old.is_none() || change.new.is_none() {
            (self.told)(&ApiResource::erase::<K>(&()), &change.key.namespace);
        }
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

    /// Watches what has no cache, whatever is served later, and for as long as it is served. Ends only by being dropped.
    pub async fn watch(self: Arc<Self>) {
        let mut known: HashMap<(String, String), (ApiResource, AbortHandle)> = HashMap::new();
        let mut watches = JoinSet::new();
        loop {
            let pause = match self.catalog.refresh(self.world.client.clone()).await {
                Ok(resources) => {
                    self.follow(&resources, &mut known, &mut watches);
                    REFRESH
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot ask what the server serves");
                    RETRY
                }
            };
            // Watches that were ended are not kept.
            while watches.try_join_next().is_some() {}
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.definitions.notified() => {
                    for pause in SETTLE {
                        tokio::time::sleep(pause).await;
                        if let Ok(resources) = self.catalog.refresh(self.world.client.clone()).await {
                            self.follow(&resources, &mut known, &mut watches);
                        }
                    }
                }
            }
        }
    }

    /// Watches what is new, and forgets what is not served any more.
    fn follow(
        self: &Arc<Self>,
        resources: &[Resource],
        known: &mut HashMap<(String, String), (ApiResource, AbortHandle)>,
        watches: &mut JoinSet<()>,
    ) {
        let mut served = HashMap::new();
        for resource in resources.iter().filter(|r| r.is_watchable() && r.is_deletable()) {
            let name = (resource.api.group.clone(), resource.api.kind.clone());
            let elsewhere = ELSEWHERE
                .iter()
                .any(|(group, kind)| (*group, *kind) == (name.0.as_str(), name.1.as_str()));
            if !elsewhere {
                served.insert(name, &resource.api);
            }
        }
        known.retain(|name, (api, watch)| {
            let kept = served.get(name).is_some_and(|now| *now == api);
            if !kept {
                watch.abort();
                let gone = self.lock().of_kind(&name.0, &name.1);
                gone.iter().for_each(|uid| self.remove(uid));
            }
            kept
        });
        for (name, api) in served {
            known.entry(name).or_insert_with(|| {
                let watch = watches.spawn(Arc::clone(self).watch_one(api.clone()));
                (api.clone(), watch)
            });
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
        self.hint(resource);
        if let Some(node) = Node::of(resource.clone(), &object.metadata) {
            let (new, look) = {
                let mut graph = self.lock();
                (graph.get(&node.uid).is_none(), graph.put(node))
            };
            if new {
                (self.told)(resource, object.metadata.namespace.as_deref().unwrap_or(""));
            }
            self.look_at(look);
        }
    }

    fn remove(&self, uid: &str) {
        let (gone, look) = {
            let mut graph = self.lock();
            (graph.get(uid).cloned(), graph.remove(uid))
        };
        if let Some(gone) = gone {
            self.hint(&gone.api);
            (self.told)(&gone.api, &gone.key.namespace);
        }
        self.look_at(look);
    }

    /// A definition that changed: there may be other kinds now.
    fn hint(&self, resource: &ApiResource) {
        if resource.group == "apiextensions.k8s.io" {
            self.definitions.notify_one();
        }
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
        let Some(owners) = self.owners(&node).await? else {
            return Ok(Next::OnChange);
        };
        let plan = plan::plan(&node, &self.lock(), &owners);
        match plan {
            Plan::Nothing => {}
            Plan::Delete(policy) => self.delete(&node, policy).await?,
            Plan::Unblock => {
                self.unblock(&node).await?;
                self.delete(&node, Policy::Foreground).await?;
            }
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

    /// What is known of an object's owners; none when one of them can never be.
    async fn owners(&self, node: &Node) -> Result<Option<Vec<(String, Owner)>>, ApiError> {
        let mut owners = Vec::new();
        if node.deleting {
            return Ok(Some(owners));
        }
        for reference in &node.owners {
            match self.owner(node, reference).await? {
                Known::State(owner) => owners.push((reference.uid.clone(), owner)),
                Known::Invalid => return Ok(None),
            }
        }
        Ok(Some(owners))
    }

    /// What is known of an owner. That it is not in memory is no proof: then the server is asked.
    async fn owner(&self, node: &Node, reference: &OwnerReference) -> Result<Known, ApiError> {
        let state = |waits: bool| Known::State(if waits { Owner::Waiting } else { Owner::Solid });
        let elsewhere = {
            let graph = self.lock();
            match graph.get(&reference.uid) {
                Some(owner) if owner.is_meant(reference, node) => return Ok(state(owner.waits())),
                Some(owner) => !owner.key.namespace.is_empty() && owner.key.namespace != node.key.namespace,
                None => false,
            }
        };
        if elsewhere {
            self.warn(node, reference).await;
        }
        let Some(resource) = self.catalog.find(&reference.api_version, &reference.kind) else {
            return Ok(Known::State(Owner::Unknown));
        };
        if resource.namespaced && node.key.namespace.is_empty() {
            if !elsewhere {
                self.warn(node, reference).await;
            }
            return Ok(Known::Invalid);
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
        let there = found.filter(|found| found.uid().as_ref() == Some(&reference.uid));
        let owner = there.and_then(|found| Node::of(resource.api.clone(), &found.metadata));
        Ok(owner.map_or(Known::State(Owner::Absent), |owner| state(owner.waits())))
    }

    /// Tells people that an owner reference names what is not there.
    async fn warn(&self, node: &Node, reference: &OwnerReference) {
        let about = ObjectReference {
            api_version: Some(node.api.api_version.clone()),
            kind: Some(node.api.kind.clone()),
            name: Some(node.key.name.clone()),
            namespace: Some(node.key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            uid: Some(node.uid.clone()),
            ..ObjectReference::default()
        };
        let OwnerReference {
            api_version,
            kind,
            name,
            uid,
            ..
        } = reference;
        let namespace = &node.key.namespace;
        let note = format!(
            "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in namespace {namespace:?}"
        );
        let event = kube::runtime::events::Event {
            type_: EventType::Warning,
            reason: "OwnerRefInvalidNamespace".to_owned(),
            note: Some(note),
            action: "CollectGarbage".to_owned(),
            secondary: None,
        };
        self.world.tell_about(&about, event).await;
    }

    /// Lets an object's owners go without it.
    async fn unblock(&self, node: &Node) -> Result<(), ApiError> {
        self.change(node, |object| {
            let mut owners = object.metadata.owner_references.clone().unwrap_or_default();
            let blocking = |owner: &&mut OwnerReference| owner.block_owner_deletion == Some(true);
            let changed = owners.iter_mut().filter(blocking).map(|owner| {
                owner.block_owner_deletion = Some(false);
            });
            (changed.count() > 0).then(|| json!({ "ownerReferences": owners }))
        })
        .await
    }

    /// Deletes an object, if it still has the owners and finalizers for which that was decided.
    async fn delete(&self, node: &Node, policy: Policy) -> Result<(), ApiError> {
        let api = api(self.world.client.clone(), &node.api, &node.key);
        let found = api.get_metadata_opt(&node.key.name).await;
        let found = found.map_err(|source| error("get", &node.api, &node.key, source))?;
        let Some(found) = found.filter(|found| found.uid().as_ref() == Some(&node.uid)) else {
            return Ok(());
        };
        let now = Node::of(node.api.clone(), &found.metadata);
        let owners = |node: &Node| node.owners.iter().map(|owner| owner.uid.clone()).collect::<Vec<_>>();
        let same = |now: &Node| owners(now) == owners(node) && now.finalizers == node.finalizers;
        if !now.as_ref().is_some_and(same) {
            // What is known is old; what is new comes through the watch, or is taken in here.
            let look = now.map(|now| self.lock().put(now)).unwrap_or_default();
            self.look_at(look);
            return Ok(());
        }
        let propagation_policy = Some(match policy {
            Policy::Background => PropagationPolicy::Background,
            Policy::Foreground => PropagationPolicy::Foreground,
            Policy::Orphan => PropagationPolicy::Orphan,
        });
        let params = DeleteParams {
            propagation_policy,
            preconditions: Some(Preconditions {
                uid: Some(node.uid.clone()),
                resource_version: found.resource_version(),
            }),
            ..DeleteParams::default()
        };
        tracing::debug!(kind = node.api.kind, key = %node.key, "its owners are gone: deleting it");
        let deleted = api.delete(&node.key.name, &params).await;
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
