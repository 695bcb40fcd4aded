//! What the documents need to know of a resource, read off a row of the registry's table. The only place here that
//! looks at the registry.

use std::sync::Arc;

use serde_json::{Value, json};

use super::builtin;
use crate::registry::{Body, Resource, Sub};
use crate::reviews::{self, Review};

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
    Custom(Option<Arc<Value>>),
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
        let source = match &resource.body {
            Body::Typed(_) | Body::Absent => Source::Builtin,
            Body::Schema(definition) => Source::Custom(Some(Arc::new(definition.raw.value()))),
        };
        Self {
            list_kind: resource.list_kind.clone(),
            plural: resource.plural.clone(),
            namespaced: resource.namespaced,
            verbs: verbs(resource.verbs),
            subresources: subresources(resource, &kind),
            selectable: match source {
                Source::Builtin => Vec::new(),
                Source::Custom(_) => resource.selectable.iter().map(|s| s.label.clone()).collect(),
            },
            source,
            kind,
        }
    }

    /// A kind that is asked and not kept.
    pub(super) fn of_review(review: &Review) -> Self {
        Self {
            kind: Kind {
                group: review.kind_group.to_owned(),
                version: review.kind_version.to_owned(),
                kind: review.kind.to_owned(),
            },
            list_kind: format!("{}List", review.kind),
            plural: review.plural.to_owned(),
            namespaced: review.namespaced,
            verbs: verbs(&reviews::VERBS),
            subresources: Vec::new(),
            source: Source::Builtin,
            selectable: Vec::new(),
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

/// What documents tell of the verbs of discovery: to watch is a way to list.
fn verbs(names: &[&str]) -> Vec<Verb> {
    let verb = |name: &&str| match *name {
        "get" => Some(Verb::Get),
        "list" => Some(Verb::List),
        "create" => Some(Verb::Create),
        "update" => Some(Verb::Update),
        "patch" => Some(Verb::Patch),
        "delete" => Some(Verb::Delete),
        "deletecollection" => Some(Verb::DeleteCollection),
        _ => None,
    };
    names.iter().filter_map(verb).collect()
}

fn asked_of(resource: &Resource) -> impl Iterator<Item = Subresource> {
    let of_it = |review: &&Review| review.group == resource.group && review.plural == resource.plural;
    reviews::ALL.iter().filter(of_it).filter_map(|review| {
        Some(Subresource {
            name: review.subresource?.to_owned(),
            verbs: verbs(&reviews::VERBS),
            kind: Some(Kind {
                group: review.kind_group.to_owned(),
                version: review.kind_version.to_owned(),
                kind: review.kind.to_owned(),
            }),
        })
    })
}

fn subresources(resource: &Resource, kind: &Kind) -> Vec<Subresource> {
    let one = |sub: &crate::registry::Subresource| Subresource {
        name: sub.what.name().to_owned(),
        verbs: verbs(sub.verbs),
        kind: match (&sub.what, sub.kind) {
            (Sub::Log, _) => None,
            (_, None) => Some(kind.clone()),
            (_, Some(own)) => Some(Kind {
                group: own.group.to_owned(),
                version: own.version.to_owned(),
                kind: own.kind.to_owned(),
            }),
        },
    };
    resource
        .subresources
        .iter()
        .map(one)
        .chain(asked_of(resource))
        .collect()
}
