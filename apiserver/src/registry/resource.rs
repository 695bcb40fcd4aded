//! A resource: one row of the table from which everything is served. Kinds that came with a CustomResourceDefinition
//! and those of Kubernetes itself differ in two places only: how a body is checked ([`Body`]) and what a few of them
//! demand beyond it ([`Rules`]).

use std::sync::{Arc, OnceLock};

use crate::definitions::served::Written;
use breakbulk_schemas::field::FieldError;
use bytes::Bytes;
use serde_json::Value;

use super::conversion::Conversion;
use crate::cacher::StorageCache;
use crate::managed::MergeRules;
use crate::rules::Programs;
use crate::schema::Schema;
use crate::status::Target;
use crate::table::Columns;

/// Where the objects of a resource are kept: in the store under a prefix, and in memory. Several resources may share one
/// (Events have two API groups; a kind may have several versions).
#[derive(Debug)]
pub struct Storage {
    /// Keys begin so: `/registry/breakbulk.dev/jobs/`.
    pub prefix: String,
    /// Values begin so; see [`super::object`].
    pub header: Bytes,
    /// The version that objects are stored in, `group/version`.
    pub api_version: String,
    /// The fields that selectors may name.
    pub fields: Vec<Field>,
    /// The schemas of all versions, by `group/version`: an object may have been stored in any of them. None for kinds that
    /// have no definition.
    pub schemas: Vec<(String, Arc<Schema>)>,
    /// What else objects in memory depend on, as text: the schemas as they were written, and how versions are converted.
    pub(super) depends_on: String,
    /// The objects in memory.
    pub cache: StorageCache,
}

impl Storage {
    /// Whether objects that are in memory here would be the same there.
    pub(super) fn holds_the_same_as(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.header == other.header
            && self.fields.len() == other.fields.len()
            && self.fields.iter().zip(&other.fields).all(|(one, other)| one.is(other))
            && self.depends_on == other.depends_on
    }
}

/// A field that is kept beside an object in memory, for selectors.
#[derive(Clone, Debug)]
pub enum Field {
    /// What stands at a path, as the stored version spells it.
    Path(Vec<String>),
    /// What follows from the object.
    Computed(fn(&Value) -> String),
}

impl Field {
    /// From `spec.nodeName`.
    pub fn path(text: &str) -> Self {
        Self::Path(text.split('.').map(str::to_owned).collect())
    }

    /// Its value; empty when it is not set.
    pub fn of(&self, object: &Value) -> String {
        match self {
            Self::Computed(compute) => compute(object),
            Self::Path(path) => match path.iter().try_fold(object, |at, name| at.get(name)) {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
                _ => String::new(),
            },
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(other)) => one == other,
            // What is computed depends on the kind alone.
            (Self::Computed(_), Self::Computed(_)) => true,
            _ => false,
        }
    }
}

/// A field that a selector may name.
#[derive(Clone, Debug)]
pub struct Selectable {
    /// As the selector spells it.
    pub label: String,
    /// Its place in [`Storage::fields`].
    pub index: usize,
}

/// How a name is checked (`k8s.io/apimachinery/pkg/util/validation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// Dots allowed, 253 characters.
    Subdomain,
    /// No dots, 63 characters.
    Label,
    /// Anything that can stand in a path.
    Segment,
}

/// How a body of this kind is checked.
#[derive(Clone, Debug)]
pub enum Body {
    /// By the schema of a CustomResourceDefinition, and the kind's own rules.
    Schema(Arc<Definition>),
    /// By reading it into the Kubernetes type and writing it out again: what is unknown falls out, what has the
    /// wrong type is an error.
    Typed(fn(&Value) -> Result<Value, String>),
    /// Nothing of this kind can be written.
    Absent,
}

/// What a CustomResourceDefinition says of the bodies of one version.
#[derive(Debug)]
pub struct Definition {
    /// Its `openAPIV3Schema`, as it was written.
    pub raw: Written,
    /// The same, read.
    pub schema: Arc<Schema>,
    /// A warning for everybody who uses the version, when it is deprecated.
    pub deprecation: Option<String>,
    /// Its rules, compiled when the first object is written.
    programs: OnceLock<Programs>,
}

impl Definition {
    /// Of a version.
    pub fn new(raw: Written, schema: Arc<Schema>, deprecation: Option<String>) -> Self {
        Self {
            raw,
            schema,
            deprecation,
            programs: OnceLock::new(),
        }
    }

    /// Whether the schema has rules that nobody has needed yet.
    pub(crate) fn is_to_be_compiled(&self) -> bool {
        self.schema.ruled_nodes() > 0 && self.programs.get().is_none()
    }

    /// The compiled rules of the schema; none if it has no rules.
    pub(crate) fn programs(&self) -> Option<&Programs> {
        let compile = || Programs::of_object(&self.schema);
        (self.schema.ruled_nodes() > 0).then(|| self.programs.get_or_init(compile))
    }
}

/// What a kind demands beyond its schema.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Every mistake in `new`; `old` is there on updates.
    pub validate: fn(new: &Value, old: Option<&Value>) -> Vec<FieldError>,
    /// Fills in what the server sets; runs before the check.
    pub prepare: fn(new: &mut Value, old: Option<&Value>),
}

