//! The namespace controller: empties a namespace that is being deleted, says what still keeps it, and lets it go when
//! nothing is left.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams, PropagationPolicy};

use crate::catalog::{Catalog, Resource};
use crate::garbage_collector;
use crate::runtime::{ApiError, Key, Next};
use crate::world::World;

/// The finalizer in a namespace's spec that is ours to take away.
const FINALIZER: &str = "kubernetes";
/// How long to wait before looking again at what is still there.
const PAUSE: Duration = Duration::from_millis(200);
/// How many objects are counted when it is said what is left.
const COUNTED: u32 = 500;

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    catalog: Arc<Catalog>,
}

/// What is still there of a resource.
struct Left {
    name: String,
    count: usize,
    finalizers: Vec<String>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>, catalog: Arc<Catalog>) -> Self {
        Self { world, catalog }
    }

    /// Looks at one namespace.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let Some(namespace) = self.world.namespaces.get(&key) else {
            return Ok(Next::OnChange);
        };
        let finalizers = namespace
            .spec
            .clone()
            .unwrap_or_default()
            .finalizers
            .unwrap_or_default();
        if namespace.metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|own| own == FINALIZER) {
            return Ok(Next::OnChange);
        }
        let client = self.world.client.clone();
        let error = |source: Box<kube::Error>| ApiError::Request {
            verb: "discover what is in",
            kind: "Namespace".to_owned(),
            key: key.clone(),
            source,
        };
        let resources = self.catalog.refresh(client).await.map_err(error)?;
        let mut left = Vec::new();
        for resource in resources
            .iter()
            .filter(|resource| resource.namespaced && resource.is_deletable())
        {
            left.extend(self.empty(&key, resource).await?);
        }
        if left.is_empty() {
            self.finalize(&namespace, finalizers).await?;
            return Ok(Next::OnChange);
        }
        self.say(&namespace, &left).await?;
        Ok(Next::After(PAUSE))
    }

    /// Deletes all objects of a resource. `Some`: what is still there.
    async fn empty(&self, key: &Key, resource: &Resource) -> Result<Option<Left>, ApiError> {
        let inside = Key::new(key.name.clone(), "");
        let api = garbage_collector::api(self.world.client.clone(), &resource.api, &inside);
        let error = |verb: &'static str| {
            let kind = resource.api.kind.clone();
            let inside = inside.clone();
            move |source: kube::Error| ApiError::Request {
                verb,
                kind,
                key: inside,
                source: Box::new(source),
            }
        };
        let list = ListParams::default().limit(COUNTED);
        let found = api.list_metadata(&list).await.map_err(error("list"))?;
        if found.items.is_empty() {
            return Ok(None);
        }
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        if resource.has_delete_collection() {
            api.delete_collection(&params, &ListParams::default())
                .await
                .map_err(error("delete all"))?;
        } else {
            for object in &found.items {
                match api.delete(&object.name_any(), &params).await.map_err(error("delete")) {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
        let after = api.list_metadata(&list).await.map_err(error("list"))?;
        let finalizers = after
            .items
            .iter()
            .flat_map(|object| object.finalizers().to_vec())
            .collect();
        let left = Left {
            name: resource.api.plural.clone(),
            count: after.items.len(),
            finalizers,
        };
        Ok((left.count > 0).then_some(left))
    }

    async fn finalize(&self, namespace: &Namespace, finalizers: Vec<String>) -> Result<(), ApiError> {
        let mut done = namespace.clone();
        let left = finalizers.into_iter().filter(|own| own != FINALIZER).collect();
        done.spec.get_or_insert_default().finalizers = Some(left);
        let key = Key::of(namespace);
        let api: Api<Namespace> = Api::all(self.world.client.clone());
        let finalized = api
            .replace_subresource("finalize", &key.name, &PostParams::default(), &done)
            .await;
        let finalized = finalized.map_err(|source| ApiError::Request {
            verb: "finalize",
            kind: "Namespace".to_owned(),
            key,
            source: Box::new(source),
        });
        match finalized {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Says what still keeps the namespace, when that has changed.
    async fn say(&self, namespace: &Namespace, left: &[Left]) -> Result<(), ApiError> {
        let resources: Vec<_> = left
            .iter()
            .map(|left| format!("{} {}", left.count, left.name))
            .collect();
        let mut finalizers: Vec<_> = left.iter().flat_map(|left| left.finalizers.clone()).collect();
        finalizers.sort();
        finalizers.dedup();
        let old = namespace.status.clone().unwrap_or_default();
        let mut new = old.clone();
        set(
            &mut new,
            "NamespaceContentRemaining",
            "SomeResourcesRemain",
            format!("still there: {}", resources.join(", ")),
        );
        if !finalizers.is_empty() {
            set(
                &mut new,
                "NamespaceFinalizersRemaining",
                "SomeFinalizersRemain",
                format!("kept by finalizers: {}", finalizers.join(", ")),
            );
        }
        self.world.namespaces.patch_status(namespace, &old, &new).await
    }
}

fn set(status: &mut NamespaceStatus, kind: &str, reason: &str, message: String) {
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        Some(condition) => condition.message = Some(message),
        None => conditions.push(NamespaceCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(Timestamp::now())),
        }),
    }
}
