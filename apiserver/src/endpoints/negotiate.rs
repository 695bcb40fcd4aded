//! Content negotiation: which shape an answer takes, and how a body is to be read
//! (`k8s.io/apiserver/pkg/endpoints/handlers/negotiation`).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::discovery::Format as Aggregated;
use crate::status::{ApiError, ApiResult};

/// What answers are offered in, and what bodies are taken in.
const OFFERED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
/// What watches are offered in.
const OFFERED_STREAMS: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

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
    /// Kubernetes\' protobuf, of its own kinds.
    Protobuf,
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
    /// Server-side apply.
    Apply,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Media {
    /// JSON.
    #[default]
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' protobuf.
    Protobuf(Otherwise),
}

/// What is sent of a kind that has no protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// JSON: the client takes that as well.
    Json,
    /// Nothing.
    Refused,
}

/// Whether objects of a kind can be had in protobuf. Their metadata always can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// They can.
    Yes,
    /// They cannot: custom resources.
    No,
}

/// What an Accept header comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// How the answer is written.
    pub(super) media: Media,
    /// The shape of objects in it.
    pub(super) shape: Shape,
    /// Whether the clause asks for indentation (`pretty=1`).
    pub(super) pretty: bool,
}

struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    /// `type/subtype;key=value`; none when it is nothing of the sort. A lone star is upstream's leniency.
    fn parse(text: &'a str) -> Option<(Self, f32)> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = match parts.next().unwrap_or("") {
            "*" => ("*", "*"),
            media => media.split_once('/')?,
        };
        let parameters: Vec<_> = parts
            .filter_map(|p| p.split_once('='))
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect();
        let clause = Clause {
            kind: kind.trim(),
            subtype: subtype.trim(),
            parameters,
        };
        let quality = clause.parameter("q").parse().unwrap_or(1.0);
        Some((clause, quality))
    }

    fn parameter(&self, key: &str) -> &str {
        self.parameters.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v)
    }

    /// The first of what we offer that it names.
    fn media(&self) -> Option<Media> {
        match (self.kind, self.subtype) {
            ("application", "json" | "*") | ("*", "*") => Some(Media::Json),
            ("application", "yaml") => Some(Media::Yaml),
            ("application", "vnd.kubernetes.protobuf") => Some(Media::Protobuf(Otherwise::Refused)),
            _ => None,
        }
    }

    fn wildcards(&self) -> u8 {
        u8::from(self.kind == "*") + u8::from(self.subtype == "*")
    }

    /// What it comes to, if we can do it.
    fn accepted(&self) -> Option<Accepted> {
        let media = self.media()?;
        if !matches!(self.parameter("stream"), "" | "watch") {
            return None;
        }
        let meta = self.parameter("g") == "meta.k8s.io" && matches!(self.parameter("v"), "v1" | "v1beta1");
        let shape = match self.parameter("as") {
            "" => Shape::Plain,
            "Table" if meta => Shape::Table,
            "PartialObjectMetadata" if meta => Shape::Metadata,
            "PartialObjectMetadataList" if meta => Shape::MetadataList,
            _ => return None,
        };
        if shape == Shape::Table && matches!(media, Media::Protobuf(_)) {
            // Nobody has written down how a table would look there.
            return None;
        }
        Some(Accepted {
            media,
            shape,
            pretty: self.parameter("pretty") == "1",
        })
    }
}

/// The clauses, the most wanted first: by quality, then the more specific, then in order.
fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let values = headers.get_all(ACCEPT).into_iter().filter_map(|v| v.to_str().ok());
    let mut clauses: Vec<(Clause<'_>, f32)> = values.flat_map(|v| v.split(',')).filter_map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.wildcards().cmp(&b.0.wildcards())));
    clauses.into_iter().map(|(clause, _)| clause).collect()
}

/// Whether a header is missing or says what nearly everybody says: then nothing has to be weighed.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(ACCEPT).into_iter();
    let first = values.next().map(http::HeaderValue::as_bytes);
    matches!(first, None | Some(b"" | b"application/json" | b"*/*")) && values.next().is_none()
}

const PLAIN: Accepted = Accepted {
    media: Media::Json,
    shape: Shape::Plain,
    pretty: false,
};

