//! What the documents need to know of a resource, read off a row of the registry's table. The only place here that
//! looks at the registry.

use serde_json::{Value, json};

use super::builtin;
use crate::registry::{Body, Resource};

/// A thing a client can do; named as discovery names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// Everything that can be done to objects that are stored.
const STORED: &[Verb] = &[
    Verb::List,
    Verb::Create,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::Update,
    Verb::Patch,
    Verb::Delete,
];

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

/// Where a kind's schema comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Kubernetes' own kind.
    Builtin,
    /// A CustomResourceDefinition: its `openAPIV3Schema`, if it has one.
    Custom(Option<Value>),
}

/// Part of an object that has an address of its own.
#[derive(Clone, Debug)]
pub(super) struct Subresource {
    /// `status`.
    pub(super) name: String,
    /// What can be done to it.
    pub(super) verbs: Vec<Verb>,
    /// What goes in and comes out; none for plain text.
    pub(super) kind: Option<Kind>,
}

/// A resource.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) list_kind: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
    pub(super) verbs: Vec<Verb>,
    pub(super) subresources: Vec<Subresource>,
    pub(super) source: Source,
    /// Paths of fields that selectors may name: `spec.nodeName`.
    pub(super) selectable: Vec<String>,
}

impl Kind {
    /// As it stands in documents.
    pub(super) fn to_json(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.kind})
    }

    /// The name of its schema: upstream's for Kubernetes' own kinds, and for others `dev.breakbulk.v1.Job`: the group
    /// read backwards.
    pub(super) fn schema_name(&self) -> String {
        builtin::schema_name(&self.group, &self.version, &self.kind).unwrap_or_else(|| {
            let mut parts: Vec<&str> = self.group.split('.').rev().collect();
            parts.extend([self.version.as_str(), self.kind.as_str()]);
            parts.join(".")
        })
    }
}

impl Row {
    /// Reads a row of the registry's table.
    pub(super) fn of(resource: &Resource) -> Self {
        let kind = Kind {
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: resource.kind.clone(),
        };
        let source = match resource.body {
            Body::Typed(_) => Source::Builtin,
            Body::Schema(definition) => Source::Custom(raw_schema(&definition())),
        };
        Self {
            list_kind: resource.list_kind.clone(),
            plural: resource.plural.clone(),
            namespaced: resource.namespaced,
            verbs: STORED.to_vec(),
            subresources: subresources(resource, &kind),
            selectable: match source {
                Source::Builtin => Vec::new(),
                Source::Custom(_) => resource.selectable.iter().map(|s| s.label.clone()).collect(),
            },
            source,
            kind,
        }
    }

    /// The list's kind.
    pub(super) fn list(&self) -> Kind {
        Kind {
            kind: self.list_kind.clone(),
            ..self.kind.clone()
        }
    }

    /// The name of the list's schema.
    pub(super) fn list_schema_name(&self) -> String {
        let item = self.kind.schema_name();
        match item.strip_suffix(self.kind.kind.as_str()) {
            Some(before) => format!("{before}{}", self.list_kind),
            None => format!("{item}List"),
        }
    }
}

/// The `openAPIV3Schema` of a definition's first version.
pub(super) fn raw_schema(
    definition: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
) -> Option<Value> {
    let version = definition.spec.versions.first()?;
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    serde_json::to_value(schema).ok()
}

fn subresources(resource: &Resource, kind: &Kind) -> Vec<Subresource> {
    let object = |name: &str, verbs: &[Verb]| Subresource {
        name: name.to_owned(),
        verbs: verbs.to_vec(),
        kind: Some(kind.clone()),
    };
    let mut found = Vec::new();
    if resource.subresources.status {
        found.push(object("status", &[Verb::Get, Verb::Update, Verb::Patch]));
    }
    if resource.subresources.finalize {
        found.push(object("finalize", &[Verb::Update]));
    }
    if resource.subresources.log {
        found.push(Subresource {
            name: "log".to_owned(),
            verbs: vec![Verb::Get],
            kind: None,
        });
    }
    found
}
