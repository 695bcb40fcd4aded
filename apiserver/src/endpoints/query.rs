//! The query of a URL, as options. Unknown parameters are ignored, as upstream does; malformed ones are a 400.

use std::sync::Arc;

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};

use super::path::percent_decode;
use crate::admission::Author;
use crate::authentication::Identity;
use crate::cacher::{Entry, Selected};
use crate::registry::Resource;
use crate::registry::objects::{FieldValidation, Ownership, Persist, Said, WriteOptions};
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::{ApiError, ApiResult};

/// The longest name of a field manager.
const MANAGER_CHARS: usize = 128;

/// The parameters of a request, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

/// How a `resourceVersion` of a list is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Not said.
    Unset,
    /// At least as new.
    NotOlderThan,
    /// Exactly it.
    Exact,
}

/// Options of a list or watch.
#[derive(Clone, Debug)]
pub(super) struct ListOptions {
    /// Which objects.
    pub(super) filter: Filter,
    /// At most so many; 0 is no limit.
    pub(super) limit: usize,
    /// Where a list goes on.
    pub(super) continue_token: String,
    /// The revision; none when not said.
    pub(super) resource_version: Option<u64>,
    /// How that is meant.
    pub(super) version_match: Match,
    /// Whether bookmarks are wanted.
    pub(super) bookmarks: bool,
    /// When a watch ends.
    pub(super) timeout_seconds: Option<u64>,
    /// Whether a watch begins with everything there is.
    pub(super) send_initial_events: Option<bool>,
}

/// Which objects a list or watch is about. All of it must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    labels: LabelSelector,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug)]
struct FieldTerm {
    field: Field,
    equals: bool,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    Selectable(usize),
}

impl Query {
    /// Parses what stands after the question mark.
    pub(super) fn parse(text: &str) -> ApiResult<Self> {
        let decode = |part: &str| {
            percent_decode(&part.replace('+', " "))
                .ok_or_else(|| ApiError::bad_request("the query is not properly encoded"))
        };
        let pairs = text.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        });
        Ok(Self(pairs.collect::<ApiResult<_>>()?))
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All parameters, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A flag, as Go parses one.
    pub(super) fn flag(&self, key: &str) -> ApiResult<Option<bool>> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(other) => Err(ApiError::bad_request(format!("{key}: {other:?} is not a boolean"))),
        }
    }

    /// A number that is not negative.
    pub(super) fn number(&self, key: &str) -> ApiResult<Option<u64>> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ApiError::bad_request(format!(
                    "{key}: {text:?} is not a number that is zero or more"
                ))),
            },
        }
    }

    /// Whether this is a watch.
    pub(super) fn is_watch(&self) -> ApiResult<bool> {
        Ok(self.flag("watch")?.unwrap_or(false))
    }

    /// Options of a list or watch on a resource.
    pub(super) fn list_options(&self, resource: &Resource) -> ApiResult<ListOptions> {
        let resource_version = match self.get("resourceVersion") {
            None | Some("") => None,
            Some(text) => {
                let parsed = text.parse().ok().filter(|_| !text.starts_with('+'));
                Some(parsed.ok_or_else(|| invalid_option("resourceVersion", text, "must be an unsigned integer"))?)
            }
        };
        let version_match = match self.get("resourceVersionMatch") {
            None | Some("") => Match::Unset,
            Some("NotOlderThan") => Match::NotOlderThan,
            Some("Exact") => Match::Exact,
            Some(other) => {
                let error = FieldError::with_value(
                    Path::root("resourceVersionMatch"),
                    ErrorKind::NotSupported,
                    other,
                    "supported values: \"Exact\", \"NotOlderThan\"",
                );
                return Err(ApiError::invalid_options("ListOptions", &[error]));
            }
        };
        let limit = self.number("limit")?.unwrap_or(0);
        let options = ListOptions {
            filter: self.filter(resource)?,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            continue_token: self.get("continue").unwrap_or("").to_owned(),
            resource_version,
            version_match,
            bookmarks: self.flag("allowWatchBookmarks")?.unwrap_or(false),
            timeout_seconds: self.number("timeoutSeconds")?,
            send_initial_events: self.flag("sendInitialEvents")?,
        };
        options.check(self.is_watch()?)?;
        Ok(options)
    }

    fn filter(&self, resource: &Resource) -> ApiResult<Filter> {
        let labels = LabelSelector::parse(self.get("labelSelector").unwrap_or(""))
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
        let selector = FieldSelector::parse(self.get("fieldSelector").unwrap_or(""))
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
        let mut fields = Vec::with_capacity(selector.terms.len());
        for term in selector.terms {
            let field = match term.path.as_str() {
                "metadata.name" => Field::Name,
                "metadata.namespace" => Field::Namespace,
                other => match resource.selectable.iter().find(|s| s.label == other) {
                    Some(selectable) => Field::Selectable(selectable.index),
                    None => return Err(ApiError::bad_request(format!("field label not supported: {other}"))),
                },
            };
            fields.push(FieldTerm {
                field,
                equals: term.equals,
                value: term.value,
            });
        }
        Ok(Filter { labels, fields })
    }

    /// Options of a create, update or patch.
    pub(super) fn write_options(&self, author: &Arc<Identity>, user_agent: &str) -> ApiResult<WriteOptions> {
        let field_validation = match self.get("fieldValidation") {
            None | Some("") => None,
            Some("Warn") => Some(FieldValidation::Warn),
            Some("Ignore") => Some(FieldValidation::Ignore),
            Some("Strict") => Some(FieldValidation::Strict),
            Some(other) => {
                let expected = "supported values: \"Ignore\", \"Strict\", \"Warn\"";
                let path = Path::root("fieldValidation");
                let error = FieldError::with_value(path, ErrorKind::NotSupported, other, expected);
                return Err(ApiError::invalid_options("CreateOptions", &[error]));
            }
        };
        Ok(WriteOptions {
            persist: self.persist()?,
            field_validation: field_validation.unwrap_or_default(),
            author: Author::Client(author.clone()),
            manager: self.manager(user_agent)?,
            ownership: Ownership::Followed,
            said: Said {
                manager: self
                    .get("fieldManager")
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned),
                field_validation,
                deletion: None,
            },
        })
    }

    /// Under which name the written fields are managed: as the client says, or as its program is called
    /// (`apiserver/pkg/endpoints/handlers/create.go`, `managerOrUserAgent`).
    fn manager(&self, user_agent: &str) -> ApiResult<String> {
        let printable = |c: char| !c.is_control() && c != '\u{fffd}';
        match self.get("fieldManager") {
            Some(given) if !given.is_empty() => {
                let path = Path::root("fieldManager");
                if given.chars().count() > MANAGER_CHARS {
                    let detail = format!("may not be more than {MANAGER_CHARS} bytes");
                    let error = FieldError::new(path, ErrorKind::TooLong, detail);
                    return Err(ApiError::invalid_options("PatchOptions", &[error]));
                }
                if !given.chars().all(printable) {
                    let error = FieldError::invalid(path, given, "should only contain printable characters");
                    return Err(ApiError::invalid_options("PatchOptions", &[error]));
                }
                Ok(given.to_owned())
            }
            _ => {
                let program = user_agent.split('/').next().unwrap_or("");
                let name: String = program.chars().filter(|c| printable(*c)).take(MANAGER_CHARS).collect();
                Ok(if name.is_empty() { "unknown".to_owned() } else { name })
            }
        }
    }

    fn persist(&self) -> ApiResult<Persist> {
        persist(self.all("dryRun"))
    }
}

