//! Server-side apply: the object becomes the live one with the applied configuration laid over it and without what its
//! manager applied before and does not apply now.

use serde_json::{Map, Value};

use super::conflict::Conflicts;
use super::entries::{Entry, Managed, ManagedFieldsError, ManagerId, Operation};
use super::ownership::{Change, TrackError};
use super::{
    Endpoint, Writer, keep_unchanged_times, last_applied, managed_fields, set_managed_fields, without_managed_fields,
};
use crate::fieldpath::{FieldSet, PathElement};
use crate::typed::{self, FieldErrors};
use crate::value;

/// The manager of everything that an object had before its first apply, when nobody tracked it.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Whether fields of others are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Fields that others own are conflicts.
    No,
    /// They are taken from the others.
    Yes,
}

/// What an apply makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object, in the endpoint's version, with its `metadata.managedFields`; not defaulted.
    pub object: Value,
    /// Whether it differs from the live object.
    pub outcome: Outcome,
}

/// Whether there is something to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object is as it was, up to defaults it did not have yet.
    Unchanged,
    /// Its fields or their owners changed.
    Changed,
}

/// Why a configuration was not applied. The text of each is the message of the Status that upstream answers with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The configuration is of another kind or version than the endpoint: 400.
    #[error("invalid object type: {0}")]
    WrongType(String),
    /// The configuration has managed fields: 400.
    #[error("metadata.managedFields must be nil")]
    ManagedFields,
    /// Others own what would change: 409.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// The configuration does not fit the schema, or names an item twice. Upstream answers 500.
    #[error("failed to create typed patch object ({object}): {errors}")]
    Config {
        /// The object, as messages name it.
        object: String,
        /// What is wrong.
        errors: FieldErrors,
    },
    /// The live object does not fit the schema: 500.
    #[error("failed to merge config: {0}")]
    Live(FieldErrors),
    /// The live object's managed fields cannot be read: 500.
    #[error("failed to decode managed fields: {0}")]
    LiveManagedFields(ManagedFieldsError),
    /// The owners cannot be followed, by a fault of the schema or of a conversion: 500.
    #[error("{0}")]
    Untracked(String),
}

impl From<TrackError> for ApplyError {
    fn from(error: TrackError) -> Self {
        Self::Untracked(error.to_string())
    }
}

/// One apply on its way.
struct Apply<'a> {
    endpoint: &'a Endpoint<'a>,
    /// Without its managed fields.
    live: &'a Value,
    config: &'a Value,
    id: ManagerId,
    writer: &'a Writer<'a>,
}

impl Endpoint<'_> {
    /// Applies a configuration.
    ///
    /// `live` is the object as it is stored, in the endpoint's version, or nothing when there is none; then the
    /// configuration becomes an object. What the endpoint resets is taken from the live object, whatever is applied.
    ///
    /// When the outcome is [`Outcome::Unchanged`] nothing needs to be written. Defaults come after this, and may turn
    /// the object back into the live one: call [`keep_unchanged_times`] again before comparing.
    pub fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        writer: &Writer<'_>,
        force: Force,
    ) -> Result<Applied, ApplyError> {
        self.check_type(config)?;
        if managed_fields(config).is_some_and(|entries| !entries.is_null()) {
            return Err(ApplyError::ManagedFields);
        }
        let entries = live.and_then(managed_fields).cloned().unwrap_or_default();
        let mut managed = Managed::decode(entries).map_err(ApplyError::LiveManagedFields)?;
        let bare = live.map_or_else(|| self.empty_object(), without_managed_fields);
        if managed.is_empty() {
            let before = Writer {
                manager: BEFORE_FIRST_APPLY,
                now: writer.now,
            };
            self.record(&self.empty_object(), &bare, &mut managed, &before)?;
        }
        let id = ManagerId::new(writer.manager, Operation::Apply, self.api_version, self.subresource);
        let apply = Apply {
            endpoint: self,
            live: &bare,
            config,
            id,
            writer,
        };
        apply.check_config()?;
        let (mut object, managed) = apply.run_for_kubectl(managed, force)?;
        last_applied::keep_up_to_date(&mut object, config, writer.manager);
        set_managed_fields(&mut object, managed.encode());
        if let Some(live) = live {
            keep_unchanged_times(live, &mut object);
        }
        let outcome = if live == Some(&object) {
            Outcome::Unchanged
        } else {
            Outcome::Changed
        };
        Ok(Applied { object, outcome })
    }

    fn check_type(&self, config: &Value) -> Result<(), ApplyError> {
        let says = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
        if says("apiVersion") == self.api_version && says("kind") == self.kind {
            return Ok(());
        }
        Err(ApplyError::WrongType(kind_text(says("apiVersion"), says("kind"))))
    }
}

