//! A write that brings a whole object: whoever wrote it owns what differs from before.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::entries::{Entry, Managed, ManagerId, Operation, is_reset, seconds};
use super::ownership::{Change, TrackError};
use super::{Endpoint, Force, Writer, managed_fields, metadata, set_managed_fields, take_managed_fields};
use crate::fieldpath::FieldSet;

/// How many managers with updates an object keeps; the oldest beyond that become one.
const MAX_UPDATE_MANAGERS: usize = 10;
/// How many entries a client may bring. Nobody has as many, and each is looked at for every field that changes.
const MAX_GIVEN_ENTRIES: usize = 500;
const OLD_UPDATES: &str = "ancient-changes";

/// Why a write could not be followed. The object then has the entries that it had before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to update ManagedFields: {0}")]
pub struct UpdateError(String);

impl Endpoint<'_> {
    /// Keeps the entries of an object through a create, a replace, or a patch that is not an apply.
    ///
    /// `live` is the object as it is stored, or nothing for a create; `new` is what will be stored, defaulted and with
    /// everything set that the server decides. Both are in the endpoint's version. Only `metadata.managedFields` of
    /// `new` is changed: what it brings there counts when it can be read, or resets all when it is empty; otherwise,
    /// and always on a subresource, the live object's entries go on.
    ///
    /// Never stops a write. An error says why ownership could not be followed, which is a fault of the schema or of a
    /// conversion, to be logged.
    pub fn update(&self, live: Option<&Value>, new: &mut Value, writer: &Writer<'_>) -> Result<(), UpdateError> {
        let given = take_managed_fields(new);
        match self.track(live, new, given, writer) {
            Ok(managed) => {
                set_managed_fields(new, managed.encode());
                if let Some(live) = live {
                    keep_unchanged_times(live, new);
                }
                Ok(())
            }
            Err(error) => {
                set_managed_fields(new, live.and_then(managed_fields).cloned());
                Err(UpdateError(error.to_string()))
            }
        }
    }

    fn track(
        &self,
        live: Option<&Value>,
        new: &Value,
        given: Option<Value>,
        writer: &Writer<'_>,
    ) -> Result<Managed, TrackError> {
        let mut managed = self.starting_point(live, given);
        let is_create = live
            .and_then(metadata)
            .and_then(|m| m.get("uid"))
            .is_none_or(|uid| uid == "");
        if managed.is_empty() && !is_create {
            // Nobody tracks this object: it was reset, or comes from elsewhere. The first apply starts anew.
            return Ok(managed);
        }
        let empty = self.empty_object();
        self.record(live.unwrap_or(&empty), new, &mut managed, writer)?;
        Ok(managed)
    }

    fn starting_point(&self, live: Option<&Value>, given: Option<Value>) -> Managed {
        let of_live = || {
            let entries = live.and_then(managed_fields).cloned().unwrap_or_default();
            Managed::decode(entries).unwrap_or_default()
        };
        let length = |entries: Option<&Value>| entries.and_then(Value::as_array).map_or(0, Vec::len);
        let most = length(live.and_then(managed_fields)).max(MAX_GIVEN_ENTRIES);
        match given {
            Some(given) if self.subresource.is_empty() && length(Some(&given)) <= most => {
                if is_reset(&given) {
                    return Managed::default();
                }
                match Managed::decode(given) {
                    Ok(managed) if !managed.is_empty() => managed,
                    _ => of_live(),
                }
            }
            _ => of_live(),
        }
    }

    pub(super) fn empty_object(&self) -> Value {
        let mut object = Map::new();
        object.insert("apiVersion".to_owned(), self.api_version.into());
        object.insert("kind".to_owned(), self.kind.into());
        Value::Object(object)
    }

    /// Gives what changed to the writer, and takes it from everybody else.
    pub(super) fn record(
        &self,
        old: &Value,
        new: &Value,
        managed: &mut Managed,
        writer: &Writer<'_>,
    ) -> Result<(), TrackError> {
        managed.reconcile(self.versions);
        let mut change = Change::new(self, old, new)?;
        let id = ManagerId::new(writer.manager, Operation::Update, self.api_version, self.subresource);
        // With force there are no conflicts.
        let _ = change.settle(managed, Some(&id), Force::Yes)?;
        if let Some(seen) = change.own() {
            // What the writer had of the change it would lose and gain again, so it only loses what was removed.
            let gained = seen.set.difference(&super::UNOWNED);
            let entry = managed.entries.entry(id);
            if gained.is_empty() {
                entry.and_modify(|entry| entry.take(&seen.removed));
            } else {
                let entry = entry.or_insert_with(|| Entry::new(self.api_version, None, FieldSet::new()));
                entry.take(&seen.removed);
                entry.give(&gained);
                entry.time = Some(writer.now);
            }
        }
        managed.drop_empty();
        cap(managed);
        Ok(())
    }
}

