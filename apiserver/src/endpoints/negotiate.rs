//! Content negotiation: which shape an answer takes, and how a body is to be read
//! (`k8s.io/apiserver/pkg/endpoints/handlers/negotiation`).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::discovery::Format as Aggregated;
use crate::status::{ApiError, ApiResult};

const OFFERED: &str = "application/json, application/yaml";

/// The shape of an answer with objects in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The objects themselves.
    Plain,
    /// A table.
    Table,
    /// Their metadata.
    Metadata,
    /// A list of metadata.
    MetadataList,
}

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// The format of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatchFormat {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own.
    Strategic,
}

struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Clause<'_> {
    fn parameter(&self, key: &str) -> &str {
        self.parameters.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v)
    }

    fn is_json(&self) -> bool {
        matches!(self.media, "application/json" | "*/*" | "application/*")
    }
}

fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let values = headers
        .get_all(ACCEPT)
        .into_iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    let mut clauses: Vec<(Clause<'_>, f32)> = values
        .map(|text| {
            let mut parts = text.split(';').map(str::trim);
            let media = parts.next().unwrap_or("");
            let parameters: Vec<_> = parts.filter_map(|p| p.split_once('=')).collect();
            let clause = Clause { media, parameters };
            let quality = clause.parameter("q").parse().unwrap_or(1.0);
            (clause, quality)
        })
        .filter(|(clause, _)| !clause.media.is_empty())
        .collect();
    clauses.sort_by(|a, b| b.1.total_cmp(&a.1));
    clauses.into_iter().map(|(clause, _)| clause).collect()
}

/// The shape an answer with objects takes.
pub(super) fn shape(headers: &HeaderMap) -> ApiResult<Shape> {
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return Ok(Shape::Plain);
    }
    for clause in clauses.iter().filter(|c| c.is_json()) {
        let meta = clause.parameter("g") == "meta.k8s.io" && matches!(clause.parameter("v"), "v1" | "v1beta1");
        match clause.parameter("as") {
            "" => return Ok(Shape::Plain),
            "Table" if meta => return Ok(Shape::Table),
            "PartialObjectMetadata" if meta => return Ok(Shape::Metadata),
            "PartialObjectMetadataList" if meta => return Ok(Shape::MetadataList),
            _ => {}
        }
    }
    Err(ApiError::not_acceptable(OFFERED))
}

/// The place of the first offer that the best clause takes; none if no clause takes any. Without an Accept header
/// everything is taken.
pub(super) fn first_of(headers: &HeaderMap, offers: &[&str]) -> Option<usize> {
    let clauses = clauses(headers);
    if clauses.is_empty() && !offers.is_empty() {
        return Some(0);
    }
    let takes = |media: &str, offer: &str| match media.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => offer.split('/').next() == Some(kind),
        None => media == offer,
    };
    clauses
        .iter()
        .find_map(|clause| offers.iter().position(|offer| takes(clause.media, offer)))
}

/// The format of a discovery request; none for the legacy documents.
pub(super) fn discovery(headers: &HeaderMap) -> Option<Aggregated> {
    for clause in clauses(headers).iter().filter(|c| c.is_json()) {
        match (clause.parameter("as"), clause.parameter("g"), clause.parameter("v")) {
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => return Some(Aggregated::V2),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => return Some(Aggregated::V2Beta1),
            ("", ..) => return None,
            _ => {}
        }
    }
    None
}

fn content_type(headers: &HeaderMap) -> &str {
    let text = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    text.split(';').next().unwrap_or("").trim()
}

/// The format of a body that is an object.
pub(super) fn body_format(headers: &HeaderMap) -> ApiResult<Format> {
    match content_type(headers) {
        "" | "application/json" => Ok(Format::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Format::Yaml),
        other => Err(unsupported(other, OFFERED)),
    }
}

/// The format of a patch.
pub(super) fn patch_format(headers: &HeaderMap, strategic: bool) -> ApiResult<PatchFormat> {
    match content_type(headers) {
        "application/json-patch+json" => Ok(PatchFormat::Json),
        "application/merge-patch+json" => Ok(PatchFormat::Merge),
        "application/strategic-merge-patch+json" if strategic => Ok(PatchFormat::Strategic),
        other => {
            let accepted = if strategic {
                "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json"
            } else {
                "application/json-patch+json, application/merge-patch+json"
            };
            Err(unsupported(other, accepted))
        }
    }
}

fn unsupported(given: &str, accepted: &str) -> ApiError {
    ApiError::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted} (got {given:?})"
    ))
}