/// What an answer that may take any shape is to look like.
///
/// # Errors
/// 406 when nothing that is wanted can be done.
pub(super) fn accepted(headers: &HeaderMap) -> ApiResult<Accepted> {
    if is_plain(headers) {
        return Ok(PLAIN);
    }
    let clauses = clauses(headers);
    let can_be_done = || clauses.iter().filter_map(Clause::accepted);
    let mut found = can_be_done().next().ok_or_else(|| ApiError::not_acceptable(OFFERED))?;
    if let Media::Protobuf(otherwise) = &mut found.media
        && can_be_done().any(|other| other.media == Media::Json && other.shape == found.shape)
    {
        *otherwise = Otherwise::Json;
    }
    Ok(found)
}

/// The shape an answer with objects takes.
pub(super) fn shape(headers: &HeaderMap) -> ApiResult<Shape> {
    accepted(headers).map(|accepted| accepted.shape)
}

/// How a watch is sent. YAML has no frames.
///
/// # Errors
/// 406 when nothing that is wanted can be done.
pub(super) fn stream(headers: &HeaderMap, known: Known) -> ApiResult<Accepted> {
    if is_plain(headers) {
        return Ok(PLAIN);
    }
    let can_be_done = |accepted: &Accepted| match accepted.media {
        Media::Json => true,
        Media::Yaml => false,
        Media::Protobuf(_) => known == Known::Yes || accepted.shape != Shape::Plain,
    };
    let clauses = clauses(headers);
    let found = clauses.iter().filter_map(Clause::accepted).find(can_be_done);
    found.ok_or_else(|| ApiError::not_acceptable(OFFERED_STREAMS))
}

/// The format of a discovery request; none for the legacy documents.
///
/// # Errors
/// 406 when nothing that is wanted can be done.
pub(super) fn discovery(headers: &HeaderMap) -> ApiResult<Option<Aggregated>> {
    if is_plain(headers) {
        return Ok(None);
    }
    for clause in clauses(headers).iter().filter(|c| c.media().is_some()) {
        match (clause.parameter("as"), clause.parameter("g"), clause.parameter("v")) {
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => return Ok(Some(Aggregated::V2)),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => return Ok(Some(Aggregated::V2Beta1)),
            ("", ..) => return Ok(None),
            _ => {}
        }
    }
    Err(ApiError::not_acceptable(OFFERED))
}

/// Whether the client takes an object as it is: all that kinds without tables and lists can give.
pub(super) fn plain(headers: &HeaderMap) -> ApiResult<()> {
    let plain = |clause: &Clause<'_>| clause.accepted().is_some_and(|accepted| accepted.shape == Shape::Plain);
    if is_plain(headers) || clauses(headers).iter().any(plain) {
        Ok(())
    } else {
        Err(ApiError::not_acceptable(OFFERED))
    }
}

/// The place of the first offer that the best clause takes; none if no clause takes any. Without an Accept header
/// everything is taken.
pub(super) fn first_of(headers: &HeaderMap, offers: &[&str]) -> Option<usize> {
    let clauses = clauses(headers);
    if clauses.is_empty() && !offers.is_empty() {
        return Some(0);
    }
    let takes = |clause: &Clause<'_>, offer: &str| {
        let (kind, subtype) = offer.split_once('/').unwrap_or((offer, ""));
        clause.kind == "*" || (clause.kind == kind && (clause.subtype == "*" || clause.subtype == subtype))
    };
    clauses
        .iter()
        .find_map(|clause| offers.iter().position(|offer| takes(clause, offer)))
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
        breakbulk_protobuf::MEDIA_TYPE => Ok(Format::Protobuf),
        _ => Err(unsupported(OFFERED)),
    }
}

