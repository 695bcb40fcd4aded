//! Where a webhook is: a `clientConfig`, parsed.
//!
//! A reference to a Service becomes the name that the Service would have in DNS: `https://NAME.NAMESPACE.svc:PORT/PATH`.
//! There are no Services here, so it is for the machine's resolver to know that name; where it does not, calling is a
//! failure that says so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use serde_json::Value;

/// Why a `clientConfig` says of no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither a URL nor a Service, or both.
    #[error("exactly one of url or service is required")]
    NoPlace,
    /// The URL cannot be used.
    #[error("url must be a valid URL that begins with https://")]
    Url,
    /// The bundle is not base64.
    #[error("unable to load root certificates: caBundle is not base64")]
    Bundle,
}

/// A place to POST to, and whose signature proves that it is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    roots: Vec<u8>,
}

impl Endpoint {
    /// From a `clientConfig {url | service, caBundle}`, as admission and conversion have it.
    ///
    /// # Errors
    /// When it says of no place. Those that were written through this server do.
    pub fn from_client_config(config: &Value) -> Result<Self, EndpointError> {
        let roots = match config["caBundle"].as_str() {
            Some(text) => STANDARD.decode(text).map_err(|_| EndpointError::Bundle)?,
            None => Vec::new(),
        };
        let uri = match (config["url"].as_str(), config["service"].is_object()) {
            (Some(url), false) => url.parse().map_err(|_| EndpointError::Url)?,
            (None, true) => service(&config["service"]).ok_or(EndpointError::Url)?,
            _ => return Err(EndpointError::NoPlace),
        };
        if uri.scheme() != Some(&Scheme::HTTPS) || uri.host().is_none_or(str::is_empty) {
            return Err(EndpointError::Url);
        }
        Ok(Self { uri, roots })
    }

    /// The certificates that may have signed its own, PEM; empty: those that the machine trusts.
    pub(super) fn roots(&self) -> &[u8] {
        &self.roots
    }

    /// The address, with the time that an answer may take as its query.
    pub(super) fn uri(&self, seconds: u64) -> Uri {
        let mut parts = self.uri.clone().into_parts();
        let path = self.uri.path();
        // What was a path is one with a query of letters and digits, too.
        parts.path_and_query = PathAndQuery::try_from(format!("{path}?timeout={seconds}s")).ok();
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }
}

fn service(service: &Value) -> Option<Uri> {
    let (name, namespace) = (service["name"].as_str()?, service["namespace"].as_str()?);
    let port = service["port"].as_u64().unwrap_or(443);
    let authority = Authority::try_from(format!("{name}.{namespace}.svc:{port}")).ok()?;
    let path = service["path"].as_str().filter(|path| !path.is_empty()).unwrap_or("/");
    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority);
    uri.path_and_query(path).build().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_called_by_the_name_it_would_have() {
        let config = json!({"service": {"name": "hook", "namespace": "ns", "path": "/a", "port": 8443}});
        let endpoint = Endpoint::from_client_config(&config).unwrap();
        assert_eq!(endpoint.uri(10).to_string(), "https://hook.ns.svc:8443/a?timeout=10s");
    }

    #[test]
    fn what_says_of_no_place_is_refused() {
        let url = "https://127.0.0.1:1/x";
        assert!(Endpoint::from_client_config(&json!({"url": url})).is_ok());
        for config in [
            json!({}),
            json!({"url": "http://127.0.0.1:1/x"}),
            json!({"url": "/x"}),
            json!({"url": "https://"}),
            json!({"url": url, "caBundle": "%%"}),
            json!({"url": url, "service": {"name": "a", "namespace": "b"}}),
        ] {
            assert!(Endpoint::from_client_config(&config).is_err(), "{config}");
        }
    }
}
