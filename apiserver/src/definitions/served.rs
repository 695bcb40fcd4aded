//! What a definition has the server serve: the names, and each version with everything that its requests need. A
//! description and no more; the registry makes its rows from it.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionVersion, WebhookConversion,
};
use serde_json::Value;

use crate::discovery::rank;
use crate::schema::{Schema, SchemaError};
use crate::table::Columns;

/// A kind as a definition describes it.
#[derive(Clone, Debug)]
pub struct Served {
    /// The API group.
    pub group: String,
    /// The names it was given; those it asks for, if it has not been given any.
    pub names: CustomResourceDefinitionNames,
    /// Where its objects live.
    pub scope: Scope,
    /// Its versions, in the definition's order; not all of them are served.
    pub versions: Vec<Version>,
    /// The version that objects are stored in.
    pub storage: String,
    /// How objects come from one version to another.
    pub conversion: ConversionStrategy,
}

/// Where objects live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Beside the namespaces.
    Cluster,
    /// In namespaces.
    Namespaced,
}

/// How objects come from one version to another.
#[derive(Clone, Debug, PartialEq)]
pub enum ConversionStrategy {
    /// By changing the `apiVersion`.
    None,
    /// By asking a webhook.
    Webhook(Box<WebhookConversion>),
}

/// A schema as it was written, kept as text: as a value it takes ten times as much, and hardly anybody asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written(Arc<str>);

impl Written {
    /// Of a schema; null where there is none.
    pub fn new(schema: &Value) -> Self {
        Self(schema.to_string().into())
    }

    /// The schema.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The same schema has the same text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// A version.
#[derive(Clone, Debug)]
pub struct Version {
    /// `v1`.
    pub name: String,
    /// Whether requests for it are answered.
    pub served: bool,
    /// What requests for it are warned of.
    pub deprecation: Option<String>,
    /// The schema as written.
    pub raw: Written,
    /// The schema, read.
    pub schema: Arc<Schema>,
    /// The columns of its tables.
    pub columns: Columns,
    /// The paths that selectors may name: `.spec.color`.
    pub selectable: Vec<String>,
    /// Its subresources.
    pub subresources: Subresources,
}

/// The subresources of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subresources {
    /// Whether `status` is one.
    pub status: bool,
    /// `scale`, and where it reads and writes.
    pub scale: Option<Scale>,
}

/// Where a scale's fields are in an object, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The wanted number of replicas.
    pub spec_replicas: Vec<String>,
    /// The observed number.
    pub status_replicas: Vec<String>,
    /// The label selector, as text.
    pub selector: Option<Vec<String>>,
}

/// Describes what a definition has served.
///
/// # Errors
/// A schema that cannot be read: of a definition that has passed [`super::validate()`] every one can.
pub fn describe(crd: &CustomResourceDefinition) -> Result<Served, SchemaError> {
    let spec = &crd.spec;
    let given = crd.status.as_ref().and_then(|status| status.accepted_names.clone());
    let webhook = spec
        .conversion
        .as_ref()
        .filter(|conversion| conversion.strategy == "Webhook");
    let webhook = webhook.and_then(|conversion| conversion.webhook.clone());
    Ok(Served {
        group: spec.group.clone(),
        names: given
            .filter(|names| !names.plural.is_empty())
            .unwrap_or_else(|| spec.names.clone()),
        scope: if spec.scope == "Cluster" {
            Scope::Cluster
        } else {
            Scope::Namespaced
        },
        versions: spec
            .versions
            .iter()
            .map(|version| describe_version(crd, version))
            .collect::<Result<_, _>>()?,
        storage: spec
            .versions
            .iter()
            .find(|version| version.storage)
            .map(|v| v.name.clone())
            .unwrap_or_default(),
        conversion: webhook.map_or(ConversionStrategy::None, |webhook| {
            ConversionStrategy::Webhook(Box::new(webhook))
        }),
    })
}

fn describe_version(
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
) -> Result<Version, SchemaError> {
    let written = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    let raw = written
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_default();
    let selectable = version
        .selectable_fields
        .iter()
        .flatten()
        .map(|field| field.json_path.clone());
    Ok(Version {
        name: version.name.clone(),
        served: version.served,
        deprecation: (version.deprecated == Some(true)).then(|| deprecation(crd, version)),
        schema: Arc::new(Schema::parse(&raw)?),
        raw: Written::new(&raw),
        columns: Columns::from_crd(version.additional_printer_columns.as_deref().unwrap_or_default()),
        selectable: selectable.collect(),
        subresources: subresources(version),
    })
}

fn subresources(version: &CustomResourceDefinitionVersion) -> Subresources {
    let Some(given) = &version.subresources else {
        return Subresources::default();
    };
    let steps = |path: &str| {
        path.split('.')
            .filter(|step| !step.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Subresources {
        status: given.status.is_some(),
        scale: given.scale.as_ref().map(|scale| Scale {
            spec_replicas: steps(&scale.spec_replicas_path),
            status_replicas: steps(&scale.status_replicas_path),
            selector: scale
                .label_selector_path
                .as_deref()
                .filter(|path| !path.is_empty())
                .map(steps),
        }),
    }
}

/// What the author says of a deprecated version, or upstream's words, with the newest version to use in its place.
fn deprecation(crd: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> String {
    if let Some(warning) = &version.deprecation_warning {
        return warning.clone();
    }
    let (group, kind) = (&crd.spec.group, &crd.spec.names.kind);
    let newer = crd
        .spec
        .versions
        .iter()
        .filter(|other| other.served && other.deprecated != Some(true) && rank(&other.name) > rank(&version.name));
    let instead = newer.max_by_key(|other| rank(&other.name));
    let instead = instead
        .map(|other| format!("; use {group}/{} {kind}", other.name))
        .unwrap_or_default();
    format!("{group}/{} {kind} is deprecated{instead}", version.name)
}
