//! `metadata.managedFields`: one entry for each manager, with the fields it owns.
//!
//! A manager is told apart by its name, its operation, its subresource, and for updates by the API version. The fields
//! stay as they were read until someone changes them: most writes touch few managers.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{UNOWNED, Versions};
use crate::fieldpath::{FieldSet, FieldsError, Survey, has_all, may_touch, survey};
use crate::schema::Schema;
use crate::typed;

/// How a manager came by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells managers apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagerId {
    pub(super) manager: String,
    pub(super) operation: Operation,
    /// For updates alone: an applier keeps its entry when it moves to another version.
    pub(super) api_version: Option<String>,
    pub(super) subresource: String,
}

impl ManagerId {
    pub(super) fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        Self {
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            operation,
            api_version: (operation == Operation::Update).then(|| api_version.to_owned()),
            subresource: subresource.to_owned(),
        }
    }
}

/// What one manager owns.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) api_version: String,
    pub(super) time: Option<Timestamp>,
    owned: Owned,
}

#[derive(Clone, Debug)]
enum Owned {
    /// As it was read; known to be readable.
    Encoded(Value),
    Decoded(FieldSet),
}

impl Entry {
    pub(super) fn new(api_version: &str, time: Option<Timestamp>, set: FieldSet) -> Self {
        Self {
            api_version: api_version.to_owned(),
            time,
            owned: Owned::Decoded(set),
        }
    }

    /// The fields.
    pub(super) fn set(&mut self) -> &mut FieldSet {
        if let Owned::Encoded(fields) = &self.owned {
            let set = FieldSet::from_fields_v1(fields).expect("entries that cannot be read are refused when they come");
            self.owned = Owned::Decoded(set);
        }
        match &mut self.owned {
            Owned::Decoded(set) => set,
            Owned::Encoded(_) => unreachable!("decoded above"),
        }
    }

    /// Whether the manager may own one of the fields. Cheap, and says yes when in doubt.
    pub(super) fn may_own(&self, fields: &FieldSet) -> bool {
        match &self.owned {
            Owned::Encoded(encoded) => may_touch(encoded, fields),
            Owned::Decoded(_) => !fields.is_empty(),
        }
    }

    /// Takes fields from the manager.
    pub(super) fn take(&mut self, fields: &FieldSet) {
        if self.may_own(fields) {
            let left = self.set().difference(fields);
            *self.set() = left;
        }
    }

    /// Gives fields to the manager.
    pub(super) fn give(&mut self, fields: &FieldSet) {
        if let Owned::Encoded(encoded) = &self.owned
            && has_all(encoded, fields)
        {
            return;
        }
        let joined = self.set().union(fields);
        *self.set() = joined;
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.owned {
            Owned::Encoded(fields) => fields.as_object().is_none_or(Map::is_empty),
            Owned::Decoded(set) => set.is_empty(),
        }
    }

    /// Brings the fields up to date with what the schema has become.
    fn reconcile(&mut self, schema: &Schema) {
        if let Owned::Encoded(fields) = &self.owned
            && survey(fields, Some(schema.root())) == Ok(Survey::Fits)
        {
            return;
        }
        if let Some(set) = typed::reconcile(schema.root(), self.set()) {
            self.owned = Owned::Decoded(set);
        }
    }

    fn encoded(self) -> Value {
        match self.owned {
            Owned::Encoded(fields) => fields,
            Owned::Decoded(set) => set.to_fields_v1(),
        }
    }
}

/// All managers of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managed {
    pub(super) entries: BTreeMap<ManagerId, Entry>,
}

/// Why `metadata.managedFields` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManagedFieldsError {
    /// It is no list of objects.
    #[error("managedFields must be a list of objects")]
    Shape,
    /// A field of an entry has a value of the wrong kind.
    #[error("invalid {0} in managed fields entry")]
    Field(&'static str),
    /// The operation is neither of the two.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// An entry does not say which version its fields are of.
    #[error("apiVersion must not be empty")]
    ApiVersion,
    /// An entry does not say how its fields are written.
    #[error("missing fieldsType in managed fields entry {0}")]
    MissingFieldsType(usize),
    /// An entry has its fields written in a way that is not known.
    #[error("invalid fieldsType {found:?} in managed fields entry {at}")]
    FieldsType {
        /// What it says.
        found: String,
        /// The place of the entry.
        at: usize,
    },
    /// The fields of an entry cannot be read.
    #[error("error decoding set: {0}")]
    Fields(FieldsError),
}

/// Checks that a `metadata.managedFields` can be read. After a mutating admission plugin has been at it, an unreadable
/// one is put back to what it was, with a warning that carries this error's text.
pub fn validate_managed_fields(entries: &Value) -> Result<(), ManagedFieldsError> {
    Managed::decode(entries.clone()).map(|_| ())
}

