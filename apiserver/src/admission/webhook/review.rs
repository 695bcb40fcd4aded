//! AdmissionReview (`admission.k8s.io/v1`): the question to a webhook, and its answer read strictly.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::view::View;
use crate::status::ApiError;

const API_VERSION: &str = "admission.k8s.io/v1";
/// The longest reason that is taken over from a webhook, in characters: machine words are short.
const REASON_CHARS: usize = 256;

/// Which of the two kinds a webhook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It may change the object.
    Mutating,
    /// It may not.
    Validating,
}

/// What a webhook said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Yes, or why not.
    pub(super) verdict: Result<(), Denial>,
    /// A JSON patch.
    pub(super) patch: Option<Value>,
    /// Texts for the client.
    pub(super) warnings: Vec<String>,
    /// Texts for the audit log.
    pub(super) annotations: BTreeMap<String, String>,
}

/// A no, as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Denial {
    code: i64,
    reason: String,
    message: String,
}

impl Denial {
    /// As the client gets it: the webhook's own words, code and reason behind its name.
    pub(super) fn error(&self, webhook: &str) -> ApiError {
        let denied = format!("admission webhook {webhook:?} denied the request");
        let message = match (self.message.as_str(), self.reason.as_str()) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        let code = u16::try_from(self.code).unwrap_or(0);
        let code = if (400..600).contains(&code) { code } else { 400 };
        let reason: String = self.reason.chars().take(REASON_CHARS).collect();
        ApiError::foreign(code, reason, message)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    allowed: bool,
    status: Option<Denial>,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

/// The question.
pub(super) fn question(view: &View<'_>, described: &Value) -> Bytes {
    let mut request = described.clone();
    request["object"] = view.object.clone();
    request["oldObject"] = view.old.clone();
    json!({"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": request})
        .to_string()
        .into()
}

/// Reads the answer to the question of this uid.
///
/// # Errors
/// When it is none, in upstream's words.
pub(super) fn answer(given: Value, uid: &str, role: Role) -> Result<Answer, String> {
    let review: Review =
        serde_json::from_value(given).map_err(|error| format!("couldn't read the AdmissionReview: {error}"))?;
    let response = review.response.ok_or("webhook response was absent")?;
    if response.uid != uid {
        return Err(format!("expected response.uid={uid:?}, got {:?}", response.uid));
    }
    if (review.api_version.as_str(), review.kind.as_str()) != (API_VERSION, "AdmissionReview") {
        let (version, kind) = (review.api_version, review.kind);
        return Err(format!(
            "expected webhook response of {API_VERSION}, Kind=AdmissionReview, got {version}, Kind={kind}"
        ));
    }
    let patch = patch(
        response.patch.filter(|patch| !patch.is_empty()),
        response.patch_type,
        role,
    )?;
    Ok(Answer {
        verdict: if response.allowed {
            Ok(())
        } else {
            Err(response.status.unwrap_or_default())
        },
        patch,
        warnings: response.warnings.unwrap_or_default(),
        annotations: response.audit_annotations.unwrap_or_default(),
    })
}

fn patch(patch: Option<String>, kind: Option<String>, role: Role) -> Result<Option<Value>, String> {
    if role == Role::Validating {
        return match (patch, kind) {
            (Some(_), _) => Err("validating webhook may not return response.patch".to_owned()),
            (None, Some(_)) => Err("validating webhook may not return response.patchType".to_owned()),
            (None, None) => Ok(None),
        };
    }
    match (patch, kind.as_deref()) {
        (None, None) => Ok(None),
        (Some(_), None) => Err("webhook returned response.patch but not response.patchType".to_owned()),
        (None, Some(_)) => Err("webhook returned response.patchType but not response.patch".to_owned()),
        (Some(text), Some("JSONPatch")) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| "response.patch is not base64".to_owned())?;
            let patch = serde_json::from_slice(&bytes);
            patch
                .map(Some)
                .map_err(|error| format!("response.patch is no JSON patch: {error}"))
        }
        (Some(_), Some(other)) => Err(format!("webhook returned invalid response.patchType of {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: &Value, role: Role) -> Result<Answer, String> {
        let review = json!({"kind": "AdmissionReview", "apiVersion": API_VERSION, "response": response});
        answer(review, "u", role)
    }

    fn encoded(patch: &Value) -> String {
        STANDARD.encode(patch.to_string())
    }

    #[test]
    fn an_answer_is_read_strictly() {
        let patch = json!([{"op": "add", "path": "/a", "value": 1}]);
        let fine = json!({"uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": encoded(&patch)});
        assert_eq!(read(&fine, Role::Mutating).unwrap().patch, Some(patch));
        for (response, role, words) in [
            (Value::Null, Role::Mutating, "webhook response was absent"),
            (
                json!({"uid": "v", "allowed": true}),
                Role::Mutating,
                "expected response.uid=\"u\", got \"v\"",
            ),
            (json!({"uid": "u", "allowed": "yes"}), Role::Mutating, "invalid type"),
            (
                json!({"uid": "u", "patch": "W10="}),
                Role::Mutating,
                "but not response.patchType",
            ),
            (
                json!({"uid": "u", "patchType": "JSONPatch"}),
                Role::Mutating,
                "but not response.patch",
            ),
            (
                json!({"uid": "u", "patchType": "X", "patch": "W10="}),
                Role::Mutating,
                "invalid response.patchType of \"X\"",
            ),
            (
                json!({"uid": "u", "patchType": "JSONPatch", "patch": "%"}),
                Role::Mutating,
                "not base64",
            ),
            (
                json!({"uid": "u", "patchType": "JSONPatch", "patch": "Ww=="}),
                Role::Mutating,
                "no JSON patch",
            ),
            (
                json!({"uid": "u", "patch": "W10="}),
                Role::Validating,
                "may not return response.patch",
            ),
        ] {
            let refused = read(&response, role).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        let other = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v2", "response": {"uid": "u"}});
        assert!(
            answer(other, "u", Role::Validating)
                .unwrap_err()
                .starts_with("expected webhook response of")
        );
    }

    #[test]
    fn a_no_keeps_its_code_and_reason_and_never_looks_like_a_yes() {
        let no = |status: Value| {
            let answer = read(&json!({"uid": "u", "status": status}), Role::Validating).unwrap();
            answer.verdict.unwrap_err().error("h.x.y")
        };
        let error = no(json!({"code": 418, "reason": "Teapot", "message": "short and stout"}));
        assert_eq!((error.code(), error.reason()), (418, "Teapot"));
        assert_eq!(
            error.message(),
            "admission webhook \"h.x.y\" denied the request: short and stout"
        );
        let error = no(json!({"code": 200, "reason": "Odd"}));
        assert_eq!(
            (error.code(), error.message()),
            (400, "admission webhook \"h.x.y\" denied the request: Odd")
        );
        let error = no(json!({}));
        assert_eq!(
            error.message(),
            "admission webhook \"h.x.y\" denied the request without explanation"
        );
    }
}
