//! The namespace controller: empties a namespace that is being deleted, says what still keeps it, and lets it go when
//! nothing is left (`k8s.io/kubernetes/pkg/controller/namespace/deletion`).
//!
//! What runs goes first: the next resource is not touched while a Job is left, since a Job may need its Secrets and
//! ConfigMaps to end well. Everything that is in the way is a condition of the namespace, and it is looked at again until it
//! is not.

mod conditions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};

use self::conditions::Findings;
use crate::catalog::{Catalog, Resource};
use crate::garbage_collector;
use crate::runtime::{ApiError, Key, Next};
use crate::world::World;

/// The finalizer in a namespace's spec that is ours to take away.
const FINALIZER: &str = "kubernetes";
/// How long to wait before looking again at what is still there.
const PAUSE: Duration = Duration::from_millis(200);
/// How many objects are read at a time when it is said what is left.
const PAGE: u32 = 500;

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
    catalog: Arc<Catalog>,
}

/// What is still there of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Left {
    /// How many objects.
    count: usize,
    /// How many of them each finalizer holds.
    finalizers: BTreeMap<String, usize>,
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
        if namespace.metadata.deletion_timestamp.is_none() {
            return Ok(Next::OnChange);
        }
        let spec = namespace.spec.clone().unwrap_or_default();
        let finalizers = spec.finalizers.unwrap_or_default();
        if !finalizers.iter().any(|own| own == FINALIZER) {
            if finalizers.is_empty() {
                self.delete(&namespace).await?;
            }
            return Ok(Next::OnChange);
        }
        let findings = self.empty(&key).await;
        if findings.is_clean() {
            // Once more from the server: a finalizer that somebody put there meanwhile stays.
            self.finalize(&namespace, finalizers).await?;
            return Ok(Next::OnChange);
        }
        let old = namespace.status.clone().unwrap_or_default();
        let mut new = old.clone();
        findings.tell(new.conditions.get_or_insert_default(), Timestamp::now());
        self.world.namespaces.patch_status(&namespace, &old, &new).await?;
        Ok(Next::After(PAUSE))
    }

    /// Deletes everything that is in a namespace, what runs first.
    async fn empty(&self, key: &Key) -> Findings {
        let mut findings = Findings::default();
        let resources = match self.catalog.refresh(self.world.client.clone()).await {
            Ok(resources) => resources,
            Err(error) => {
                findings.undiscovered = Some(error.to_string());
                return findings;
            }
        };
        let inside = |resource: &&Resource| resource.namespaced && resource.is_deletable();
        let (first, then): (Vec<_>, Vec<_>) = resources.iter().filter(inside).partition(|resource| runs(resource));
        for group in [first, then] {
            for resource in group {
                match self.empty_of(key, resource).await {
                    Ok(left) => findings.left(&resource.api.plural, &resource.api.group, left),
                    Err(error) => findings.failures.push(words(&error)),
                }
            }
            if !findings.is_clean() {
                break;
            }
        }
        findings
    }

    /// Deletes all objects of a resource, and looks what is still there.
    async fn empty_of(&self, key: &Key, resource: &Resource) -> Result<Left, ApiError> {
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
        let one = ListParams::default().limit(1);
        if forgiven(api.list_metadata(&one).await.map_err(error("list")))?.is_none_or(|found| found.items.is_empty()) {
            return Ok(Left::default());
        }
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        if resource.has_delete_collection() {
            let all = ListParams::default();
            forgiven(api.delete_collection(&params, &all).await.map_err(error("delete all")))?;
        }
        let mut left = Left::default();
        let mut page = ListParams::default().limit(PAGE);
        while let Some(found) = forgiven(api.list_metadata(&page).await.map_err(error("list")))? {
            for object in &found.items {
                let gone = !resource.has_delete_collection()
                    && forgiven(api.delete(&object.name_any(), &params).await.map_err(error("delete")))?
                        .is_none_or(|answer| answer.is_right());
                if !gone {
                    left.count += 1;
                    for finalizer in object.finalizers() {
                        *left.finalizers.entry(finalizer.clone()).or_default() += 1;
                    }
                }
            }
            match found.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => break,
            }
        }
        Ok(left)
    }

    async fn finalize(&self, namespace: &Namespace, finalizers: Vec<String>) -> Result<(), ApiError> {
        let mut done = namespace.clone();
        let left = finalizers.into_iter().filter(|own| own != FINALIZER).collect();
        done.spec.get_or_insert_default().finalizers = Some(left);
        let name = namespace.name_any();
        let (api, params) = (self.api(), PostParams::default());
        let finalized = api.replace_subresource("finalize", &name, &params, &done).await;
        forgiven(finalized.map_err(|source| refused("finalize", namespace, source))).map(|_| ())
    }

    /// Lets a namespace go that nothing holds any more, but that is still there.
    async fn delete(&self, namespace: &Namespace) -> Result<(), ApiError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: namespace.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = self.api().delete(&namespace.name_any(), &params).await;
        forgiven(deleted.map_err(|source| refused("delete", namespace, source))).map(|_| ())
    }

    fn api(&self) -> Api<Namespace> {
        Api::all(self.world.client.clone())
    }
}

/// Whether objects of a resource are at work, and not only there.
fn runs(resource: &Resource) -> bool {
    resource.api.group == breakbulk_schemas::GROUP && matches!(resource.api.plural.as_str(), "jobs" | "pipelineruns")
}

fn refused(verb: &'static str, namespace: &Namespace, source: kube::Error) -> ApiError {
    ApiError::Request {
        verb,
        kind: "Namespace".to_owned(),
        key: Key::of(namespace),
        source: Box::new(source),
    }
}

/// What is gone already, a kind as well as an object, is as good.
fn forgiven<T>(result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn words(error: &ApiError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
