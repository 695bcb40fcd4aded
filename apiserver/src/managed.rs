//! Managed fields: who wrote which field of an object. Every write that a client makes passes here, so that server-side
//! apply can tell conflicts and take away what nobody wants any more. The merging itself is `breakbulk-structured-merge`'s;
//! here it is given a kind's schema and the parts that an endpoint does not write.

mod replay;

use std::sync::{LazyLock, OnceLock};

use breakbulk_structured_merge::{
    ApplyError, Endpoint, FieldSet, Force, Schema, Unconverted, Versions, Writer, keep_unchanged_times,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::definitions::served::Written;
use crate::openapi;
use crate::registry::Resource;
use crate::registry::objects::Part;
use crate::status::{ApiError, ApiResult};

/// How objects of a kind merge, in all its versions. Its schemas are read at the first write: most kinds of a server are
/// never written.
#[derive(Debug)]
pub struct MergeRules {
    sources: Vec<(String, Source)>,
    versions: OnceLock<Unconverted>,
}

/// Where the schema of a version comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A definition.
    Definition(Written),
    /// Kubernetes' own kind of this group and name.
    Builtin {
        /// The group; empty for the core group.
        group: String,
        /// The kind.
        kind: String,
    },
}

static NOTHING: LazyLock<FieldSet> = LazyLock::new(FieldSet::default);
static STATUS: LazyLock<FieldSet> = LazyLock::new(|| fields(&json!({"f:status": {}})));
static SPEC: LazyLock<FieldSet> = LazyLock::new(|| fields(&json!({"f:spec": {}})));
static NOT_STATUS: LazyLock<FieldSet> = LazyLock::new(|| fields(&json!({"f:metadata": {}, "f:spec": {}})));

fn fields(text: &Value) -> FieldSet {
    FieldSet::from_fields_v1(text).expect("these are fields as managedFields spell them")
}

impl MergeRules {
    /// Of a kind with these versions.
    pub fn new(sources: Vec<(String, Source)>) -> Self {
        Self {
            sources,
            versions: OnceLock::new(),
        }
    }

    fn versions(&self) -> &Unconverted {
        let read = |(version, source): &(String, Source)| (version.clone(), source.read());
        self.versions
            .get_or_init(|| Unconverted::new(self.sources.iter().map(read)))
    }

    fn endpoint<'a>(
        resource: &'a Resource,
        api_version: &'a str,
        part: &Part,
        versions: &'a dyn Versions,
    ) -> Endpoint<'a> {
        let reset_fields = match part {
            Part::Main if resource.has_status() => &STATUS,
            Part::Status if resource.status_takes_metadata() => &SPEC,
            Part::Status => &NOT_STATUS,
            Part::Main | Part::Finalize | Part::Scale(_) => &NOTHING,
        };
        Endpoint {
            api_version,
            kind: &resource.kind,
            subresource: part.subresource(),
            reset_fields,
            versions,
        }
    }
}

impl Source {
    fn read(&self) -> Schema {
        match self {
            Self::Definition(raw) => Schema::of_object(&raw.value(), &|_| None),
            Self::Builtin { group, kind } => {
                let definitions = openapi::definitions_of(group, kind);
                let name = openapi::builtin_name(group, kind);
                let schema = definitions.get(&name).unwrap_or(&Value::Null);
                let find = |reference: &str| definitions.get(reference.rsplit('/').next()?);
                Schema::of_object(schema, &find)
            }
        }
    }
}

/// Notes on a new or changed object which manager wrote what. A write is never refused for it.
pub(crate) async fn track(resource: &Resource, part: &Part, live: Option<&Value>, new: &mut Value, manager: &str) {
    let api_version = resource.api_version();
    let writer = Writer {
        manager,
        now: Timestamp::now(),
    };
    let update = |versions: &dyn Versions, new: &mut Value| {
        let endpoint = MergeRules::endpoint(resource, &api_version, part, versions);
        endpoint.update(live, new, &writer).map_err(|error| error.to_string())
    };
    let schemas = resource.merge.versions();
    let outcome = if replay::is_needed(resource) {
        let merged = replay::until_converted(resource, schemas, |versions| {
            let mut merged = new.clone();
            let outcome = update(versions, &mut merged);
            (merged, outcome)
        });
        let (merged, outcome) = merged.await;
        *new = merged;
        outcome
    } else {
        update(schemas, new)
    };
    if let Err(error) = outcome {
        tracing::warn!(
            error,
            kind = resource.kind,
            "the owners of an object's fields could not be followed"
        );
    }
}

/// Takes times back that are all that a write would change.
pub(crate) fn settle(live: &Value, new: &mut Value) {
    keep_unchanged_times(live, new);
}

/// Server-side apply: the object that follows from what a manager wants.
///
/// # Errors
/// 409 when others own what would change; 400 when the configuration does not fit the kind.
pub(crate) async fn apply(
    resource: &Resource,
    part: &Part,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: Force,
) -> ApiResult<Value> {
    let api_version = resource.api_version();
    let writer = Writer {
        manager,
        now: Timestamp::now(),
    };
    let merge = |versions: &dyn Versions| {
        let endpoint = MergeRules::endpoint(resource, &api_version, part, versions);
        endpoint.apply(live, config, &writer, force)
    };
    let applied = replay::until_converted(resource, resource.merge.versions(), merge).await;
    match applied {
        Ok(applied) => Ok(applied.object),
        Err(ApplyError::Conflicts(conflicts)) => Err(ApiError::apply_conflict(
            conflicts.to_string(),
            conflicts
                .iter()
                .map(|conflict| (conflict.message(), conflict.path().to_string())),
        )),
        // Upstream has a 500 for a configuration that does not fit its kind, too; but that is the client's to mend.
        Err(error @ (ApplyError::WrongType(_) | ApplyError::ManagedFields | ApplyError::Config { .. })) => {
            Err(ApiError::bad_request(error.to_string()))
        }
        Err(error) => Err(ApiError::foreign(500, "", error.to_string())),
    }
}