/// Whether a list says that tracking starts anew: it is empty, or holds one entry that says nothing.
pub(super) fn is_reset(entries: &Value) -> bool {
    let says_nothing = |value: &Value| value.is_null() || value == "";
    match entries.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.values().all(says_nothing),
        _ => false,
    }
}

impl Managed {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads `metadata.managedFields`. Of two entries of one manager the later counts.
    pub(super) fn decode(entries: Value) -> Result<Self, ManagedFieldsError> {
        let list = match entries {
            Value::Array(list) => list,
            Value::Null => Vec::new(),
            _ => return Err(ManagedFieldsError::Shape),
        };
        let decoded = list.into_iter().enumerate().map(|(at, entry)| decode_entry(at, entry));
        Ok(Self {
            entries: decoded.collect::<Result<_, _>>()?,
        })
    }

    /// Writes `metadata.managedFields`; nothing when nobody owns anything.
    pub(super) fn encode(self) -> Option<Value> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        entries.sort_by(in_stored_order);
        let encoded: Vec<_> = entries.into_iter().map(|(id, entry)| encode_entry(id, entry)).collect();
        (!encoded.is_empty()).then_some(Value::Array(encoded))
    }

    /// Brings all entries up to date with the schemas, and drops those of versions that are gone.
    pub(super) fn reconcile(&mut self, versions: &dyn Versions) {
        self.entries
            .retain(|_, entry| match versions.schema(&entry.api_version) {
                Some(schema) => {
                    entry.reconcile(schema);
                    true
                }
                None => false,
            });
    }

    /// Takes from an entry what nobody may own, and the entry with it when nothing is left.
    pub(super) fn strip(&mut self, id: &ManagerId) {
        if let Some(entry) = self.entries.get_mut(id) {
            let left = entry.set().difference(&UNOWNED);
            *entry.set() = left;
        }
        self.drop_empty();
    }

    pub(super) fn drop_empty(&mut self) {
        self.entries.retain(|_, entry| !entry.is_empty());
    }
}

fn decode_entry(at: usize, entry: Value) -> Result<(ManagerId, Entry), ManagedFieldsError> {
    let Value::Object(mut map) = entry else {
        return Err(ManagedFieldsError::Shape);
    };
    let mut text = |name: &'static str| match map.remove(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ManagedFieldsError::Field(name)),
    };
    let operation = match text("operation")?.as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err(ManagedFieldsError::Operation),
    };
    let api_version = text("apiVersion")?;
    if api_version.is_empty() {
        return Err(ManagedFieldsError::ApiVersion);
    }
    match text("fieldsType")? {
        found if found == "FieldsV1" => {}
        found if found.is_empty() => return Err(ManagedFieldsError::MissingFieldsType(at)),
        found => return Err(ManagedFieldsError::FieldsType { found, at }),
    }
    let time = match text("time")? {
        time if time.is_empty() => None,
        time => Some(time.parse().map_err(|_| ManagedFieldsError::Field("time"))?),
    };
    let id = ManagerId {
        manager: text("manager")?,
        operation,
        api_version: (operation == Operation::Update).then(|| api_version.clone()),
        subresource: text("subresource")?,
    };
    let fields = map.remove("fieldsV1").unwrap_or_else(|| json!({}));
    survey(&fields, None).map_err(ManagedFieldsError::Fields)?;
    Ok((
        id,
        Entry {
            api_version,
            time,
            owned: Owned::Encoded(fields),
        },
    ))
}

/// The time of an entry in whole seconds, as it is stored and compared.
pub(super) fn seconds(entry: &Entry) -> i64 {
    entry.time.map_or(0, Timestamp::as_second)
}

fn in_stored_order((a_id, a): &(ManagerId, Entry), (b_id, b): &(ManagerId, Entry)) -> Ordering {
    let by_operation = a_id.operation.cmp(&b_id.operation);
    by_operation
        .then_with(|| seconds(a).cmp(&seconds(b)))
        .then_with(|| a_id.manager.cmp(&b_id.manager))
        .then_with(|| a.api_version.cmp(&b.api_version))
        .then_with(|| a_id.subresource.cmp(&b_id.subresource))
}

fn encode_entry(id: ManagerId, entry: Entry) -> Value {
    let mut map = Map::new();
    map.insert("apiVersion".to_owned(), entry.api_version.as_str().into());
    map.insert("fieldsType".to_owned(), "FieldsV1".into());
    if !id.manager.is_empty() {
        map.insert("manager".to_owned(), id.manager.into());
    }
    map.insert("operation".to_owned(), id.operation.word().into());
    if !id.subresource.is_empty() {
        map.insert("subresource".to_owned(), id.subresource.into());
    }
    if let Some(time) = entry.time {
        map.insert(
            "time".to_owned(),
            time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
        );
    }
    map.insert("fieldsV1".to_owned(), entry.encoded());
    Value::Object(map)
}
