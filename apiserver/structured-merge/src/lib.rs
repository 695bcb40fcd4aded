//! Server-side apply: merging objects by their schema, and keeping track of who owns which field.
//!
//! A pure library over JSON values: no clock, no I/O, no types of Kubernetes. The API server calls it on every write.
//! What Kubernetes' `structured-merge-diff` and `managedfields` do is right; the rules and texts are theirs.
//!
//! In the order in which a write meets them:
//!
//! | module | for |
//! |---|---|
//! | `schema` | how the merge sees a type |
//! | `fieldpath` | names of fields, sets of them, and their form in `managedFields` |
//! | `typed` | values seen through a schema: set, compare, merge, remove, validate |
//! | `managers` | whole objects and their owners |
//!
//! ```
//! use breakbulk_structured_merge::{ApplyError, Endpoint, FieldSet, Force, Outcome, Schema, Unconverted, Writer};
//! use serde_json::json;
//!
//! // Once per kind: its schema. `$ref`s are looked up by the closure.
//! let openapi = json!({"type": "object", "properties": {
//!     "spec": {"type": "object", "properties": {
//!         "replicas": {"type": "integer"},
//!         "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
//!             "items": {"type": "object", "properties": {"port": {"type": "integer"}, "name": {"type": "string"}}}},
//!     }},
//! }});
//! let schema = Schema::of_object(&openapi, &|_reference| None);
//! assert!(schema.problems().is_empty());
//! let versions = Unconverted::one("example.com/v1", schema);
//! let status = FieldSet::from_fields_v1(&json!({"f:status": {}}))?;
//! let endpoint = Endpoint {
//!     api_version: "example.com/v1",
//!     kind: "Widget",
//!     subresource: "",
//!     reset_fields: &status,
//!     versions: &versions,
//! };
//! let now = "2026-01-01T00:00:00Z".parse()?;
//!
//! // POST, PUT, other PATCHes: the object is made already, its managed fields follow.
//! let mut live = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "uid": "1"},
//!     "spec": {"replicas": 1}});
//! endpoint.update(None, &mut live, &Writer { manager: "creator", now })?;
//! assert_eq!(live["metadata"]["managedFields"], json!([{
//!     "manager": "creator", "operation": "Update", "apiVersion": "example.com/v1", "time": "2026-01-01T00:00:00Z",
//!     "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {".": {}, "f:replicas": {}}},
//! }]));
//!
//! // Server-side apply makes the object.
//! let config = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
//!     "spec": {"replicas": 2, "ports": [{"port": 80}]}});
//! let applier = Writer { manager: "applier", now };
//! let refused = endpoint.apply(Some(&live), &config, &applier, Force::No).unwrap_err();
//! assert_eq!(refused.to_string(),
//!     r#"Apply failed with 1 conflict: conflict with "creator" using example.com/v1: .spec.replicas"#);
//! assert!(matches!(refused, ApplyError::Conflicts(_)));
//!
//! let applied = endpoint.apply(Some(&live), &config, &applier, Force::Yes)?;
//! assert_eq!(applied.object["spec"], config["spec"]);
//!
//! // The same once more changes nothing, so nothing is written.
//! let again = endpoint.apply(Some(&applied.object), &config, &applier, Force::No)?;
//! assert_eq!(again.outcome, Outcome::Unchanged);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fieldpath;
mod managers;
mod schema;
mod typed;
mod value;

pub use fieldpath::{FieldSet, FieldsError, Path, PathElement};
pub use managers::{
    Applied, ApplyError, Conflict, Conflicts, ConversionError, Endpoint, Force, ManagedFieldsError, Outcome,
    ReplicasPaths, Unconverted, UpdateError, Versions, Writer, entries_for_scale, entries_from_scale,
    keep_unchanged_times, manager_of_user_agent, validate_managed_fields,
};
pub use schema::{Schema, SchemaProblem};
pub use typed::{FieldError, FieldErrors};
