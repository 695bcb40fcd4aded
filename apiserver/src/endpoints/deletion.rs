//! What a DELETE says beside its path: DeleteOptions, in the body or in the query
//! (`apiserver/pkg/endpoints/handlers/delete.go`, `apimachinery/pkg/apis/meta/v1/validation`).
//!
//! A body is the whole of it: what the query says is not looked at then, but for `dryRun`, since whoever says it anywhere
//! does not want the object gone.

use std::sync::Arc;

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions as Given;
use serde_json::Value;

use super::query::Query;
use crate::registry::objects::{DeleteOptions, Persist, Propagation, Said, WriteOptions};
use crate::status::{ApiError, ApiResult};

/// How an object is to be deleted, and how it is said that it is not gone yet.
#[derive(Clone, Debug)]
pub(super) struct Deletion {
    /// How.
    pub(super) options: DeleteOptions,
    /// The code of an answer about an object that is only marked.
    pub(super) pending: StatusCode,
}

/// The options of a request. `body` is what its body says; none when it has none.
pub(super) fn parse(write: WriteOptions, query: &Query, body: Option<Value>) -> ApiResult<Deletion> {
    let given = match body {
        Some(body) => from_body(body)?,
        None => from_query(query)?,
    };
    let propagation = check(&given)?;
    let dry = given.dry_run.as_ref().is_some_and(|stages| !stages.is_empty());
    let persist = if dry { Persist::DryRun } else { write.persist };
    let preconditions = given.preconditions.clone().unwrap_or_default();
    // What upstream answers to the policy's old spelling; the new one came with 200.
    let pending = match given.orphan_dependents {
        Some(false) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let said = Said {
        deletion: Some(Arc::new(given)),
        ..write.said
    };
    Ok(Deletion {
        options: DeleteOptions {
            write: WriteOptions { persist, said, ..write },
            propagation,
            uid: preconditions.uid,
            resource_version: preconditions.resource_version,
        },
        pending,
    })
}

/// Of any group and version: clients send the one of the kind that they delete. Unknown fields fall out.
fn from_body(body: Value) -> ApiResult<Given> {
    if body.is_null() {
        return Ok(Given::default());
    }
    if !matches!(body["kind"].as_str(), None | Some("" | "DeleteOptions")) {
        return Err(ApiError::bad_request(
            "decoded object cannot be converted to DeleteOptions",
        ));
    }
    serde_json::from_value(body)
        .map_err(|error| ApiError::bad_request(format!("the body of the request is no DeleteOptions: {error}")))
}

fn from_query(query: &Query) -> ApiResult<Given> {
    let seconds = |text: &str| {
        let refused = || ApiError::bad_request(format!("gracePeriodSeconds: {text:?} is not a whole number"));
        text.parse::<i64>().map_err(|_| refused())
    };
    let grace = query.get("gracePeriodSeconds").filter(|text| !text.is_empty());
    Ok(Given {
        grace_period_seconds: grace.map(seconds).transpose()?,
        orphan_dependents: query.flag("orphanDependents")?,
        propagation_policy: query
            .get("propagationPolicy")
            .filter(|policy| !policy.is_empty())
            .map(str::to_owned),
        ignore_store_read_error_with_cluster_breaking_potential: query
            .flag("ignoreStoreReadErrorWithClusterBreakingPotential")?,
        ..Given::default()
    })
}

/// Every mistake, or the policy. A period of grace means nothing to the kinds that there are here: none of them is stopped
/// by somebody else while it is being deleted.
fn check(given: &Given) -> ApiResult<Option<Propagation>> {
    let mut errors = Vec::new();
    let policy = Path::root("propagationPolicy");
    let named = given.propagation_policy.as_deref();
    if let (Some(named), Some(_)) = (named, given.orphan_dependents) {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(policy.clone(), named, detail));
    }
    let propagation = match (named, given.orphan_dependents) {
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some(other), _) => {
            let expected = "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
            errors.push(FieldError::with_value(policy, ErrorKind::NotSupported, other, expected));
            None
        }
        (None, None) => None,
    };
    for stage in given.dry_run.iter().flatten().filter(|stage| *stage != "All") {
        let path = Path::root("dryRun");
        let expected = "supported values: \"All\"";
        errors.push(FieldError::with_value(path, ErrorKind::NotSupported, stage, expected));
    }
    if given.ignore_store_read_error_with_cluster_breaking_potential == Some(true) {
        let path = Path::root("ignoreStoreReadErrorWithClusterBreakingPotential");
        let detail = "this server deletes nothing that it cannot read";
        errors.push(FieldError::new(path, ErrorKind::Forbidden, detail));
    }
    if errors.is_empty() {
        return Ok(propagation);
    }
    Err(ApiError::invalid_options("DeleteOptions", &errors))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(query: &str, body: Option<Value>) -> ApiResult<Deletion> {
        parse(WriteOptions::server(), &Query::parse(query).unwrap(), body)
    }

    #[test]
    fn a_body_is_the_whole_of_it_and_dry_run_is_heard_wherever_it_is_said() {
        let body = json!({"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": -3, "later": 1});
        let deletion = parsed("propagationPolicy=Orphan", Some(body)).unwrap();
        assert_eq!(deletion.options.propagation, None);
        assert_eq!(deletion.options.write.persist, Persist::Store);
        let deletion = parsed("", Some(json!({"dryRun": ["All"]}))).unwrap();
        assert_eq!(deletion.options.write.persist, Persist::DryRun);
        let deletion = parsed("propagationPolicy=Orphan", None).unwrap();
        assert_eq!(deletion.options.propagation, Some(Propagation::Orphan));
    }

    #[test]
    fn the_old_spelling_of_the_policy_is_taken_and_answered_with_202() {
        let deletion = parsed("orphanDependents=false", None).unwrap();
        assert_eq!(deletion.options.propagation, Some(Propagation::Background));
        assert_eq!(deletion.pending, StatusCode::ACCEPTED);
        let deletion = parsed("orphanDependents=true", None).unwrap();
        assert_eq!(deletion.options.propagation, Some(Propagation::Orphan));
        assert_eq!(deletion.pending, StatusCode::OK);
    }

    #[test]
    fn what_is_wrong_is_told_together() {
        let both = json!({"propagationPolicy": "Sideways", "orphanDependents": true, "dryRun": ["Some"]});
        let error = parsed("", Some(both)).unwrap_err();
        assert_eq!(error.code(), 422);
        for part in [
            "cannot be both set",
            "Unsupported value: \"Sideways\"",
            "Unsupported value: \"Some\"",
        ] {
            assert!(error.message().contains(part), "{error}");
        }
        for (body, code) in [
            (json!({"kind": "Status"}), 400),
            (json!({"gracePeriodSeconds": "soon"}), 400),
            (json!([]), 400),
            (json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true}), 422),
        ] {
            assert_eq!(parsed("", Some(body.clone())).unwrap_err().code(), code, "{body}");
        }
        assert_eq!(parsed("gracePeriodSeconds=soon", None).unwrap_err().code(), 400);
    }
}
