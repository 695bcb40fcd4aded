//! The rules of a GitRepository: an address that is one, and nothing that a git command would take for an option.

use serde_json::Value;

use super::GitRepositorySpec;
use crate::decode;
use crate::field::{ErrorKind, FieldError, Path};
use crate::{Duration, pipeline_run};

/// How often a repository may be looked at.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Every mistake in a GitRepository.
pub fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::root("spec");
    let value = new.get("spec").unwrap_or(&Value::Null);
    let Some(spec) = decode::decode::<GitRepositorySpec>(value, &[], &root, &mut errors) else {
        return errors;
    };
    errors.extend(url(&spec.url, root.child("url")));
    if let Some(interval) = spec.interval
        && interval < MIN_INTERVAL
    {
        errors.push(FieldError::invalid(
            root.child("interval"),
            &interval.to_string(),
            "must be at least 1s",
        ));
    }
    if let Some(branch) = &spec.default_branch {
        let full = format!("refs/heads/{branch}");
        if pipeline_run::rules::full_ref(root.clone(), &full).is_some() {
            let detail = "must be a branch's short name such as `main`";
            errors.push(FieldError::invalid(root.child("defaultBranch"), branch, detail));
        }
    }
    errors
}

fn url(url: &str, path: Path) -> Option<FieldError> {
    let detail =
        "must be `https://…`, `http://…`, `ssh://…`, `git://…`, `file://…`, `user@host:path` or an absolute path";
    if url.starts_with('-') || url.chars().any(|c| c.is_control() || c.is_whitespace()) || url.contains("::") {
        return Some(FieldError::invalid(path, url, detail));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        let scp = url.split_once(':').is_some_and(|(host, rest)| {
            !host.contains('/')
                && !host.is_empty()
                && !host.split('@').any(|part| part.is_empty() || part.starts_with('-'))
                && !rest.starts_with('-')
        });
        return (!url.starts_with('/') && !scp).then(|| FieldError::invalid(path, url, detail));
    };
    if !matches!(scheme, "https" | "http" | "ssh" | "git" | "file") {
        return Some(FieldError::invalid(path, url, detail));
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    if user.is_some_and(|user| user.contains(':')) {
        // The value is not repeated: it holds a password.
        let detail = "must not hold a password: put it into a Secret and name that in `secretRef`";
        return Some(FieldError::new(path, ErrorKind::Forbidden, detail));
    }
    let host_missing = host.is_empty() && scheme != "file";
    let option_like = host.starts_with('-') || user.is_some_and(|user| user.starts_with('-'));
    (host_missing || option_like).then(|| FieldError::invalid(path, url, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_options_and_helpers() {
        for good in [
            "https://example.com/a.git",
            "ssh://git@example.com:22/a",
            "git@example.com:a/b.git",
            "file:///srv/a",
            "/srv/a",
        ] {
            assert_eq!(url(good, Path::root("u")), None, "{good}");
        }
        for bad in [
            "-oProxyCommand=x",
            "ext::sh -c id",
            "ssh://-oProxyCommand=x/y",
            "ftp://x/y",
            "a/b",
            "https://",
            "-x:y",
            "x y",
            "git@-x:y",
            "",
        ] {
            assert!(url(bad, Path::root("u")).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let error = url("https://u:hunter2@example.com/a", Path::root("u")).unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
