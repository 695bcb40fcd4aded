//! From what a client sent to an object of its kind's shape: what is unknown falls out, what is missing is filled in; and
//! what is wrong with it is told in the words for what was sent.

use breakbulk_cel::Budget;
use breakbulk_schemas::field::{FieldError, Path};
use serde_json::Value;

use super::{FieldValidation, Origin, Submitted};
use crate::admission::Remarks;
use crate::aside;
use crate::registry::resource::{Body, Resource};
use crate::registry::{metadata, mistakes, object};
use crate::status::{ApiError, ApiResult, Target};

/// How an object was given: all of a [`Submitted`] but the object.
#[derive(Default)]
pub(super) struct Given {
    /// Paths of members that stood twice.
    pub(super) duplicates: Vec<String>,
    /// What was sent.
    pub(super) origin: Origin,
}

/// Checks apiVersion and kind of a body, or fills them in.
pub(super) fn identified(resource: &Resource, body: Value) -> ApiResult<Value> {
    let Value::Object(mut body) = body else {
        return Err(ApiError::bad_request("the body of the request must be a JSON object"));
    };
    let api_version = resource.api_version();
    for (field, expected) in [("apiVersion", &api_version), ("kind", &resource.kind)] {
        let given = body.get(field).and_then(Value::as_str).unwrap_or("");
        if given.is_empty() {
            body.insert(field.to_owned(), Value::from(expected.as_str()));
        } else if given != expected {
            return Err(ApiError::bad_request(format!(
                "the {field} in the data ({given}) does not match the expected {field} ({expected})"
            )));
        }
    }
    Ok(Value::Object(body))
}

/// Brings an object into its kind's shape: unknown fields out, defaults in. Returns warnings.
pub(super) fn shape(
    resource: &Resource,
    value: &mut Value,
    given: &Given,
    mode: FieldValidation,
) -> ApiResult<Vec<String>> {
    // As it was given; only who is strict is told of more than what is not understood at all.
    let before = (mode == FieldValidation::Strict && given.is_patched()).then(|| value.to_string());
    let unknown = fit(resource, value).map_err(|misfit| match misfit {
        Misfit::Refused(why) => given.refuse(resource, &value.to_string(), why),
        Misfit::NotWritten => ApiError::method_not_allowed(),
    })?;
    let unknown = unknown.iter().map(|path| format!("unknown field {path:?}"));
    let duplicates = given.duplicates.iter().map(|path| given.duplicate(path));
    let problems: Vec<String> = if given.is_patched() {
        // The patch is read before what it makes.
        duplicates.chain(unknown).collect()
    } else {
        unknown.chain(duplicates).collect()
    };
    match mode {
        FieldValidation::Strict if !problems.is_empty() => {
            let why = format!("strict decoding error: {}", problems.join(", "));
            Err(given.refuse(resource, &before.unwrap_or_default(), why))
        }
        FieldValidation::Warn => Ok(problems),
        FieldValidation::Ignore | FieldValidation::Strict => Ok(Vec::new()),
    }
}

enum Misfit {
    /// It cannot be read as its kind.
    Refused(String),
    /// Nothing of its kind is written.
    NotWritten,
}

/// Makes it fit; the paths of what it has lost.
fn fit(resource: &Resource, value: &mut Value) -> Result<Vec<String>, Misfit> {
    let mut unknown = match value.as_object_mut() {
        Some(object) => metadata::coerce(object).map_err(Misfit::Refused)?,
        None => return Err(Misfit::Refused("it is not an object".to_owned())),
    };
    match &resource.body {
        Body::Schema(definition) => {
            let schema = &definition.schema;
            unknown.extend(schema.prune(value));
            schema
                .heads(value)
                .map_err(|error| Misfit::Refused(error.to_string()))?;
            schema.default(value);
        }
        Body::Typed(through) => {
            let kept = through(value).map_err(Misfit::Refused)?;
            unknown.extend(metadata::unknown_fields(value, &kept, ""));
            *value = kept;
        }
        Body::Absent => return Err(Misfit::NotWritten),
    }
    Ok(unknown)
}

impl Given {
    fn is_patched(&self) -> bool {
        !matches!(self.origin, Origin::Body)
    }

    fn duplicate(&self, path: &str) -> String {
        match self.origin {
            Origin::JsonPatch => format!("json patch duplicate field {path:?}"),
            _ => format!("duplicate field {path:?}"),
        }
    }

    /// A body is a bad request; what a patch makes is invalid (`endpoints/handlers/patch.go`). `object` is what it made.
    fn refuse(&self, resource: &Resource, object: &str, why: String) -> ApiError {
        let shown = match &self.origin {
            Origin::Body => {
                let (version, kind) = (&resource.version, &resource.kind);
                return ApiError::bad_request(format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
                ));
            }
            Origin::JsonPatch | Origin::MergePatch => object.to_owned(),
            Origin::StrategicPatch(patch) => as_go_prints(patch),
        };
        let error = FieldError::invalid(Path::root("patch"), &shown, why);
        ApiError::invalid(Target::default(), &[error])
    }
}

/// A value as Go prints a map: `map[a:1 b:[x y]]`.
fn as_go_prints(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(as_go_prints).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key}:{}", as_go_prints(value)))
                .collect();
            format!("map[{}]", members.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Checks what a manager declares by server-side apply: of whose kind it is, and that nothing stands there twice. Nothing
/// is filled in: what was not declared is not owned. Nothing is taken out either: the merge refuses what it does not know.
pub(crate) fn declared(resource: &Resource, given: &mut Submitted, mode: FieldValidation) -> ApiResult<Vec<String>> {
    given.object = identified(resource, std::mem::take(&mut given.object))?;
    let duplicates = given.duplicates.iter();
    let problems: Vec<String> = duplicates.map(|path| format!("duplicate field {path:?}")).collect();
    match mode {
        FieldValidation::Strict if !problems.is_empty() => {
            let why = problems.join(", ");
            Err(ApiError::bad_request(format!("strict decoding error: {why}")))
        }
        FieldValidation::Warn => Ok(problems),
        FieldValidation::Ignore | FieldValidation::Strict => Ok(Vec::new()),
    }
}

/// Every mistake in an object that is about to be stored; what it is only warned of goes to the remarks.
pub(super) async fn check(
    resource: &Resource,
    value: &Value,
    old: Option<&Value>,
    remarks: &mut Remarks,
) -> ApiResult<()> {
    let mut errors: Vec<FieldError> = metadata::validate(value, old, resource);
    let budget = Budget::for_object();
    let look = |budget: &mut Budget| mistakes::all(resource, value, old, budget);
    let found = if mistakes::compiles(resource, value) {
        aside::evaluate_aside(budget, look).await
    } else {
        aside::evaluate(budget, look).await
    };
    errors.extend(found.errors);
    remarks.warnings.extend(found.warnings);
    remarks.warnings.extend(metadata::warnings(value, old, resource));
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        resource.kind_target(object::meta(value, "name")),
        &errors,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_patch_is_shown_as_go_prints_it() {
        let patch = json!({"spec": {"b": null, "a": [1, "x", true]}, "metadata": {}});
        assert_eq!(
            as_go_prints(&patch),
            "map[metadata:map[] spec:map[a:[1 x true] b:<nil>]]"
        );
    }
}
