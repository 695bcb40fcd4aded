//! Lists: from the cache, at the newest revision unless an older one is asked for; in chunks if wanted, all of one
//! revision.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use breakbulk_store::{At, Error as StoreError, KeyValue, RangeQuery, Revision, prefix_end};
use serde::{Deserialize, Serialize};

use super::App;
use super::query::{ListOptions, Match};
use super::select;
use super::shapes::ListHead;
use crate::cacher::Entry;
use crate::registry::{Resource, Storage};
use crate::status::{ApiError, ApiResult};

/// Objects read from the store at a time where a selector drops some.
const STORE_PAGE: usize = 1_000;

/// Where a list goes on (`k8s.io/apiserver/pkg/storage/continue.go`).
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// The objects.
    pub(super) entries: Vec<Arc<Entry>>,
    /// Its head.
    pub(super) head: ListHead,
}

/// Answers a list.
pub(super) async fn list(
    app: &App,
    resource: &Resource,
    namespace: Option<&str>,
    options: &ListOptions,
) -> ApiResult<Page> {
    let prefix = super::key_prefix(resource, namespace);
    if !options.continue_token.is_empty() {
        if options.resource_version.is_some_and(|v| v != 0) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let token = parse_token(&options.continue_token)?;
        return match u64::try_from(token.rv) {
            Ok(revision) => at_revision(app, resource, &prefix, options, revision, &token.start).await,
            Err(_) => latest(app, resource, &prefix, options, Some(&token.start)).await,
        };
    }
    match (options.resource_version, options.version_match) {
        (Some(revision), Match::Exact) => at_revision(app, resource, &prefix, options, revision, "").await,
        (Some(revision), Match::Unset) if revision > 0 && options.limit > 0 => {
            at_revision(app, resource, &prefix, options, revision, "").await
        }
        _ => latest(app, resource, &prefix, options, None).await,
    }
}

/// From the cache.
async fn latest(
    app: &App,
    resource: &Resource,
    prefix: &str,
    options: &ListOptions,
    start: Option<&str>,
) -> ApiResult<Page> {
    let cacher = &app.objects.cacher;
    let reached = match options.resource_version {
        None => cacher.catch_up().await?,
        Some(0) => cacher.reached(),
        Some(revision) => cacher.wait_for(revision).await?,
    };
    let start = start.map(|s| format!("{prefix}{s}"));
    let snapshot = resource.storage.cache.list(prefix, start.as_deref(), reached);
    let mut entries = select::select(resource, &options.filter, snapshot.entries).await?;
    let mut head = ListHead {
        revision: snapshot.revision,
        ..ListHead::default()
    };
    if options.limit > 0 && entries.len() > options.limit {
        let left = entries.len() - options.limit;
        entries.truncate(options.limit);
        head.remaining = options.filter.is_empty().then_some(left as u64);
        let last = entries.last().map_or("", |e| &e.key[prefix.len()..]);
        head.continue_token = token(head.revision, last);
    }
    Ok(Page { entries, head })
}

/// From the store, at one revision.
async fn at_revision(
    app: &App,
    resource: &Resource,
    prefix: &str,
    options: &ListOptions,
    revision: u64,
    start: &str,
) -> ApiResult<Page> {
    let storage = &resource.storage;
    let whole = format!("{}{prefix}", storage.prefix);
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let mut query = RangeQuery {
        start: format!("{whole}{start}").into(),
        end: prefix_end(whole.as_bytes()),
        limit: options.limit.clamp(1, STORE_PAGE),
        at: At::Exactly(Revision(revision)),
    };
    if options.limit == 0 {
        query.limit = STORE_PAGE;
    }
    let mut head = ListHead {
        revision,
        ..ListHead::default()
    };
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut seen = 0;
    loop {
        let page = app
            .objects
            .store
            .range(query.clone())
            .await
            .map_err(|e| range_error(e, options, revision, start))?;
        seen += page.items.len();
        let found = found(resource, options, &page.items).await?;
        for (item, entry) in page.items.iter().zip(found) {
            if entries.len() == limit {
                break;
            }
            if select::passes(resource, &options.filter, &entry).await? {
                entries.push(entry);
            }
            if entries.len() == limit {
                let more = page.more || page.items.last().is_some_and(|last| last.key != item.key);
                if more {
                    let last = String::from_utf8_lossy(&item.key[whole.len()..]).into_owned();
                    head.continue_token = token(revision, &last);
                }
            }
        }
        match page.items.last() {
            Some(last) if page.more && entries.len() < limit => query = query.after(&last.key),
            _ => {
                if !head.continue_token.is_empty() && options.filter.is_empty() {
                    head.remaining = Some(page.count.saturating_sub(seen as u64)).filter(|r| *r > 0);
                }
                return Ok(Page { entries, head });
            }
        }
    }
}

/// What the store holds, as the cache would, and converted together where a selector looks at that.
async fn found(resource: &Resource, options: &ListOptions, items: &[KeyValue]) -> ApiResult<Vec<Arc<Entry>>> {
    let entry = |item| Arc::new(entry_of(&resource.storage, item));
    let found: Vec<Arc<Entry>> = items.iter().map(entry).collect();
    if options.filter.looks_inside() {
        resource.convert_together(&found).await?;
    }
    Ok(found)
}

fn entry_of(storage: &Storage, item: &KeyValue) -> Entry {
    let key = String::from_utf8_lossy(&item.key[storage.prefix.len()..]).into_owned();
    Entry::completed(storage, key.into(), item.value.clone(), item.mod_revision.0)
}

fn range_error(error: StoreError, options: &ListOptions, revision: u64, start: &str) -> ApiError {
    match error {
        StoreError::Compacted { oldest, .. } if options.continue_token.is_empty() => {
            ApiError::expired(revision, oldest.0)
        }
        StoreError::Compacted { .. } => ApiError::continue_expired(Some(encode_token(-1, start.to_owned()))),
        StoreError::Future { current, .. } => ApiError::version_too_large(revision, current.0),
        other => other.into(),
    }
}

/// A token that goes on after the object of this key.
fn token(revision: u64, last: &str) -> String {
    encode_token(i64::try_from(revision).unwrap_or(i64::MAX), format!("{last}\0"))
}

fn encode_token(rv: i64, start: String) -> String {
    let token = Token {
        v: "meta.k8s.io/v1".to_owned(),
        rv,
        start,
    };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
}

fn parse_token(text: &str) -> ApiResult<Token> {
    let refuse = || ApiError::bad_request("continue key is not valid: it must come from a list of the same query");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refuse())?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| refuse())?;
    let inside = !token.start.is_empty() && !token.start.starts_with('/') && !token.start.contains("..");
    if token.v == "meta.k8s.io/v1" && inside && token.rv != 0 && token.rv >= -1 {
        Ok(token)
    } else {
        Err(refuse())
    }
}