/// The kind as messages name it: `apps/v1, Kind=Deployment`, and `/v1, Kind=ConfigMap` without a group.
fn kind_text(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

fn object_text(object: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_metadata = |name| text(object.get("metadata").and_then(|metadata| metadata.get(name)));
    let kind = kind_text(&text(object.get("apiVersion")), &text(object.get("kind")));
    format!("{}/{}; {kind}", of_metadata("namespace"), of_metadata("name"))
}

impl Apply<'_> {
    fn schema(&self) -> Result<&crate::Schema, ApplyError> {
        let version = self.endpoint.api_version;
        let missing = || TrackError::NoSchema(version.to_owned());
        Ok(self.endpoint.versions.schema(version).ok_or_else(missing)?)
    }

    fn check_config(&self) -> Result<(), ApplyError> {
        typed::validate(self.schema()?.root(), self.config).map_err(|errors| self.misfit(errors))
    }

    fn misfit(&self, errors: FieldErrors) -> ApplyError {
        ApplyError::Config {
            object: object_text(self.config),
            errors,
        }
    }

    /// Conflicts of kubectl with itself, from the time when it applied on its own side, are none.
    fn run_for_kubectl(&self, managed: Managed, force: Force) -> Result<(Value, Managed), ApplyError> {
        if self.writer.manager != last_applied::MANAGER || force == Force::Yes {
            return self.run(managed, force);
        }
        let conflicts = match self.run(managed.clone(), force) {
            Err(ApplyError::Conflicts(conflicts)) => conflicts,
            other => return other,
        };
        let Some(allowed) = last_applied::owned_fields(self.live, self.schema()?, self.endpoint.api_version) else {
            return Err(ApplyError::Conflicts(conflicts));
        };
        match conflicts.without(&allowed) {
            Some(left) => Err(ApplyError::Conflicts(left)),
            None => self.run(managed, Force::Yes),
        }
    }

    fn run(&self, mut managed: Managed, force: Force) -> Result<(Value, Managed), ApplyError> {
        managed.reconcile(self.endpoint.versions);
        let ty = self.schema()?.root();
        let merged = typed::merge(ty, self.live, self.config).map_err(ApplyError::Live)?;
        let set = typed::to_field_set(ty, self.config).map_err(|errors| self.misfit(errors))?;
        let set = set.recursive_difference(self.endpoint.reset_fields);

        let last = managed.entries.remove(&self.id);
        let time = last.as_ref().and_then(|last| last.time);
        managed
            .entries
            .insert(self.id.clone(), Entry::new(self.endpoint.api_version, time, set));
        let mut object = match last {
            Some(mut last) => self.endpoint.prune(&merged, &mut managed, &self.id, &mut last)?,
            None => merged,
        };
        restore(&mut object, Some(self.live), self.endpoint.reset_fields);

        let mut change = Change::new(self.endpoint, self.live, &object)?;
        change
            .settle(&mut managed, Some(&self.id), force)?
            .map_err(ApplyError::Conflicts)?;
        managed.strip(&self.id);
        if value::equal(self.live, &object) {
            object = self.live.clone();
        } else if let Some(entry) = managed.entries.get_mut(&self.id) {
            entry.time = Some(self.writer.now);
        }
        Ok((object, managed))
    }
}

/// Takes fields from the live object: those that the endpoint does not change.
fn restore(object: &mut Value, live: Option<&Value>, fields: &FieldSet) {
    let Some(map) = object.as_object_mut() else { return };
    for node in fields.nodes() {
        let PathElement::Field(name) = &node.element else {
            continue;
        };
        let live = live.and_then(|live| live.get(name.as_ref()));
        match (node.member, &node.below, live) {
            (true, _, Some(live)) => {
                map.insert(name.to_string(), live.clone());
            }
            (true, _, None) => {
                map.remove(name.as_ref());
            }
            (false, Some(below), live) => restore_below(map, name, live, below),
            (false, None, _) => {}
        }
    }
}

fn restore_below(map: &mut Map<String, Value>, name: &str, live: Option<&Value>, below: &FieldSet) {
    if let Some(child) = map.get_mut(name) {
        restore(child, live, below);
    } else if let Some(live) = live {
        // Nothing was applied here; what the live object has of it stays as a whole.
        map.insert(name.to_owned(), live.clone());
    }
}