/// 422: an apply has to say who applies.
pub(super) fn manager_missing() -> ApiError {
    let error = FieldError::new(
        Path::root("fieldManager"),
        ErrorKind::Required,
        "is required for apply patch",
    );
    ApiError::invalid_options("PatchOptions", &[error])
}

/// 422: only an apply can be forced.
pub(super) fn force_without_apply() -> ApiError {
    let detail = "may not be specified for non-apply patch";
    let error = FieldError::new(Path::root("force"), ErrorKind::Forbidden, detail);
    ApiError::invalid_options("PatchOptions", &[error])
}

/// `dryRun` as a list of stages.
pub(super) fn persist<'a>(stages: impl Iterator<Item = &'a str>) -> ApiResult<Persist> {
    let mut persist = Persist::Store;
    for stage in stages.filter(|s| !s.is_empty()) {
        if stage != "All" {
            let path = Path::root("dryRun");
            let error = FieldError::with_value(path, ErrorKind::NotSupported, stage, "supported values: \"All\"");
            return Err(ApiError::invalid_options("CreateOptions", &[error]));
        }
        persist = Persist::DryRun;
    }
    Ok(persist)
}

fn invalid_option(field: &str, value: &str, detail: &str) -> ApiError {
    ApiError::bad_request(format!("{field}: Invalid value: {value:?}: {detail}"))
}

impl ListOptions {
    /// Which combinations make sense (`apimachinery/pkg/apis/meta/internalversion/validation`).
    fn check(&self, watch: bool) -> ApiResult<()> {
        let forbidden = |field: &str, detail: &str| FieldError::new(Path::root(field), ErrorKind::Forbidden, detail);
        let mut errors = Vec::new();
        let matched = self.version_match != Match::Unset;
        if watch {
            match self.send_initial_events {
                Some(_) if self.version_match != Match::NotOlderThan => errors.push(forbidden(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                )),
                None if matched => errors.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                )),
                _ => {}
            }
        } else {
            if self.send_initial_events.is_some() {
                errors.push(forbidden(
                    "sendInitialEvents",
                    "sendInitialEvents is forbidden for list",
                ));
            }
            if matched && self.resource_version.is_none() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(forbidden("resourceVersionMatch", detail));
            }
            if matched && !self.continue_token.is_empty() {
                let detail = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(forbidden("resourceVersionMatch", detail));
            }
            if self.version_match == Match::Exact && self.resource_version == Some(0) {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(forbidden("resourceVersionMatch", detail));
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid_options("ListOptions", &errors))
        }
    }
}

impl Filter {
    /// Only the object of this name.
    #[must_use]
    pub(super) fn named(mut self, name: &str) -> Self {
        self.fields.push(FieldTerm {
            field: Field::Name,
            equals: true,
            value: name.to_owned(),
        });
        self
    }

    /// Whether everything passes.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether more is asked of an object than which it is: that may differ from version to version.
    pub(super) fn looks_inside(&self) -> bool {
        let inside = |term: &FieldTerm| matches!(term.field, Field::Selectable(_));
        !self.labels.is_empty() || self.fields.iter().any(inside)
    }

    /// Whether an object passes, as it is stored.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        self.matches_as(entry, entry.selected())
    }

    /// Whether an object passes, as it is seen.
    pub(super) fn matches_as(&self, entry: &Entry, seen: &Selected) -> bool {
        self.fields.iter().all(|term| {
            let is = match term.field {
                Field::Name => entry.name(),
                Field::Namespace => entry.namespace(),
                Field::Selectable(index) => seen.field(index),
            };
            (is == term.value) == term.equals
        }) && (self.labels.is_empty() || self.labels.matches(|key| seen.label(key)))
    }
}
