//! What a URL asks for. Parsing only; whether such a resource exists is the registry's to say.

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/healthz`, `/livez`, `/readyz`, or a check below one of them.
    Health(HealthPath),
    /// `/version`.
    Version,
    /// `/metrics`.
    Metrics,
    /// `/.well-known/openid-configuration`.
    OpenIdConfiguration,
    /// `/openid/v1/jwks`.
    OpenIdKeys,
    /// `/api`.
    LegacyVersions,
    /// `/apis`.
    Groups,
    /// `/apis/G`.
    Group(String),
    /// `/api/v1`, `/apis/G/V`.
    Resources {
        /// The group, empty for the core group.
        group: String,
        /// The version.
        version: String,
    },
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`, or a document below it.
    OpenApiV3(Option<String>),
    /// Objects.
    Objects(ObjectPath),
    /// Nothing that is known.
    Unknown,
}

/// A path that asks how the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthPath {
    /// `healthz`, `livez` or `readyz`.
    pub(crate) root: &'static str,
    /// The one check that is asked for.
    pub(crate) check: Option<String>,
}

/// A path to objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPath {
    /// The group, empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// `jobs`.
    pub plural: String,
    /// The namespace, if the path names one.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// `status`, `log`, `finalize`.
    pub subresource: Option<String>,
}

impl Route {
    /// Parses the path of a URL, percent-encoding and trailing slash included.
    pub(crate) fn parse(path: &str) -> Self {
        parse(path)
    }
}

fn parse(path: &str) -> Route {
    let trimmed = path.trim_start_matches('/').trim_end_matches('/');
    let Some(parts) = trimmed.split('/').map(percent_decode).collect::<Option<Vec<String>>>() else {
        return Route::Unknown;
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["healthz", check @ ..] => health("healthz", check),
        ["livez", check @ ..] => health("livez", check),
        ["readyz", check @ ..] => health("readyz", check),
        ["version"] => Route::Version,
        ["metrics"] => Route::Metrics,
        [".well-known", "openid-configuration"] => Route::OpenIdConfiguration,
        ["openid", "v1", "jwks"] => Route::OpenIdKeys,
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiV3(None),
        ["openapi", "v3", rest @ ..] => Route::OpenApiV3(Some(rest.join("/"))),
        ["api"] => Route::LegacyVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["api", version] => resources("", version),
        ["apis", group, version] => resources(group, version),
        ["api", version, rest @ ..] => objects("", version, rest),
        ["apis", group, version, rest @ ..] => objects(group, version, rest),
        _ => Route::Unknown,
    }
}

fn health(root: &'static str, check: &[&str]) -> Route {
    let check = (!check.is_empty()).then(|| check.join("/"));
    Route::Health(HealthPath { root, check })
}

fn resources(group: &str, version: &str) -> Route {
    Route::Resources {
        group: group.to_owned(),
        version: version.to_owned(),
    }
}

fn objects(group: &str, version: &str, rest: &[&str]) -> Route {
    // Only the last part may be empty by a doubled slash; an empty name in the middle means nothing.
    if rest
        .iter()
        .any(|part| part.is_empty() || *part == "." || *part == ".." || part.contains('/'))
    {
        return Route::Unknown;
    }
    let own = |s: &str| Some(s.to_owned());
    let base = ObjectPath {
        group: group.to_owned(),
        version: version.to_owned(),
        ..ObjectPath::default()
    };
    let path = match rest {
        ["namespaces", name, sub @ ("status" | "finalize")] => ObjectPath {
            plural: "namespaces".to_owned(),
            name: own(name),
            subresource: own(sub),
            ..base
        },
        ["namespaces", namespace, plural, tail @ ..] if tail.len() <= 2 => ObjectPath {
            plural: (*plural).to_owned(),
            namespace: own(namespace),
            name: tail.first().map(|s| (*s).to_owned()),
            subresource: tail.get(1).map(|s| (*s).to_owned()),
            ..base
        },
        [plural, tail @ ..] if tail.len() <= 2 => ObjectPath {
            plural: (*plural).to_owned(),
            name: tail.first().map(|s| (*s).to_owned()),
            subresource: tail.get(1).map(|s| (*s).to_owned()),
            ..base
        },
        _ => return Route::Unknown,
    };
    Route::Objects(path)
}

/// Decodes `%41`; none when it is malformed, not UTF-8, or holds a zero byte.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = bytes.get(at + 1..at + 3)?;
            let digits = std::str::from_utf8(digits)
                .ok()
                .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).ok().filter(|s| !s.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> ObjectPath {
        match parse(text) {
            Route::Objects(path) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_read_as_upstream_reads_them() {
        let job = path("/apis/breakbulk.dev/v1/namespaces/ns/jobs/a/log");
        assert_eq!((job.plural.as_str(), job.namespace.as_deref()), ("jobs", Some("ns")));
        assert_eq!(
            (job.name.as_deref(), job.subresource.as_deref()),
            (Some("a"), Some("log"))
        );
        let namespace = path("/api/v1/namespaces/x");
        assert_eq!(
            (namespace.plural.as_str(), namespace.name.as_deref()),
            ("namespaces", Some("x"))
        );
        assert_eq!(
            path("/api/v1/namespaces/x/finalize").subresource.as_deref(),
            Some("finalize")
        );
        assert_eq!(path("/api/v1/nodes/n/status").subresource.as_deref(), Some("status"));
        assert_eq!(parse("/version/"), Route::Version);
        assert_eq!(parse("/api/"), Route::LegacyVersions);
        assert_eq!(parse("/livez/ping"), health("livez", &["ping"]));
        assert_eq!(parse("/api/v1/namespaces/../nodes"), Route::Unknown);
        assert_eq!(parse("/api/v1/nodes/a%2fb"), Route::Unknown);
    }

    proptest! {
        #[test]
        fn no_path_makes_the_parser_panic(text in "\\PC{0,80}") {
            let _ = parse(&text);
            let _ = parse(&format!("/apis/{text}"));
        }
    }
}
