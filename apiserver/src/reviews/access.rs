//! May somebody do this? The same decision as for a request, only that nothing happens.

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReviewSpec,
    SubjectAccessReviewSpec,
};
use serde_json::{Value, json};

use super::Question;
use crate::authentication::Identity;
use crate::authorization::{Attributes, Authorizer, Decision};
use crate::selector::{FieldSelector, Term};
use crate::status::{ApiError, ApiResult};

/// The status for who asks.
pub(super) fn may_i(authorizer: &Authorizer, question: &Question<'_>) -> ApiResult<Value> {
    let spec: SelfSubjectAccessReviewSpec = question.spec()?;
    let asked = asked(spec.resource_attributes, spec.non_resource_attributes);
    let asked = asked.map_err(|error| ApiError::invalid(question.target(), &[error]))?;
    Ok(decide(authorizer, question.identity, &asked))
}

/// The status for somebody who is named.
pub(super) fn may_somebody(authorizer: &Authorizer, question: &Question<'_>) -> ApiResult<Value> {
    let spec: SubjectAccessReviewSpec = question.spec()?;
    if let Some(namespace) = question.namespace {
        let named = spec.resource_attributes.as_ref().and_then(|a| a.namespace.as_deref());
        if named.unwrap_or("") != namespace {
            return Err(ApiError::bad_request(format!(
                "spec.resourceAttributes.namespace must match namespace: {namespace}"
            )));
        }
    }
    let mut errors = Vec::new();
    let asked = asked(spec.resource_attributes, spec.non_resource_attributes).unwrap_or_else(|error| {
        errors.push(error);
        Asked::default()
    });
    let identity = Identity {
        user: spec.user.unwrap_or_default(),
        uid: spec.uid.unwrap_or_default(),
        groups: spec.groups.unwrap_or_default(),
        extra: spec.extra.unwrap_or_default(),
    };
    if identity.user.is_empty() && identity.groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(Path::root("spec").child("user"), "", detail));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(question.target(), &errors));
    }
    Ok(decide(authorizer, &identity, &asked))
}

/// What is asked about, with what could not be read of its selectors.
#[derive(Debug, Default)]
struct Asked {
    resource: ResourceAttributes,
    path: Option<NonResourceAttributes>,
    fields: FieldSelector,
    evaluation_error: Option<String>,
}

fn asked(resource: Option<ResourceAttributes>, path: Option<NonResourceAttributes>) -> Result<Asked, FieldError> {
    let spec = Path::root("spec");
    match (resource, path) {
        (Some(mut resource), None) => {
            let at = spec.child("resourceAttributes");
            let labels = resource.label_selector.take().unwrap_or_default();
            exclusive(
                &at.child("labelSelector"),
                labels.raw_selector.as_deref(),
                labels.requirements.as_ref().map_or(0, Vec::len),
            )?;
            let given = resource.field_selector.take().unwrap_or_default();
            let (fields, evaluation_error) = fields(&at.child("fieldSelector"), given)?;
            Ok(Asked {
                resource,
                path: None,
                fields,
                evaluation_error,
            })
        }
        (None, Some(path)) => Ok(Asked {
            path: Some(path),
            ..Asked::default()
        }),
        (resource, _) => {
            let (field, detail) = match resource {
                Some(_) => (
                    "nonResourceAttributes",
                    "cannot be specified in combination with resourceAttributes",
                ),
                None => (
                    "resourceAttributes",
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified",
                ),
            };
            let mut error = FieldError::new(spec.child(field), ErrorKind::Invalid, detail);
            error.value = Some("null".to_owned());
            Err(error)
        }
    }
}

/// A selector is a text or a list, not both.
fn exclusive(path: &Path, raw: Option<&str>, requirements: usize) -> Result<(), FieldError> {
    if raw.is_some_and(|raw| !raw.is_empty()) && requirements > 0 {
        let detail = "may not specified at the same time as requirements";
        return Err(FieldError::invalid(
            path.child("rawSelector"),
            raw.unwrap_or_default(),
            detail,
        ));
    }
    Ok(())
}

/// The field selector. What cannot be read of it narrows nothing, and is told.
fn fields(path: &Path, given: FieldSelectorAttributes) -> Result<(FieldSelector, Option<String>), FieldError> {
    let raw = given.raw_selector.unwrap_or_default();
    let requirements = given.requirements.unwrap_or_default();
    exclusive(path, Some(&raw), requirements.len())?;
    if !raw.is_empty() {
        return Ok(match FieldSelector::parse(&raw) {
            Ok(selector) => (selector, None),
            Err(error) => (FieldSelector::default(), Some(error.to_string())),
        });
    }
    let mut unread = Vec::new();
    let mut terms = Vec::new();
    for requirement in requirements {
        let values = requirement.values.unwrap_or_default();
        let equals = match requirement.operator.as_str() {
            "In" => true,
            "NotIn" => false,
            other => {
                unread.push(format!("{other:?} is not a valid field selector operator"));
                continue;
            }
        };
        match <[String; 1]>::try_from(values) {
            Ok([value]) => terms.push(Term {
                path: requirement.key,
                equals,
                value,
            }),
            Err(_) => unread.push(format!("fieldSelector {:?} must have one value", requirement.key)),
        }
    }
    let unread = (!unread.is_empty()).then(|| unread.join(", "));
    Ok((FieldSelector { terms }, unread))
}

fn decide(authorizer: &Authorizer, identity: &Identity, asked: &Asked) -> Value {
    fn text(value: &Option<String>) -> &str {
        value.as_deref().unwrap_or("")
    }
    fn some(value: &Option<String>) -> Option<&str> {
        value.as_deref().filter(|value| !value.is_empty())
    }
    let resource = &asked.resource;
    let mut attributes = Attributes {
        verb: text(&resource.verb),
        group: text(&resource.group),
        resource: text(&resource.resource),
        subresource: text(&resource.subresource),
        namespace: some(&resource.namespace),
        name: some(&resource.name),
        field_selector: &asked.fields,
        path: "",
    };
    if let Some(path) = &asked.path {
        attributes.verb = text(&path.verb);
        attributes.path = text(&path.path);
    }
    let mut status = match authorizer.decide(identity, &attributes) {
        Decision::Allow(because) => json!({"allowed": true, "reason": because.as_deref()}),
        Decision::Deny(because) => json!({"allowed": false, "reason": because}),
    };
    if let Some(status) = status.as_object_mut() {
        if status["reason"].as_str().is_none_or(str::is_empty) {
            status.remove("reason");
        }
        if let Some(error) = &asked.evaluation_error {
            status.insert("evaluationError".to_owned(), json!(error));
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_about_a_resource_or_a_path() {
        let resource = || Some(ResourceAttributes::default());
        let path = || Some(NonResourceAttributes::default());
        assert!(asked(resource(), None).is_ok() && asked(None, path()).is_ok());
        assert!(asked(None, None).is_err() && asked(resource(), path()).is_err());
    }

    #[test]
    fn requirements_become_terms_and_what_is_none_is_told() {
        let given = json!({"requirements": [
            {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
            {"key": "status.phase", "operator": "NotIn", "values": ["x"]},
            {"key": "a", "operator": "Exists"},
        ]});
        let (selector, error) = fields(&Path::root("f"), serde_json::from_value(given).unwrap()).unwrap();
        assert_eq!(
            selector,
            FieldSelector::parse("spec.nodeName=n1,status.phase!=x").unwrap()
        );
        assert!(error.unwrap().contains("Exists"));
        let both = json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]});
        assert!(fields(&Path::root("f"), serde_json::from_value(both).unwrap()).is_err());
    }
}
