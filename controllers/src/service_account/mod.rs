//! The service account controller: every namespace has the ServiceAccount `default`, for what runs there and names no
//! other, and the ConfigMap `kube-root-ca.crt`, by which the API server is known. Whoever deletes or changes one of them
//! finds it mended.

mod plan;
mod roots;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::core::ObjectMeta;

use crate::runtime::{ApiError, Key, Next};
use crate::world::World;
use plan::Step;

pub use roots::pem;

/// The account of every namespace.
pub const ACCOUNT: &str = "default";
/// The ConfigMap of every namespace.
pub const ROOTS: &str = "kube-root-ca.crt";
/// The file in it.
const FILE: &str = "ca.crt";

/// The controller.
#[derive(Debug)]
pub struct Controller {
    world: Arc<World>,
}

impl Controller {
    /// A controller over `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// Looks at one namespace.
    ///
    /// # Errors
    /// What may go better the next time.
    pub async fn reconcile(&self, key: Key) -> Result<Next, ApiError> {
        let Some(namespace) = self.world.namespaces.get(&key) else {
            return Ok(Next::OnChange);
        };
        let account = self.world.accounts.get(&Key::new(key.name.clone(), ACCOUNT));
        let map = self.world.root_maps.get(&Key::new(key.name.clone(), ROOTS));
        let roots = self.world.settings.roots.as_deref();
        for step in plan::plan(&namespace, account.as_deref(), map.as_deref(), roots) {
            match self.act(&key.name, step).await {
                // Somebody was faster, or the namespace is gone: what changed will be seen, and looked at again.
                Err(error) if error.is_already_exists() || error.is_not_found() => {}
                done => done?,
            }
        }
        Ok(Next::OnChange)
    }

    async fn act(&self, namespace: &str, step: Step) -> Result<(), ApiError> {
        let metadata = |name: &str| ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        match step {
            Step::CreateAccount => {
                let account = ServiceAccount {
                    metadata: metadata(ACCOUNT),
                    ..ServiceAccount::default()
                };
                self.world.accounts.create(&account).await?;
            }
            Step::CreateRoots(data) => {
                let map = ConfigMap {
                    metadata: metadata(ROOTS),
                    data: Some(data),
                    ..ConfigMap::default()
                };
                self.world.root_maps.create(&map).await?;
            }
            Step::MendRoots(patch) => {
                let seen = self.world.root_maps.get(&Key::new(namespace, ROOTS));
                if let Some(seen) = seen {
                    self.world.root_maps.patch(&seen, patch).await?;
                }
            }
        }
        Ok(())
    }
}
