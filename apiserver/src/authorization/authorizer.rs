//! The authorizer of a running server: decides from the caches, and keeps the index over the roles and bindings there,
//! made anew when one of them has changed and somebody asks. While many change, most requests do without: no more than a
//! tenth of the time goes into making indices.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::rbac::{self, Index};
use super::{Attributes, Decision};
use crate::authentication::Identity;
use crate::registry::objects::Objects;

/// The kinds an index is made of, in the order of [`Read`]'s fields.
const KINDS: [&str; 4] = ["roles", "rolebindings", "clusterroles", "clusterrolebindings"];

/// An index stays for so many times as long as it took to make, even if it is behind. With some hundred bindings that is
/// less than a millisecond, with ten thousand some ten.
const REST: u32 = 10;
/// But no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// Decides.
pub struct Authorizer {
    objects: Objects,
    changed: [watch::Receiver<u64>; 4],
    read: RwLock<Read>,
}

/// What has been read, and up to which change of each kind.
#[derive(Default)]
struct Read {
    seen: Option<[u64; 4]>,
    /// Until when it stays as it is.
    rests_until: Option<Instant>,
    roles: rbac::Memo<rbac::RoleRules>,
    role_bindings: rbac::Memo<rbac::Bound>,
    cluster_roles: rbac::Memo<rbac::RoleRules>,
    cluster_role_bindings: rbac::Memo<rbac::Bound>,
    index: Arc<Index>,
}

impl Authorizer {
    /// Over the objects; none when the table of kinds lacks one of the four.
    pub fn new(objects: Objects) -> Option<Self> {
        let changed = |plural: &str| {
            let resource = objects.registry.find(rbac::GROUP, "v1", plural)?;
            Some(resource.storage.cache.subscribe())
        };
        let [roles, role_bindings, cluster_roles, cluster_role_bindings] = KINDS.map(changed);
        let changed = [roles?, role_bindings?, cluster_roles?, cluster_role_bindings?];
        Some(Self {
            objects,
            changed,
            read: RwLock::default(),
        })
    }

    /// Whether somebody may.
    pub fn decide(&self, identity: &Identity, attributes: &Attributes<'_>) -> Decision {
        super::decide(identity, attributes, &self.objects, &self.index())
    }

    /// The index as of now.
    pub fn index(&self) -> Arc<Index> {
        // First what has changed, then what is there: a change in between is seen the next time.
        let now = self.changed.each_ref().map(|changed| *changed.borrow());
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        let rests = || read.rests_until.is_some_and(|until| Instant::now() < until);
        if read.seen == Some(now) || rests() {
            return read.index.clone();
        }
        drop(read);
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have been here while we waited, and may have seen more than we did.
        let newer = |seen: [u64; 4]| seen.iter().zip(now).all(|(seen, now)| *seen >= now);
        if !read.seen.is_some_and(newer) {
            let began = Instant::now();
            self.refresh(&mut read);
            read.seen = Some(now);
            let rest = began.elapsed().saturating_mul(REST).min(LONGEST_REST);
            read.rests_until = Instant::now().checked_add(rest);
        }
        read.index.clone()
    }

    fn refresh(&self, read: &mut Read) {
        let entries = KINDS.map(|plural| {
            let resource = self.objects.registry.find(rbac::GROUP, "v1", plural);
            resource.map_or_else(Vec::new, |resource| resource.storage.cache.list("", None, 0).entries)
        });
        let [roles, role_bindings, cluster_roles, cluster_role_bindings] = &entries;
        read.roles.refresh(roles);
        read.role_bindings.refresh(role_bindings);
        read.cluster_roles.refresh(cluster_roles);
        read.cluster_role_bindings.refresh(cluster_role_bindings);
        read.index = Arc::new(Index::new(
            &read.roles,
            &read.role_bindings,
            &read.cluster_roles,
            &read.cluster_role_bindings,
        ));
    }
}
