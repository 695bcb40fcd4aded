//! A resource: one row of the table from which everything is served. Kinds that came with a CustomResourceDefinition
//! and those of Kubernetes itself differ in two places only: how a body is checked ([`Body`]) and what a few of them
//! demand beyond it ([`Rules`]).

use std::sync::OnceLock;

use breakbulk_schemas::field::FieldError;
use bytes::Bytes;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::schema::Schema;
use crate::status::Target;
use crate::table::Columns;

/// The place of a storage in the registry's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageId(u16);

/// Where the objects of a resource are kept. Two resources may share one (Events have two API groups).
#[derive(Debug)]
pub struct Storage {
    /// Keys begin so: `/registry/breakbulk.dev/jobs/`.
    pub prefix: String,
    /// Values begin so; see [`super::object`].
    pub header: Bytes,
    /// Paths of the fields that selectors may name, as the stored version spells them.
    pub fields: Vec<Vec<String>>,
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
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// By the schema of a CustomResourceDefinition, and the kind's own rules.
    Schema(fn() -> CustomResourceDefinition),
    /// By reading it into the Kubernetes type and writing it out again: what is unknown falls out, what has the
    /// wrong type is an error.
    Typed(fn(Value) -> Result<Value, String>),
}

/// What a kind demands beyond its schema.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Every mistake in `new`; `old` is there on updates.
    pub validate: fn(new: &Value, old: Option<&Value>) -> Vec<FieldError>,
    /// Fills in what the server sets; runs before the check.
    pub prepare: fn(new: &mut Value, old: Option<&Value>),
}

/// How another version of the same objects is read and written.
#[derive(Clone, Copy)]
pub struct Conversion {
    /// From this resource's version to the stored one.
    pub to_storage: fn(Value) -> Value,
    /// And back.
    pub from_storage: fn(Value) -> Value,
}

/// The subresources a resource has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subresources {
    /// `status`.
    pub status: bool,
    /// `finalize` (namespaces).
    pub finalize: bool,
    /// `log` (what has a log).
    pub log: bool,
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
    pub subresources: Subresources,
    /// Where it is kept.
    pub storage: StorageId,
    /// The fields that selectors may name beside `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Selectable>,
    /// How names are checked.
    pub names: NameRule,
    /// How bodies are checked.
    pub body: Body,
    /// What else is demanded.
    pub rules: Rules,
    /// Set where this is another version of objects that are stored in a different one.
    pub conversion: Option<Conversion>,
    pub(super) schema: OnceLock<Option<Schema>>,
    pub(super) columns: OnceLock<Columns>,
}

impl StorageId {
    pub(super) fn new(index: usize) -> Self {
        Self(u16::try_from(index).expect("there are far fewer kinds than 65,536"))
    }

    /// The place.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
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

    /// Whether its objects count their generations. Those of Kubernetes' own that are served here have none.
    pub fn has_generation(&self) -> bool {
        matches!(self.body, Body::Schema(_))
    }

    /// The schema; none for Kubernetes' own kinds.
    pub fn schema(&self) -> Option<&Schema> {
        let parse = || match self.body {
            Body::Typed(_) => None,
            Body::Schema(crd) => {
                let schema = super::custom::schema_json(&crd());
                match Schema::parse(&schema) {
                    Ok(schema) => Some(schema),
                    Err(error) => {
                        tracing::error!(kind = self.kind, %error, "a kind of our own has a schema that cannot be read");
                        None
                    }
                }
            }
        };
        self.schema.get_or_init(parse).as_ref()
    }

    /// The columns of its tables.
    pub fn columns(&self) -> &Columns {
        self.columns.get_or_init(|| match self.body {
            Body::Typed(_) => Columns::core(&self.kind),
            Body::Schema(crd) => {
                let crd = crd();
                let version = crd.spec.versions.first();
                Columns::from_crd(
                    version
                        .and_then(|v| v.additional_printer_columns.as_deref())
                        .unwrap_or_default(),
                )
            }
        })
    }

    /// `namespace/name`, or `name`.
    pub fn key(&self, namespace: Option<&str>, name: &str) -> String {
        match namespace {
            Some(namespace) if self.namespaced => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        }
    }
}
