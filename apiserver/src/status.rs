//! Status: how every refusal looks on the wire. The constructors carry upstream's texts, since clients match on them
//! (`k8s.io/apimachinery/pkg/api/errors`). Nothing here decides; it only says.

use std::fmt;

use breakbulk_schemas::field::FieldError;
use serde_json::{Value, json};

/// An answer that is not the thing asked for: HTTP code, machine-readable reason, words.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: u16,
    reason: &'static str,
    message: String,
    target: Target,
    causes: Vec<Cause>,
    retry_after: Option<u32>,
    continue_token: Option<String>,
}

/// What the refusal is about: `details` of a Status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The object's name.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its resource in the plural, or its kind in a 422.
    pub kind: String,
    /// Its uid.
    pub uid: String,
}

/// One of the causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid` and the like.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field's path.
    pub field: String,
}

/// Result of anything that answers a request.
pub type ApiResult<T> = Result<T, ApiError>;

impl Target {
    /// About an object of a resource.
    pub fn new(group: &str, kind: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            uid: String::new(),
        }
    }

    /// `jobs.breakbulk.dev`, or `secrets` in the core group.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            reason,
            message: message.into(),
            target: Target::default(),
            causes: Vec::new(),
            retry_after: None,
            continue_token: None,
        }))
    }

    fn about(mut self, target: Target) -> Self {
        self.0.target = target;
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    fn cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        self.0.causes.push(Cause {
            reason: reason.to_owned(),
            message: message.into(),
            field: field.to_owned(),
        });
        self
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403.
    pub fn forbidden(target: Target, why: impl fmt::Display) -> Self {
        let message = if target.name.is_empty() {
            format!("{} is forbidden: {why}", target.qualified())
        } else {
            format!("{} {:?} is forbidden: {why}", target.qualified(), target.name)
        };
        Self::new(403, "Forbidden", message).about(target)
    }

    /// 403 with a cause that clients look for.
    pub fn forbidden_because(target: Target, why: impl fmt::Display, cause: &str, field: &str) -> Self {
        let text = why.to_string();
        Self::forbidden(target, &text).cause(cause, text, field)
    }

    /// 403 for a path that is no resource.
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        Self::new(
            403,
            "Forbidden",
            format!("forbidden: User {user:?} cannot {verb} path {path:?}"),
        )
    }

    /// Whether a 404 is about an object, and not about a path that is not served.
    pub fn is_about_a_missing_object(&self) -> bool {
        self.0.code == 404 && !self.0.target.name.is_empty()
    }

    /// 404 for an object.
    pub fn not_found(target: Target) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} {:?} not found", target.qualified(), target.name),
        )
        .about(target)
    }

    /// 404 for a path.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405, for a reason of its own.
    pub fn method_not_allowed_because(message: impl Into<String>) -> Self {
        Self::new(405, "MethodNotAllowed", message)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 406.
    pub fn not_acceptable(accepted: &str) -> Self {
        Self::new(
            406,
            "NotAcceptable",
            format!("only the following media types are accepted: {accepted}"),
        )
    }

    /// 409 on create.
    pub fn already_exists(target: Target, deleting: bool) -> Self {
        let prefix = if deleting { "object is being deleted: " } else { "" };
        Self::new(
            409,
            "AlreadyExists",
            format!("{prefix}{} {:?} already exists", target.qualified(), target.name),
        )
        .about(target)
    }

    /// 409 when every generated name was taken.
    pub fn name_clash(target: Target) -> Self {
        Self::already_exists(target, false).retry_after(1)
    }

    /// 409 on update, with what went wrong.
    pub fn conflict(target: Target, why: impl fmt::Display) -> Self {
        Self::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} {:?}: {why}",
                target.qualified(),
                target.name
            ),
        )
        .about(target)
    }

    /// 409 for a stale resourceVersion.
    pub fn modified(target: Target) -> Self {
        Self::conflict(
            target,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 when a configuration would change what others own.
    pub fn apply_conflict(message: String, causes: impl Iterator<Item = (String, String)>) -> Self {
        let error = Self::new(409, "Conflict", message);
        causes.fold(error, |error, (message, field)| {
            error.cause("FieldManagerConflict", message, &field)
        })
    }

    /// 410 for a list or a watch from a revision that is gone.
    pub fn expired(requested: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {requested} ({oldest})"),
        )
    }

    /// 410 for a continue token whose revision is gone, with one that goes on at the latest.
    pub fn continue_expired(token: Option<String>) -> Self {
        let mut error = Self::new(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter, or use the continue token in this response to retrieve the remainder of \
             the results. Continuing with the provided token results in an inconsistent list - objects that were \
             created, modified, or deleted between the time the first chunk was returned and now may show up in the \
             list.",
        );
        error.0.continue_token = token;
        error
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 413 for a JSON patch.
    pub fn too_many_operations(count: usize, limit: usize) -> Self {
        Self::new(
            413,
            "RequestEntityTooLarge",
            format!("The allowed maximum operations in a JSON patch is {limit}, got {count}"),
        )
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422, with every mistake found.
    pub fn invalid(kind: Target, errors: &[FieldError]) -> Self {
        let words = match errors {
            [one] => one.to_string(),
            many => format!(
                "[{}]",
                many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ),
        };
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{} {:?} is invalid: {words}", kind.qualified(), kind.name),
        )
        .about(kind);
        for each in errors {
            error = error.cause(each.kind.reason(), each.body(), each.path.as_str());
        }
        error
    }

    /// 422 for a patch that does not apply.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// 422 for request options.
    pub fn invalid_options(kind: &str, errors: &[FieldError]) -> Self {
        Self::invalid(Target::new("meta.k8s.io", kind, ""), errors)
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>) -> Self {
        Self::new(429, "TooManyRequests", message).retry_after(1)
    }

    /// 500. The message is for the client: it must not carry internals.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message).retry_after(1)
    }

    /// 504 for a request that took too long.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message)
    }

    /// 504 for a resourceVersion that the server has not seen yet.
    pub fn version_too_large(requested: u64, current: u64) -> Self {
        Self::new(
            504,
            "Timeout",
            format!("Too large resource version: {requested}, current: {current}"),
        )
        .cause("ResourceVersionTooLarge", "Too large resource version", "")
        .retry_after(1)
    }

    /// The HTTP code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The machine-readable reason.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// The words.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Seconds for a `Retry-After` header.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.0.retry_after
    }

    /// The Status object.
    pub fn to_json(&self) -> Value {
        let inner = &*self.0;
        let mut details = serde_json::Map::new();
        let target = &inner.target;
        for (key, value) in [
            ("name", &target.name),
            ("group", &target.group),
            ("kind", &target.kind),
            ("uid", &target.uid),
        ] {
            if !value.is_empty() {
                details.insert(key.to_owned(), json!(value));
            }
        }
        if !inner.causes.is_empty() {
            let causes = inner
                .causes
                .iter()
                .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}));
            details.insert("causes".to_owned(), causes.collect());
        }
        if let Some(seconds) = inner.retry_after {
            details.insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        let metadata = match &inner.continue_token {
            Some(token) => json!({ "continue": token }),
            None => json!({}),
        };
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": inner.message, "reason": inner.reason, "code": inner.code,
        });
        if !details.is_empty() {
            status["details"] = Value::Object(details);
        }
        status
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.code, self.0.reason, self.0.message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl From<breakbulk_store::Error> for ApiError {
    /// What the store says is ours, not the client's, and its words stay in our log.
    fn from(error: breakbulk_store::Error) -> Self {
        tracing::error!(%error, "the store failed");
        Self::unavailable("the store is not available")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_from_the_future_says_so_and_when_to_come_back() {
        let error = ApiError::version_too_large(9, 4);
        assert_eq!(
            (error.code(), error.reason(), error.retry_after_seconds()),
            (504, "Timeout", Some(1))
        );
        let status = error.to_json();
        assert_eq!(status["message"], "Too large resource version: 9, current: 4");
        assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    }

    #[test]
    fn every_mistake_is_a_cause_and_one_is_said_without_brackets() {
        use breakbulk_schemas::field::Path;
        let one = FieldError::invalid(Path::root("a"), "x", "must be y");
        let error = ApiError::invalid(Target::new("g", "K", "n"), std::slice::from_ref(&one));
        assert_eq!(
            error.message(),
            "K.g \"n\" is invalid: a: Invalid value: \"x\": must be y"
        );
        let error = ApiError::invalid(Target::new("g", "K", "n"), &[one.clone(), one]);
        assert!(error.message().starts_with("K.g \"n\" is invalid: [a: "));
        assert_eq!(error.to_json()["details"]["causes"].as_array().unwrap().len(), 2);
    }
}
