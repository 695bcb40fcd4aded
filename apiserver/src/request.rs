//! What a request is, read once from its head: the verb, what it is about, and how long it may take. Overload control,
//! metrics, the audit log and routing all read this; none of them parses a URL again. It says nothing about whether the
//! request is allowed or what it asks for exists.
//!
//! The words are those of upstream's RequestInfo (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::endpoints::{ObjectPath, Route};
use crate::status::{ApiError, ApiResult};

/// The longest a write may take (`handlers.requestTimeoutUpperBound`).
const MUTATION_DEADLINE: Duration = Duration::from_secs(34);
/// The longest anything else may take that does not stream (`--request-timeout`).
const DEADLINE: Duration = Duration::from_secs(60);

/// Whether a request changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It reads.
    ReadOnly,
    /// It may write.
    Mutating,
}

/// How long an answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Until it is told.
    Short,
    /// As long as its reader wants: a watch, a log.
    LongRunning,
}

/// What stands in the query that matters before a handler has looked at it. What is malformed counts as not said; the
/// handler refuses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hints {
    watch: bool,
    dry_run: bool,
    pretty: Option<bool>,
    timeout: Option<String>,
}

/// A request, as everything that handles requests in general sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// What the URL asks for.
    pub(crate) route: Route,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for what is no object the
    /// method in lower case, HEAD as `get`.
    pub verb: &'static str,
    /// Path and query, as they were sent.
    pub uri: String,
    /// Where the path ends in `uri`.
    path_end: usize,
    hints: Hints,
    patch: Patch,
}

/// Whether a PATCH is a server-side apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patch {
    Apply,
    Other,
}

impl RequestInfo {
    /// Reads the head of a request.
    pub fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or("");
        let route = Route::parse(path);
        let hints = Hints::parse(query);
        let verb = match &route {
            Route::Objects(object) => object_verb(&parts.method, object, hints.watch),
            _ => method_verb(&parts.method),
        };
        let media = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
        let patch = if media.starts_with(b"application/apply-patch+") {
            Patch::Apply
        } else {
            Patch::Other
        };
        let mut uri = String::with_capacity(path.len() + query.len() + 1);
        uri.push_str(path);
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(query);
        }
        Self {
            route,
            verb,
            uri,
            path_end: path.len(),
            hints,
            patch,
        }
    }

    /// The verb as metrics spell it.
    pub fn metric_verb(&self) -> &'static str {
        match (self.verb, self.patch) {
            ("get", _) => "GET",
            ("list", _) => "LIST",
            ("watch", _) => "WATCH",
            ("create" | "post", _) => "POST",
            ("update" | "put", _) => "PUT",
            ("patch", Patch::Apply) => "APPLY",
            ("patch", Patch::Other) => "PATCH",
            ("delete", _) => "DELETE",
            ("deletecollection", _) => "DELETECOLLECTION",
            ("options", _) => "OPTIONS",
            ("connect", _) => "CONNECT",
            _ => "other",
        }
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        &self.uri[..self.path_end]
    }

    /// The objects it is about, if it is about objects.
    pub fn object(&self) -> Option<&ObjectPath> {
        match &self.route {
            Route::Objects(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it changes something.
    pub fn effect(&self) -> Effect {
        match self.verb {
            "get" | "list" | "watch" => Effect::ReadOnly,
            _ => Effect::Mutating,
        }
    }

    /// Whether its answer is a stream.
    pub fn lasting(&self) -> Lasting {
        let log = self
            .object()
            .is_some_and(|path| self.verb == "get" && path.subresource.as_deref() == Some("log"));
        if self.verb == "watch" || log {
            Lasting::LongRunning
        } else {
            Lasting::Short
        }
    }

    /// `All` for a dry run, else empty: as metrics spell it.
    pub fn dry_run(&self) -> &'static str {
        if self.hints.dry_run { "All" } else { "" }
    }

    /// `?pretty=`, where it is said.
    pub fn pretty(&self) -> Option<bool> {
        self.hints.pretty
    }

    /// `resource`, `namespace` or `cluster`, as metrics spell it; empty for what is no object.
    pub fn scope(&self) -> &'static str {
        match self.object() {
            Some(path) if path.name.is_some() || self.verb == "create" => "resource",
            Some(path) if path.namespace.is_some() => "namespace",
            Some(_) => "cluster",
            None => "",
        }
    }

    /// How long it may take: what it asks for, and no longer than its kind may. None for a stream.
    ///
    /// # Errors
    /// 400 when `?timeout=` is no duration (`filters/request_deadline.go`).
    pub fn deadline(&self) -> ApiResult<Option<Duration>> {
        let longest = match (self.lasting(), self.effect()) {
            (Lasting::LongRunning, _) => return Ok(None),
            (Lasting::Short, Effect::Mutating) => MUTATION_DEADLINE,
            (Lasting::Short, Effect::ReadOnly) => DEADLINE,
        };
        let Some(text) = self.hints.timeout.as_deref().filter(|t| !t.is_empty()) else {
            return Ok(Some(longest));
        };
        let asked = go_duration(text).map_err(|why| {
            ApiError::bad_request(format!("invalid timeout specified in the request URL - time: {why}"))
        })?;
        // Zero and below mean "no opinion".
        Ok(Some(if asked.is_zero() { longest } else { asked.min(longest) }))
    }

    /// What a request that has taken too long is told.
    pub fn too_late(&self) -> ApiError {
        ApiError::timeout(match self.effect() {
            Effect::Mutating => {
                "Timeout: request did not complete within requested timeout - context deadline exceeded"
            }
            Effect::ReadOnly => "Timeout: request did not complete within the allotted timeout",
        })
    }

    /// The methods that its path has, for the `Allow` of a 405.
    pub fn allowed_methods(&self) -> &'static str {
        match self.object() {
            Some(path) if path.name.is_some() => "DELETE, GET, HEAD, PATCH, PUT",
            Some(_) => "DELETE, GET, HEAD, POST",
            None => "GET, HEAD",
        }
    }
}

