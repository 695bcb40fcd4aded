//! What goes away because it is applied no longer: what the manager applied last time, does not apply now, and nobody
//! else owns. What nobody ever owned stays.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::Endpoint;
use super::entries::{Entry, Managed, ManagerId};
use super::ownership::TrackError;
use crate::fieldpath::FieldSet;
use crate::schema::TypeRef;
use crate::typed::{ensure_named_fields, remove_items, remove_items_for_good, to_field_set};

/// An object and the version it is in.
#[derive(Clone)]
struct Versioned<'a> {
    object: Cow<'a, Value>,
    version: String,
}

impl Endpoint<'_> {
    /// The merged object without what the manager gave up. `last` is what it applied before; its new entry is already
    /// in `managed`.
    pub(super) fn prune(
        &self,
        merged: &Value,
        managed: &mut Managed,
        id: &ManagerId,
        last: &mut Entry,
    ) -> Result<Value, TrackError> {
        if self.gave_up_nothing(managed, id, last) {
            return Ok(merged.clone());
        }
        let merged_here = Versioned {
            object: Cow::Borrowed(merged),
            version: self.api_version.to_owned(),
        };
        let version = last.api_version.clone();
        let Some(at_last) = self.moved(&merged_here, &version)? else {
            return Ok(merged.clone());
        };
        let Some(schema) = self.versions.schema(&version) else {
            return Ok(merged.clone());
        };
        let last = ensure_named_fields(schema.root(), last.set());

        let pruned = Versioned {
            object: Cow::Owned(remove_items(schema.root(), &at_last.object, &last)),
            version: version.clone(),
        };
        let pruned = self.add_back_owned(&at_last, pruned, managed)?;
        let pruned = match self.moved(&pruned, &version)? {
            Some(pruned) => keep_unowned(schema.root(), &at_last.object, &pruned.object, &last)?,
            None => return Ok(merged.clone()),
        };
        let pruned = Versioned {
            object: Cow::Owned(pruned),
            version,
        };
        let back = self.moved(&pruned, self.api_version)?;
        Ok(back.map_or_else(|| merged.clone(), |back| back.object.into_owned()))
    }

    /// Whether all that was applied before is applied again; then nothing can go.
    fn gave_up_nothing(&self, managed: &mut Managed, id: &ManagerId, last: &mut Entry) -> bool {
        let version = last.api_version == self.api_version;
        let now = managed.entries.get_mut(id).filter(|_| version);
        last.set().is_empty() || now.is_some_and(|now| last.set().difference(now.set()).is_empty())
    }

    fn moved<'o>(&self, object: &Versioned<'o>, version: &str) -> Result<Option<Versioned<'o>>, TrackError> {
        if object.version == version {
            return Ok(Some(object.clone()));
        }
        let converted = self.convert(&object.object, version)?;
        Ok(converted.map(|object| Versioned {
            object: Cow::Owned(object),
            version: version.to_owned(),
        }))
    }

    /// Puts back what any manager owns, the one that applies included.
    fn add_back_owned<'o>(
        &self,
        merged: &Versioned<'o>,
        pruned: Versioned<'o>,
        managed: &mut Managed,
    ) -> Result<Versioned<'o>, TrackError> {
        let mut owned: BTreeMap<String, FieldSet> = BTreeMap::new();
        for entry in managed.entries.values_mut() {
            let version = entry.api_version.clone();
            let of_version = owned.entry(version).or_default();
            *of_version = of_version.union(entry.set());
        }
        let first = owned.remove(&pruned.version).map(|set| (pruned.version.clone(), set));
        // The version at hand first: another one may not convert without what was taken away.
        let (mut merged, mut pruned) = (merged.clone(), pruned);
        for (version, owned) in first.into_iter().chain(owned) {
            let Some(schema) = self.versions.schema(&version) else {
                continue;
            };
            let (Some(whole), Some(part)) = (self.moved(&merged, &version)?, self.moved(&pruned, &version)?) else {
                continue;
            };
            let kept = ensure_named_fields(schema.root(), &owned);
            let removed = difference(schema.root(), &whole.object, &part.object)?.difference(&kept);
            pruned = Versioned {
                object: Cow::Owned(remove_items(schema.root(), &whole.object, &removed)),
                version: version.clone(),
            };
            merged = whole;
        }
        Ok(pruned)
    }
}

/// What the first object sets and the second does not, with the declared fields on the way.
fn difference(ty: TypeRef<'_>, whole: &Value, part: &Value) -> Result<FieldSet, TrackError> {
    let fields = |object| -> Result<FieldSet, TrackError> {
        let set = to_field_set(ty, object).map_err(TrackError::Compare)?;
        Ok(ensure_named_fields(ty, &set))
    };
    Ok(fields(whole)?.difference(&fields(part)?))
}

/// Puts back what the manager did not own itself: only what it applied before can go.
fn keep_unowned(ty: TypeRef<'_>, merged: &Value, pruned: &Value, last: &FieldSet) -> Result<Value, TrackError> {
    let gone = difference(ty, merged, pruned)?.intersection(last);
    Ok(remove_items_for_good(ty, merged, &gone))
}
