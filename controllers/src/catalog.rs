//! What the server serves: the resources that garbage collection and namespaces have to look after, whoever brought
//! them.

use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;
use kube::core::{ApiResource, gvk::GroupVersionKind};
use kube::discovery::{Discovery, Scope, verbs};

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Its names.
    pub api: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    verbs: Vec<String>,
}

impl Resource {
    /// Whether it can be listed and deleted.
    pub fn is_deletable(&self) -> bool {
        self.has(verbs::LIST) && self.has(verbs::DELETE)
    }

    /// Whether it can be watched.
    pub fn is_watchable(&self) -> bool {
        self.has(verbs::LIST) && self.has(verbs::WATCH)
    }

    /// Whether many can be deleted at once.
    pub fn has_delete_collection(&self) -> bool {
        self.has(verbs::DELETE_COLLECTION)
    }

    fn has(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }
}

/// The resources, as last asked for.
#[derive(Debug, Default)]
pub struct Catalog {
    resources: RwLock<Arc<Vec<Resource>>>,
}

impl Catalog {
    /// Asks the server.
    ///
    /// # Errors
    /// A server that cannot be reached or whose discovery is broken.
    pub async fn refresh(&self, client: Client) -> Result<Arc<Vec<Resource>>, Box<kube::Error>> {
        // All at once: asked group by group, one that goes away in between would spoil the whole.
        let found = Discovery::new(client).run_aggregated().await.map_err(Box::new)?;
        let mut resources = Vec::new();
        for group in found.groups() {
            for (api, capabilities) in group.recommended_resources() {
                let namespaced = capabilities.scope == Scope::Namespaced;
                resources.push(Resource {
                    api,
                    namespaced,
                    verbs: capabilities.operations,
                });
            }
        }
        let resources = Arc::new(resources);
        *self.resources.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&resources);
        Ok(resources)
    }

    /// What was last found.
    pub fn all(&self) -> Arc<Vec<Resource>> {
        Arc::clone(&self.resources.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The resource that an owner reference speaks of.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        self.all()
            .iter()
            .find(|resource| resource.api.group == wanted.group && resource.api.kind == wanted.kind)
            .cloned()
    }
}