/// The format of a patch.
pub(super) fn patch_format(headers: &HeaderMap, strategic: Strategic) -> ApiResult<PatchFormat> {
    match (content_type(headers), strategic) {
        ("application/json-patch+json", _) => Ok(PatchFormat::Json),
        ("application/merge-patch+json", _) => Ok(PatchFormat::Merge),
        ("application/apply-patch+yaml", _) => Ok(PatchFormat::Apply),
        ("application/strategic-merge-patch+json", Strategic::Taken) => Ok(PatchFormat::Strategic),
        (_, Strategic::Taken) => Err(unsupported(
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml",
        )),
        (_, Strategic::Refused) => Err(unsupported(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

/// Whether a kind takes strategic merge patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategic {
    /// It does.
    Taken,
    /// It does not, as upstream's custom resources.
    Refused,
}

fn unsupported(accepted: &str) -> ApiError {
    ApiError::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted}"
    ))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(accept) {
            headers.insert(ACCEPT, value);
        }
        headers
    }

    #[test]
    fn the_first_clause_that_can_be_done_wins() {
        let table = "as=Table;g=meta.k8s.io;v=v1";
        for (accept, media, shape) in [
            ("", Media::Json, Shape::Plain),
            ("*", Media::Json, Shape::Plain),
            ("application/*", Media::Json, Shape::Plain),
            ("application/yaml", Media::Yaml, Shape::Plain),
            (
                "text/html, application/yaml;q=0.5, application/json;q=0.4",
                Media::Yaml,
                Shape::Plain,
            ),
            (
                "application/yaml;q=0.4,application/json;q=0.5",
                Media::Json,
                Shape::Plain,
            ),
            ("*/*,application/yaml", Media::Yaml, Shape::Plain),
            (
                &format!("application/json;{table},application/json"),
                Media::Json,
                Shape::Table,
            ),
            (&format!("application/yaml;{table}"), Media::Yaml, Shape::Table),
            (
                "application/json;as=Chair;g=meta.k8s.io;v=v1, application/json",
                Media::Json,
                Shape::Plain,
            ),
            (
                "application/json;as=Table;g=other;v=v1, application/json",
                Media::Json,
                Shape::Plain,
            ),
            ("application/json;charset=utf-8;whatever=1", Media::Json, Shape::Plain),
        ] {
            let accepted = accepted(&headers(accept)).unwrap();
            assert_eq!((accepted.media, accepted.shape), (media, shape), "{accept}");
        }
        assert!(accepted(&headers("application/json;pretty=1")).unwrap().pretty);
        for accept in [
            "text/html",
            "application/json;as=Chair;g=meta.k8s.io;v=v1",
            "application/json;stream=other",
        ] {
            let refused = accepted(&headers(accept)).unwrap_err();
            assert_eq!(
                refused.message(),
                "only the following media types are accepted: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf"
            );
        }
    }

    #[test]
    fn protobuf_is_sent_to_who_wants_it_first_but_never_a_table() {
        let table = "as=Table;g=meta.k8s.io;v=v1";
        for (accept, media, shape) in [
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Media::Protobuf(Otherwise::Json),
                Shape::Plain,
            ),
            (
                "application/vnd.kubernetes.protobuf",
                Media::Protobuf(Otherwise::Refused),
                Shape::Plain,
            ),
            (
                "application/json,application/vnd.kubernetes.protobuf",
                Media::Json,
                Shape::Plain,
            ),
            (
                &format!("application/vnd.kubernetes.protobuf;{table},application/json;{table}"),
                Media::Json,
                Shape::Table,
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
                Media::Protobuf(Otherwise::Refused),
                Shape::Metadata,
            ),
        ] {
            let accepted = accepted(&headers(accept)).unwrap();
            assert_eq!((accepted.media, accepted.shape), (media, shape), "{accept}");
        }
    }

    #[test]
    fn a_watch_is_sent_in_what_has_frames() {
        let both = "application/vnd.kubernetes.protobuf;stream=watch,application/json";
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        for (accept, known, protobuf) in [
            ("application/json;stream=watch", Known::Yes, false),
            ("application/yaml,application/json", Known::Yes, false),
            (both, Known::Yes, true),
            (both, Known::No, false),
            (metadata, Known::No, true),
        ] {
            let media = stream(&headers(accept), known).unwrap().media;
            assert_eq!(matches!(media, Media::Protobuf(_)), protobuf, "{accept}");
        }
        for (accept, known) in [
            ("application/yaml", Known::Yes),
            ("application/vnd.kubernetes.protobuf;stream=watch", Known::No),
        ] {
            let refused = stream(&headers(accept), known).unwrap_err();
            assert_eq!(
                refused.message(),
                "only the following media types are accepted: application/json;stream=watch, \
                 application/vnd.kubernetes.protobuf;stream=watch"
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parsers_panic(text in "[ -~]{0,80}") {
            let _ = (accepted(&headers(&text)), discovery(&headers(&text)), stream(&headers(&text), Known::Yes));
            let mut typed = HeaderMap::new();
            typed.insert(CONTENT_TYPE, HeaderValue::from_str(&text).unwrap());
            let _ = (body_format(&typed), patch_format(&typed, Strategic::Taken));
        }

        #[test]
        fn quality_and_nothing_else_decides_between_what_is_offered(one in 0_u8..=10, other in 0_u8..=10) {
            prop_assume!(one != other);
            let text = format!("application/yaml;q={}, application/json;q={}", f32::from(one) / 10.0, f32::from(other) / 10.0);
            let expected = if one > other { Media::Yaml } else { Media::Json };
            prop_assert_eq!(accepted(&headers(&text)).unwrap().media, expected);
        }
    }
}
