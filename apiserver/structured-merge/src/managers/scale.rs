//! The entries of an object as its scale subresource shows them, and back.
//!
//! A Scale has one field that can be owned, `spec.replicas`; in the object it is wherever the kind keeps its replicas,
//! in each version perhaps elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::entries::{Entry, Managed, ManagedFieldsError, ManagerId};
use crate::fieldpath::{FieldSet, Path};

const SCALE_VERSION: &str = "autoscaling/v1";

/// Where a kind keeps its replicas, by API version; nothing for a version without scale.
pub type ReplicasPaths = BTreeMap<String, Option<Path>>;

fn in_scale() -> FieldSet {
    [Path::fields(&["spec", "replicas"])].into_iter().collect()
}

/// The managed fields of a Scale: the owners of the replicas, from the managed fields of the object. Nothing when
/// there is none.
pub fn entries_for_scale(parent: &Value, paths: &ReplicasPaths) -> Result<Option<Value>, ManagedFieldsError> {
    let mut scale = Managed::default();
    for (id, mut entry) in Managed::decode(parent.clone())?.entries {
        let Some(Some(path)) = paths.get(&entry.api_version) else {
            continue;
        };
        if entry.set().contains(&path.0) {
            scale
                .entries
                .insert(id, Entry::new(SCALE_VERSION, entry.time, in_scale()));
        }
    }
    Ok(scale.encode())
}

/// The managed fields of the object after a write of its Scale: whoever lost the replicas there loses them here, and
/// whoever gained them has them in `api_version`, the object's version. Nothing when nobody owns anything.
pub fn entries_from_scale(
    parent: &Value,
    scale: &Value,
    api_version: &str,
    paths: &ReplicasPaths,
) -> Result<Option<Value>, ManagedFieldsError> {
    let mut scale = Managed::decode(scale.clone())?;
    let mut object = Managed::default();
    let mut kept = BTreeSet::new();
    for (id, mut entry) in Managed::decode(parent.clone())?.entries {
        let Some(path) = paths.get(&entry.api_version) else {
            continue;
        };
        let Some(path) = path.as_ref().filter(|path| entry.set().contains(&path.0)) else {
            object.entries.insert(id, entry);
            continue;
        };
        // In the Scale the entry has the object's identity but for the version.
        let in_scale = ManagerId::new(&id.manager, id.operation, SCALE_VERSION, &id.subresource);
        if scale.entries.contains_key(&in_scale) {
            kept.insert(in_scale);
        } else {
            entry.take(&[path.clone()].into_iter().collect());
        }
        if !entry.is_empty() {
            object.entries.insert(id, entry);
        }
    }
    scale.entries.retain(|id, _| !kept.contains(id));
    let gained: FieldSet = paths.get(api_version).cloned().flatten().into_iter().collect();
    for (id, mut entry) in scale.entries {
        if entry.set().intersection(&in_scale()).is_empty() || gained.is_empty() {
            continue;
        }
        let id = ManagerId::new(&id.manager, id.operation, api_version, &id.subresource);
        object
            .entries
            .insert(id, Entry::new(api_version, entry.time, gained.clone()));
    }
    Ok(object.encode())
}