fn method_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" | "HEAD" => "get",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        "CONNECT" => "connect",
        // What nobody has heard of is not worth a word of its own: words become labels.
        _ => "other",
    }
}

fn object_verb(method: &Method, path: &ObjectPath, watch: bool) -> &'static str {
    match (method.as_str(), path.name.is_some()) {
        ("GET" | "HEAD", true) => {
            if watch && path.subresource.is_none() {
                "watch"
            } else {
                "get"
            }
        }
        ("GET" | "HEAD", false) => {
            if watch {
                "watch"
            } else {
                "list"
            }
        }
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("DELETE", false) => "deletecollection",
        _ => method_verb(method),
    }
}

impl Hints {
    fn parse(query: &str) -> Self {
        let mut hints = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "watch" => hints.watch |= matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
                "dryRun" => hints.dry_run |= value == "All",
                "pretty" if !value.is_empty() && hints.pretty.is_none() => {
                    hints.pretty = Some(matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"));
                }
                "timeout" if hints.timeout.is_none() => hints.timeout = Some(value.to_owned()),
                _ => {}
            }
        }
        hints
    }
}

/// Reads a duration as Go's `time.ParseDuration` does (`1m30s`, `1.5h`, `300ms`); a negative one is zero. Errors are
/// Go's words.
fn go_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "" => return Err(format!("missing unit in duration {text:?}")),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            other => return Err(format!("unknown unit {other:?} in duration {text:?}")),
        };
        rest = &rest[end..];
        seconds += number * unit;
    }
    // Go counts nanoseconds in 63 bits: some 292 years.
    if seconds > 9.2e9 {
        return Err(invalid());
    }
    Ok(Duration::from_secs_f64(if negative { 0.0 } else { seconds }))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn info(method: &str, uri: &str) -> RequestInfo {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        RequestInfo::of(&request.into_parts().0)
    }

    #[test]
    fn a_request_is_read_as_upstream_reads_it() {
        for (method, uri, verb, scope) in [
            ("GET", "/api/v1/namespaces/a/secrets?watch=1", "watch", "namespace"),
            ("GET", "/api/v1/namespaces/a/secrets/x?watch=true", "watch", "resource"),
            ("HEAD", "/api/v1/nodes", "list", "cluster"),
            ("POST", "/api/v1/namespaces/a/secrets", "create", "resource"),
            (
                "DELETE",
                "/api/v1/namespaces/a/secrets",
                "deletecollection",
                "namespace",
            ),
            ("PATCH", "/api/v1/nodes/n", "patch", "resource"),
            ("HEAD", "/livez/ping", "get", ""),
            ("BREW", "/coffee", "other", ""),
        ] {
            let info = info(method, uri);
            assert_eq!((info.verb, info.scope()), (verb, scope), "{method} {uri}");
        }
        assert_eq!(
            info("GET", "/apis/g/v/namespaces/a/jobs/j/log?follow=true").lasting(),
            Lasting::LongRunning
        );
        assert_eq!(info("DELETE", "/api/v1/nodes/n?dryRun=All").dry_run(), "All");
    }

    #[test]
    fn a_timeout_is_respected_up_to_the_limit_of_its_kind() {
        let seconds = |method, uri| info(method, uri).deadline().unwrap().map(|d| d.as_secs_f64());
        assert_eq!(seconds("GET", "/api/v1/nodes?timeout=1.5s"), Some(1.5));
        assert_eq!(seconds("GET", "/api/v1/nodes?timeout=1h"), Some(60.0));
        assert_eq!(seconds("GET", "/api/v1/nodes?timeout=0s"), Some(60.0));
        assert_eq!(seconds("POST", "/api/v1/nodes?timeout=5m"), Some(34.0));
        assert_eq!(seconds("GET", "/api/v1/nodes?watch=true&timeout=1s"), None);
        let refused = info("GET", "/api/v1/nodes?timeout=invalid").deadline().unwrap_err();
        assert_eq!(
            refused.message(),
            "invalid timeout specified in the request URL - time: invalid duration \"invalid\""
        );
    }

    proptest! {
        #[test]
        fn no_duration_makes_the_parser_panic(text in "[-+0-9.a-zµ]{0,24}") {
            let _ = go_duration(&text);
        }

        #[test]
        fn no_query_makes_the_hints_panic(text in "\\PC{0,60}") {
            let _ = Hints::parse(&text);
        }
    }
}
