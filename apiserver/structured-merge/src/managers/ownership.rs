//! What a change of an object takes from its managers.
//!
//! Whoever owns a field that was changed or added loses it to the one who did that; for an apply that does not force,
//! it is a conflict instead. A field that was removed is nobody's any more. Each manager's fields are looked at in the
//! version they were written in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::conflict::{Conflict, Conflicts};
use super::entries::{Managed, ManagerId};
use super::{ConversionError, Endpoint, Force};
use crate::fieldpath::{FieldSet, Path};
use crate::typed::{self, Comparison, FieldErrors};

/// Why a change cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TrackError {
    #[error("failed to compare objects: {0}")]
    Compare(FieldErrors),
    #[error("failed to convert object to version {version}: {why}")]
    Convert { version: String, why: String },
    #[error("no schema for version {0}")]
    NoSchema(String),
}

/// A change from one object to another, as seen in each version.
pub(super) struct Change<'a> {
    endpoint: &'a Endpoint<'a>,
    old: &'a Value,
    new: &'a Value,
    /// Nothing for a version that is gone.
    seen: BTreeMap<String, Option<Seen>>,
}

#[derive(Clone)]
pub(super) struct Seen {
    pub(super) set: FieldSet,
    pub(super) removed: FieldSet,
}

impl<'a> Change<'a> {
    pub(super) fn new(endpoint: &'a Endpoint<'a>, old: &'a Value, new: &'a Value) -> Result<Self, TrackError> {
        let version = endpoint.api_version;
        let schema = endpoint
            .versions
            .schema(version)
            .ok_or_else(|| TrackError::NoSchema(version.to_owned()))?;
        let comparison = typed::compare(schema.root(), old, new).map_err(TrackError::Compare)?;
        let mut change = Self {
            endpoint,
            old,
            new,
            seen: BTreeMap::new(),
        };
        change
            .seen
            .insert(version.to_owned(), Some(change.relevant(comparison)));
        Ok(change)
    }

    fn relevant(&self, comparison: Comparison) -> Seen {
        // The bookkeeping was taken out of the new object only; that is no change.
        let bookkeeping: FieldSet = [Path::fields(&["metadata", super::MANAGED_FIELDS])]
            .into_iter()
            .collect();
        let mut comparison = comparison.without(self.endpoint.reset_fields);
        if !comparison.removed.is_empty() {
            comparison.removed = comparison.removed.difference(&bookkeeping);
        }
        if comparison.is_empty() {
            return Seen {
                set: FieldSet::new(),
                removed: FieldSet::new(),
            };
        }
        Seen {
            set: comparison.set(),
            removed: comparison.removed,
        }
    }

    /// The change as the endpoint's own version shows it.
    pub(super) fn own(&self) -> Option<&Seen> {
        self.seen.get(self.endpoint.api_version)?.as_ref()
    }

    fn at(&mut self, version: &str) -> Result<Option<&Seen>, TrackError> {
        if !self.seen.contains_key(version) {
            let seen = self.compare_at(version)?;
            self.seen.insert(version.to_owned(), seen);
        }
        Ok(self.seen.get(version).and_then(Option::as_ref))
    }

    fn compare_at(&self, version: &str) -> Result<Option<Seen>, TrackError> {
        let Some(schema) = self.endpoint.versions.schema(version) else {
            return Ok(None);
        };
        // Both are asked for before either is looked at: conversions that are still to be had are then known together.
        let old = self.endpoint.in_version(self.old, version);
        let new = self.endpoint.in_version(self.new, version);
        let (Some(old), Some(new)) = (old?, new?) else {
            return Ok(None);
        };
        let comparison = typed::compare(schema.root(), &old, &new).map_err(TrackError::Compare)?;
        Ok(Some(self.relevant(comparison)))
    }

    /// Takes what changed from all managers but the one who changed it. Without force, nothing is taken when there are
    /// conflicts; they are returned.
    pub(super) fn settle(
        &mut self,
        managed: &mut Managed,
        own: Option<&ManagerId>,
        force: Force,
    ) -> Result<Result<(), Conflicts>, TrackError> {
        let mut conflicts = Vec::new();
        let mut gone = Vec::new();
        for (id, entry) in managed.entries.iter_mut().filter(|(id, _)| Some(*id) != own) {
            let Some(seen) = self.at(&entry.api_version)? else {
                gone.push(id.clone());
                continue;
            };
            if force == Force::No && entry.may_own(&seen.set) {
                let contested = entry.set().intersection(&seen.set);
                conflicts.extend(contested.paths().into_iter().map(|path| Conflict::new(id, path)));
            }
        }
        gone.iter().for_each(|id| {
            managed.entries.remove(id);
        });
        if !conflicts.is_empty() {
            return Ok(Err(Conflicts(conflicts)));
        }
        for (_, entry) in managed.entries.iter_mut().filter(|(id, _)| Some(*id) != own) {
            if let Some(seen) = self.at(&entry.api_version)? {
                entry.take(&seen.set);
                entry.take(&seen.removed);
            }
        }
        managed.drop_empty();
        Ok(Ok(()))
    }
}

impl Endpoint<'_> {
    /// An object of this endpoint in another version; nothing when there is no such version.
    pub(super) fn in_version(&self, object: &Value, version: &str) -> Result<Option<Value>, TrackError> {
        if version == self.api_version {
            return Ok(Some(object.clone()));
        }
        self.convert(object, version)
    }

    pub(super) fn convert(&self, object: &Value, version: &str) -> Result<Option<Value>, TrackError> {
        if self.versions.schema(version).is_none() {
            return Ok(None);
        }
        match self.versions.convert(object, version) {
            Ok(object) => Ok(Some(object)),
            Err(ConversionError::VersionGone) => Ok(None),
            Err(ConversionError::Failed(why)) => Err(TrackError::Convert {
                version: version.to_owned(),
                why,
            }),
        }
    }
}