/// Whether and how an object has a part that is written apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// Changes of anything but metadata and status are counted in `metadata.generation`.
    #[default]
    Counted,
    /// They are not.
    None,
}

/// Whether objects may come to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepting {
    /// They may.
    #[default]
    All,
    /// The definition of their kind is being deleted.
    NothingNew,
}

/// A subresource of a row: what is reached at `…/NAME/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Which.
    pub what: Sub,
    /// The group, version and kind of what is read and written there; none: the resource's own.
    pub kind: Option<SubKind>,
    /// The verbs it takes.
    pub verbs: &'static [&'static str],
}

/// Group, version and kind of a subresource that has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubKind {
    /// `autoscaling`.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `Scale`.
    pub kind: &'static str,
}

/// The subresources there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sub {
    /// `status`.
    Status,
    /// `finalize` (namespaces).
    Finalize,
    /// `log` (what has a log).
    Log,
    /// `scale`, with the places of its fields.
    Scale(ScalePaths),
    /// `approval` and the like: served by a handler of its own, named here.
    Other(&'static str),
}

/// Where the fields of a Scale are in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// `.spec.replicas`.
    pub spec_replicas: Vec<String>,
    /// `.status.replicas`.
    pub status_replicas: Vec<String>,
    /// `.status.selector`, where there is one.
    pub selector: Option<Vec<String>>,
}

impl Sub {
    /// As it stands in a path.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Finalize => "finalize",
            Self::Log => "log",
            Self::Scale(_) => "scale",
            Self::Other(name) => name,
        }
    }
}

impl Subresource {
    /// `status`, read and written like the object.
    pub const STATUS: Self = Self {
        what: Sub::Status,
        kind: None,
        verbs: &["get", "patch", "update"],
    };
    /// `finalize` of namespaces.
    pub const FINALIZE: Self = Self {
        what: Sub::Finalize,
        kind: None,
        verbs: &["update"],
    };
    /// `log`.
    pub const LOG: Self = Self {
        what: Sub::Log,
        kind: None,
        verbs: &["get"],
    };

    /// `scale`.
    pub fn scale(paths: ScalePaths) -> Self {
        Self {
            what: Sub::Scale(paths),
            kind: Some(SubKind {
                group: "autoscaling",
                version: "v1",
                kind: "Scale",
            }),
            verbs: &["get", "patch", "update"],
        }
    }
}

/// A row of the table.
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// `Job`.
    pub kind: String,
    /// `JobList`.
    pub list_kind: String,
    /// `jobs`.
    pub plural: String,
    /// `job`.
    pub singular: String,
    /// `run` for pipelineruns.
    pub short_names: Vec<String>,
    /// `all`, `ci`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Its subresources.
    pub subresources: Vec<Subresource>,
    /// The verbs it takes.
    pub verbs: &'static [&'static str],
    /// Where it is kept.
    pub storage: Arc<Storage>,
    /// The fields that selectors may name beside `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Selectable>,
    /// How names are checked.
    pub names: NameRule,
    /// How bodies are checked.
    pub body: Body,
    /// What else is demanded.
    pub rules: Rules,
    /// Whether it counts generations.
    pub generation: Generation,
    /// Whether objects may come to be.
    pub accepting: Accepting,
    /// How stored objects become objects of this version and back; none when they are stored in it.
    pub conversion: Option<Conversion>,
    /// How server-side apply merges its objects.
    pub merge: Arc<MergeRules>,
    /// The columns of its tables.
    pub columns: Arc<Columns>,
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.plural, self.api_version())
    }
}

impl Resource {
    /// `breakbulk.dev/v1`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// What a Status is about: an object of this resource.
    pub fn target(&self, name: &str) -> Target {
        Target::new(&self.group, &self.plural, name)
    }

    /// The same for a 422, which names the kind.
    pub fn kind_target(&self, name: &str) -> Target {
        Target::new(&self.group, &self.kind, name)
    }

    /// Whether it is one of Kubernetes' own kinds.
    pub fn is_typed(&self) -> bool {
        matches!(self.body, Body::Typed(_))
    }

    /// The definition; none for Kubernetes' own kinds.
    pub fn definition(&self) -> Option<&Definition> {
        match &self.body {
            Body::Typed(_) | Body::Absent => None,
            Body::Schema(definition) => Some(definition),
        }
    }

    /// The schema; none for Kubernetes' own kinds.
    pub fn schema(&self) -> Option<&Schema> {
        self.definition().map(|definition| &*definition.schema)
    }

    /// The subresource of a name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.what.name() == name)
    }

    /// Whether who writes the status may write the metadata with it. The strategies of the core group leave it
    /// (`pkg/registry/core/namespace/strategy.go`, `NewStatusStrategy`); those of later groups keep it as it was.
    pub fn status_takes_metadata(&self) -> bool {
        self.group.is_empty()
    }

    /// Whether its status is written apart.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// `namespace/name`, or `name`.
    pub fn key(&self, namespace: Option<&str>, name: &str) -> String {
        match namespace {
            Some(namespace) if self.namespaced => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        }
    }
}
