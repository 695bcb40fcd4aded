//! A token, please: for a ServiceAccount, for some audiences, for a time, perhaps bound to an object.

use breakbulk_schemas::field::{FieldError, Path};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequestSpec};
use serde_json::{Value, json};

use super::{Question, Sources};
use crate::authentication::{BoundKind, BoundObject, ISSUER, Order};
use crate::registry::object;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult, Target};

/// How long a token is good that says nothing of it, and the bounds, in seconds, as upstream.
const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;

/// The whole answer: what was left out of the spec is filled in.
pub(super) async fn make(sources: Sources<'_>, question: &Question<'_>) -> ApiResult<Value> {
    let (Some(namespace), Some(account)) = (question.namespace, question.name) else {
        return Err(ApiError::no_such_path());
    };
    let found = fetch(sources.objects, "serviceaccounts", namespace, account).await?;
    let spec: TokenRequestSpec = question.spec()?;
    let seconds = spec.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
    let errors = mistakes(question.body, namespace, account, seconds);
    if !errors.is_empty() {
        return Err(ApiError::invalid(question.target(), &errors));
    }
    let reference = spec.bound_object_ref;
    let bound = match &reference {
        Some(reference) => Some(bound(sources.objects, namespace, account, reference).await?),
        None => None,
    };
    let audiences = if spec.audiences.is_empty() {
        vec![ISSUER.to_owned()]
    } else {
        spec.audiences
    };
    let issued = sources
        .tokens
        .issue(Order {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            uid: object::meta(&found, "uid").to_owned(),
            audiences: audiences.clone(),
            seconds,
            bound,
        })
        .await
        .map_err(|error| {
            tracing::error!(%error, "cannot make a token");
            ApiError::internal("failed to generate token")
        })?;
    tracing::debug!(namespace, account, id = issued.id, "made a token");
    let spec = json!({"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference});
    let status = json!({"token": issued.token, "expirationTimestamp": issued.expires});
    let mut answer = question.answered(spec, status);
    answer["metadata"]["name"] = json!(account);
    answer["metadata"]["namespace"] = json!(namespace);
    answer["metadata"]["creationTimestamp"] = json!(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    Ok(answer)
}

fn mistakes(body: &Value, namespace: &str, account: &str, seconds: i64) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let metadata = Path::root("metadata");
    for (field, expected, what) in [("name", account, "name"), ("namespace", namespace, "namespace")] {
        let given = object::meta(body, field);
        if !given.is_empty() && given != expected {
            let detail = format!("must match the service account {what} if specified");
            errors.push(FieldError::invalid(metadata.child(field), given, detail));
        }
    }
    let detail = match seconds {
        ..LEAST_SECONDS => "may not specify a duration less than 10 minutes",
        _ if seconds > MOST_SECONDS => "may not specify a duration larger than 2^32 seconds",
        _ => return errors,
    };
    let path = Path::root("spec").child("expirationSeconds");
    let mut error = FieldError::invalid(path, "", detail);
    error.value = Some(seconds.to_string());
    errors.push(error);
    errors
}

async fn fetch(objects: &Objects, plural: &str, namespace: &str, name: &str) -> ApiResult<Value> {
    let not_found = || ApiError::not_found(Target::new("", plural, name));
    let resource = objects.registry.find("", "v1", plural).ok_or_else(not_found)?;
    let namespace = resource.namespaced.then_some(namespace);
    let bytes = objects.get(&resource, namespace, name).await?;
    serde_json::from_slice(&bytes).map_err(|_| ApiError::internal("a stored object cannot be read"))
}

/// The object that a token is to live no longer than.
async fn bound(
    objects: &Objects,
    namespace: &str,
    account: &str,
    reference: &BoundObjectReference,
) -> ApiResult<BoundObject> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (api_version, kind, name) = (
        text(&reference.api_version),
        text(&reference.kind),
        text(&reference.name),
    );
    let Some(kind) = BoundKind::parse(&api_version, &kind) else {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to object of type {api_version}, Kind={kind}"
        )));
    };
    let found = fetch(objects, kind.plural(), namespace, &name).await?;
    let uid = object::meta(&found, "uid").to_owned();
    if reference
        .uid
        .as_ref()
        .is_some_and(|given| !given.is_empty() && *given != uid)
    {
        return Err(ApiError::conflict(
            Target::new("", &text(&reference.kind), &name),
            format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
                 deleted and then recreated",
                text(&reference.uid)
            ),
        ));
    }
    Ok(BoundObject { kind, name, uid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_ten_minutes_at_least() {
        let texts = |seconds| -> Vec<String> {
            mistakes(&json!({}), "ns", "ci", seconds)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(
            texts(10),
            ["spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"]
        );
        assert!(texts(600).is_empty() && texts(MOST_SECONDS).is_empty());
        assert_eq!(texts(MOST_SECONDS + 1).len(), 1);
        assert_eq!(texts(-1).len(), 1);
        assert_eq!(
            mistakes(&json!({"metadata": {"name": "other"}}), "ns", "ci", 600).len(),
            1
        );
    }
}
