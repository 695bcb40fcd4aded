//! The API versions of a kind. A manager's fields are paths in the version it wrote in, so a change is seen through
//! that version's eyes: the objects are converted, and compared by its schema.

use serde_json::Value;

use crate::schema::Schema;

/// The versions of a kind: their schemas, and the way from one to another.
pub trait Versions {
    /// The schema of a version; nothing when the kind has no such version (any more). Entries of such versions are
    /// dropped.
    fn schema(&self, api_version: &str) -> Option<&Schema>;

    /// An object in another version. Asked for versions only that have a schema, and are not the object's.
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ConversionError>;
}

/// Why an object cannot be had in another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// There is no such version.
    #[error("no such version")]
    VersionGone,
    /// The conversion failed; what it says.
    #[error("{0}")]
    Failed(String),
}

/// Versions that differ in nothing but their name and schema. With a single one, a kind of one version.
#[derive(Clone, Debug)]
pub struct Unconverted {
    versions: Vec<(String, Schema)>,
}

impl Unconverted {
    /// A kind of one version.
    pub fn one(api_version: &str, schema: Schema) -> Self {
        Self {
            versions: vec![(api_version.to_owned(), schema)],
        }
    }

    /// A kind of several versions.
    pub fn new(versions: impl IntoIterator<Item = (String, Schema)>) -> Self {
        Self {
            versions: versions.into_iter().collect(),
        }
    }
}

impl Versions for Unconverted {
    fn schema(&self, api_version: &str) -> Option<&Schema> {
        self.versions
            .iter()
            .find(|(version, _)| version == api_version)
            .map(|(_, schema)| schema)
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ConversionError> {
        self.schema(api_version).ok_or(ConversionError::VersionGone)?;
        let mut object = object.clone();
        if let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".to_owned(), api_version.into());
        }
        Ok(object)
    }
}