/// Joins the oldest updates into one manager per version, until few enough are left.
fn cap(managed: &mut Managed) {
    let mut updates: Vec<(i64, ManagerId)> = managed
        .entries
        .iter()
        .filter(|(id, _)| id.operation == Operation::Update)
        .map(|(id, entry)| (seconds(entry), id.clone()))
        .collect();
    let mut left = updates.len();
    if left <= MAX_UPDATE_MANAGERS {
        return;
    }
    updates.sort();
    let mut first_of_version: BTreeMap<String, ManagerId> = BTreeMap::new();
    for (_, id) in updates {
        if left <= MAX_UPDATE_MANAGERS {
            break;
        }
        let version = id.api_version.clone().unwrap_or_default();
        match first_of_version.get(&version) {
            None => {
                first_of_version.insert(version, id);
            }
            Some(first) => {
                let bucket = ManagerId::new(OLD_UPDATES, Operation::Update, &version, "");
                left -= join(managed, first, &id, bucket);
            }
        }
    }
}

/// Joins an entry with the bucket; without one yet, the version's first entry becomes it. Says how many entries fewer
/// there are.
fn join(managed: &mut Managed, first: &ManagerId, id: &ManagerId, bucket: ManagerId) -> usize {
    let before = managed.entries.len();
    let Some(mut entry) = managed.entries.remove(id) else {
        return 0;
    };
    let other = match managed.entries.contains_key(&bucket) {
        true => managed.entries.remove(&bucket),
        false => managed.entries.remove(first),
    };
    let set = match other {
        Some(mut other) => entry.set().union(other.set()),
        None => entry.set().clone(),
    };
    managed
        .entries
        .insert(bucket, Entry::new(&entry.api_version, entry.time, set));
    before - managed.entries.len()
}

/// Puts the times of the entries back to what they were, when they are all that a write would change. So a write that
/// changes nothing stores nothing.
///
/// Both kinds of write do this at their end. To be called once more when the object is changed after that, by defaults
/// or by admission.
pub fn keep_unchanged_times(live: &Value, new: &mut Value) {
    let (Some(Value::Array(old)), Some(Value::Array(now))) = (managed_fields(live), managed_fields(new)) else {
        return;
    };
    let same_entry = |(a, b): (&Value, &Value)| match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) => same_but(a, b, &["time"]),
        _ => false,
    };
    let moved = old.iter().zip(now).any(|(a, b)| a.get("time") != b.get("time"));
    if old.len() != now.len() || !moved || !old.iter().zip(now).all(same_entry) {
        return;
    }
    let (Some(a), Some(b)) = (live.as_object(), new.as_object()) else {
        return;
    };
    let (Some(a_metadata), Some(b_metadata)) = (metadata(live), metadata(new)) else {
        return;
    };
    let server_decides = [super::MANAGED_FIELDS, "resourceVersion"];
    if same_but(a, b, &["metadata"]) && same_but(a_metadata, b_metadata, &server_decides) {
        let old = Value::Array(old.clone());
        set_managed_fields(new, Some(old));
    }
}

fn same_but(a: &Map<String, Value>, b: &Map<String, Value>, ignored: &[&str]) -> bool {
    let counted = |map: &Map<String, Value>| map.keys().filter(|key| !ignored.contains(&key.as_str())).count();
    let same = |(key, value): (&String, &Value)| ignored.contains(&key.as_str()) || b.get(key) == Some(value);
    counted(a) == counted(b) && a.iter().all(same)
}
