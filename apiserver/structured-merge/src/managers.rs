//! Who owns which fields of an object, through every kind of write.
//!
//! An [`Endpoint`] is one place where objects of a kind are written. Whatever is written there passes through it once,
//! after defaulting and before validation: [`Endpoint::update`] for a write that brings a whole object,
//! [`Endpoint::apply`] for server-side apply, which makes the object. Both keep `metadata.managedFields`:
//!
//! | module | for |
//! |---|---|
//! | `entries` | `managedFields` as stored, read and written |
//! | `versions` | objects and schemas in the other API versions that managers wrote in |
//! | `ownership` | what a change takes from whom |
//! | `update` | POST, PUT and the other PATCHes |
//! | `apply`, `prune` | server-side apply, and what goes when it is no longer applied |
//! | `conflict` | the conflicts of an apply, and their texts |
//! | `last_applied` | the annotation of client-side apply |
//! | `scale` | entries as the scale subresource shows them |
//!
//! Nothing here reads a clock, checks who may do what, or applies defaults. Follows
//! `k8s.io/apimachinery/pkg/util/managedfields` in meaning and in texts.

mod apply;
mod conflict;
mod entries;
mod last_applied;
mod ownership;
mod prune;
mod scale;
mod update;
mod versions;

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use apply::{Applied, ApplyError, Force, Outcome};
pub use conflict::{Conflict, Conflicts};
pub use entries::{ManagedFieldsError, validate_managed_fields};
pub use scale::{ReplicasPaths, entries_for_scale, entries_from_scale};
pub use update::{UpdateError, keep_unchanged_times};
pub use versions::{ConversionError, Unconverted, Versions};

use crate::fieldpath::{FieldSet, Path};

/// A place where objects of one kind are written: a resource in one API version, or a subresource of it.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    /// The API version of the URL, as objects carry it: `v1`, `apps/v1`. Objects come and go in this version.
    pub api_version: &'a str,
    /// The kind of the objects.
    pub kind: &'a str,
    /// The subresource, or nothing for the resource itself.
    pub subresource: &'a str,
    /// What this endpoint does not change, whatever is written: `status` for the resource when it has a status
    /// subresource, `metadata` and `spec` for the status of a custom resource.
    pub reset_fields: &'a FieldSet,
    /// The schemas of the kind, and its other versions.
    pub versions: &'a dyn Versions,
}

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The name of the field manager: the `fieldManager` parameter, or [`manager_of_user_agent`]. Empty is `unknown`.
    pub manager: &'a str,
    /// The time of the write. Seconds count.
    pub now: Timestamp,
}

/// The longest name of a manager, in bytes.
const MAX_MANAGER_NAME: usize = 128;

/// The name of the manager when a request does not say one: the user agent up to the first slash, without what cannot
/// be printed, and cut to 128 bytes.
pub fn manager_of_user_agent(user_agent: &str) -> String {
    let mut name = String::new();
    let product = user_agent.split('/').next().unwrap_or_default();
    for c in product.chars().filter(|c| crate::value::is_printable(*c)) {
        if name.len() + c.len_utf8() > MAX_MANAGER_NAME {
            break;
        }
        name.push(c);
    }
    name
}

/// What nobody owns: the server decides it, or it says which object this is.
static UNOWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    const METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let top = ["apiVersion", "kind", "metadata"].map(|name| Path::fields(&[name]));
    top.into_iter()
        .chain(METADATA.map(|name| Path::fields(&["metadata", name])))
        .collect()
});

/// The part of an object's metadata that is the bookkeeping of this crate.
const MANAGED_FIELDS: &str = "managedFields";

fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.as_object()
}

fn managed_fields(object: &Value) -> Option<&Value> {
    metadata(object)?.get(MANAGED_FIELDS)
}

fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove(MANAGED_FIELDS)
}

/// A copy of the object without its entries, which are much of it.
fn without_managed_fields(object: &Value) -> Value {
    let copy = |map: &Map<String, Value>, leave: &str| -> Map<String, Value> {
        map.iter()
            .filter(|(key, _)| *key != leave)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let (Value::Object(map), Some(metadata)) = (object, metadata(object)) else {
        return object.clone();
    };
    let mut bare = copy(map, "metadata");
    bare.insert("metadata".to_owned(), Value::Object(copy(metadata, MANAGED_FIELDS)));
    Value::Object(bare)
}

/// Puts entries into an object, or takes them away when there are none. An object that is no map is left alone: it
/// does not get past validation.
fn set_managed_fields(object: &mut Value, entries: Option<Value>) {
    let Some(entries) = entries else {
        take_managed_fields(object);
        return;
    };
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert(MANAGED_FIELDS.to_owned(), entries);
    }
}
