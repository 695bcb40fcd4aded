//! How objects are converted between versions: not at all, or by a webhook, which must be one that can be called.

use breakbulk_schemas::field::Path;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, ServiceReference, WebhookClientConfig,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::check::Mistakes;
use super::text::{dns1035_label, dns1123_subdomain};

/// Versions of ConversionReview that are spoken here.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const FORM: &str = "; desired format: https://host[/path]";

/// Whether a bundle of certificates that cannot be read is let pass: until a definition is established it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadBundle {
    Passes,
    Refused,
}

pub(super) fn validate(conversion: &CustomResourceConversion, path: &Path, bundle: BadBundle, mistakes: &mut Mistakes) {
    let client = conversion
        .webhook
        .as_ref()
        .and_then(|webhook| webhook.client_config.as_ref());
    let versions = conversion
        .webhook
        .as_ref()
        .map(|webhook| webhook.conversion_review_versions.as_slice());
    let versions = versions.unwrap_or_default();
    // Upstream's names of these two are older than what users write.
    let (client_path, versions_path) = (
        path.child("webhookClientConfig"),
        path.child("conversionReviewVersions"),
    );
    match conversion.strategy.as_str() {
        "Webhook" => {
            match client {
                None => mistakes.required(client_path, "required when strategy is set to Webhook"),
                Some(client) => validate_client(client, &client_path, bundle, mistakes),
            }
            validate_versions(versions, &versions_path, mistakes);
            return;
        }
        "None" => {}
        "" => mistakes.required(path.child("strategy"), ""),
        other => mistakes.not_supported(path.child("strategy"), other, &["None", "Webhook"]),
    }
    let unset = "should not be set when strategy is not set to Webhook";
    if client.is_some() {
        mistakes.forbidden(client_path, unset);
    }
    if !versions.is_empty() {
        mistakes.forbidden(versions_path, unset);
    }
}

fn validate_versions(versions: &[String], path: &Path, mistakes: &mut Mistakes) {
    if versions.is_empty() {
        mistakes.required(path.clone(), "");
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            mistakes.invalid(path.index(index), version.as_str(), "duplicate version");
            continue;
        }
        for problem in dns1035_label(version) {
            mistakes.invalid(path.index(index), version.as_str(), problem);
        }
    }
    if !versions.iter().any(|version| REVIEWS.contains(&version.as_str())) {
        let detail = format!("must include at least one of {}", REVIEWS.join(", "));
        mistakes.invalid(path.clone(), versions, detail);
    }
}

fn validate_client(client: &WebhookClientConfig, path: &Path, bad: BadBundle, mistakes: &mut Mistakes) {
    match (&client.url, &client.service) {
        (Some(url), None) => validate_url(url, &path.child("url"), mistakes),
        (None, Some(service)) => validate_service(service, &path.child("service"), mistakes),
        _ => mistakes.required(path.clone(), "exactly one of url or service is required"),
    }
    if bad == BadBundle::Refused
        && let Some(problem) = bundle_problem(client)
    {
        let shown = serde_json::to_value(&client.ca_bundle).unwrap_or_default();
        mistakes.invalid(path.child("caBundle"), shown, problem);
    }
}

/// What is wrong with the certificates that a webhook's server is told by, if there are any.
pub(super) fn bundle_problem(client: &WebhookClientConfig) -> Option<&'static str> {
    let bundle = &client.ca_bundle.as_ref().filter(|bundle| !bundle.0.is_empty())?.0;
    let mut certificates = CertificateDer::pem_slice_iter(bundle);
    let readable = certificates.next().is_some_and(|first| {
        first.is_ok_and(|der| x509_parser::parse_x509_certificate(&der).is_ok())
            && certificates.all(|more| more.is_ok())
    });
    (!readable).then_some("unable to load root certificates: unable to parse bytes as PEM block")
}

/// A URL in its parts, as far as they are asked about.
struct Url<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Self {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        };
        let (scheme, rest) = rest
            .split_once(':')
            .filter(|(scheme, _)| is_scheme(scheme))
            .unwrap_or(("", rest));
        let authority = rest
            .strip_prefix("//")
            .map(|rest| rest.split('/').next().unwrap_or_default());
        let authority = authority.unwrap_or_default();
        let (user, host) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(user, host)| (Some(user), host));
        Self {
            scheme,
            user,
            host,
            query,
            fragment,
        }
    }
}

fn validate_url(text: &str, path: &Path, mistakes: &mut Mistakes) {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        let detail =
            format!("url must be a valid URL: parse {text:?}: net/url: invalid control character in URL{FORM}");
        mistakes.required(path.clone(), detail);
        return;
    }
    let url = Url::parse(text);
    if !url.scheme.eq_ignore_ascii_case("https") {
        mistakes.invalid(
            path.clone(),
            url.scheme,
            format!("'https' is the only allowed URL scheme{FORM}"),
        );
    }
    if url.host.is_empty() {
        mistakes.invalid(path.clone(), url.host, format!("host must be specified{FORM}"));
    }
    if let Some(user) = url.user {
        mistakes.invalid(path.clone(), user, "user information is not permitted in the URL");
    }
    if !url.fragment.is_empty() {
        mistakes.invalid(path.clone(), url.fragment, "fragments are not permitted in the URL");
    }
    if !url.query.is_empty() {
        mistakes.invalid(path.clone(), url.query, "query parameters are not permitted in the URL");
    }
}

fn validate_service(service: &ServiceReference, path: &Path, mistakes: &mut Mistakes) {
    for (field, name) in [("name", &service.name), ("namespace", &service.namespace)] {
        if name.is_empty() {
            mistakes.required(path.child(field), "");
        }
    }
    let port = service.port.unwrap_or(super::HTTPS);
    if !(1..=65_535).contains(&port) {
        mistakes.invalid(
            path.child("port"),
            port,
            "port is not valid: must be between 1 and 65535, inclusive",
        );
    }
    let Some(route) = service.path.as_deref().filter(|route| !matches!(*route, "" | "/")) else {
        return;
    };
    let at = path.child("path");
    if route == "//" {
        mistakes.invalid(at, route, "segment[0] may not be empty");
        return;
    }
    if !route.starts_with('/') {
        mistakes.invalid(at.clone(), route, "must start with a '/'");
    }
    let inner = route.strip_prefix('/').unwrap_or(route);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for (index, segment) in inner.split('/').enumerate() {
        if segment.is_empty() {
            mistakes.invalid(at.clone(), route, format!("segment[{index}] may not be empty"));
            continue;
        }
        for problem in dns1123_subdomain(segment) {
            mistakes.invalid(at.clone(), route, format!("segment[{index}]: {problem}"));
        }
    }
}
