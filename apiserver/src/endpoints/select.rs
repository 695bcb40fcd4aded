//! Which objects a list or watch is about, as its version shows them. Where a program converts, that may be another choice
//! than among the stored ones.

use std::sync::Arc;

use super::query::Filter;
use crate::cacher::Entry;
use crate::registry::Resource;
use crate::status::ApiResult;

/// The objects that pass.
pub(super) async fn select(
    resource: &Resource,
    filter: &Filter,
    mut entries: Vec<Arc<Entry>>,
) -> ApiResult<Vec<Arc<Entry>>> {
    if filter.is_empty() {
        return Ok(entries);
    }
    if !looks_elsewhere(resource, filter) {
        entries.retain(|entry| filter.matches(entry));
        return Ok(entries);
    }
    resource.convert_together(&entries).await?;
    let mut passed = Vec::new();
    for entry in entries {
        if passes(resource, filter, &entry).await? {
            passed.push(entry);
        }
    }
    Ok(passed)
}

/// Whether an object passes.
pub(super) async fn passes(resource: &Resource, filter: &Filter, entry: &Entry) -> ApiResult<bool> {
    if !looks_elsewhere(resource, filter) {
        return Ok(filter.matches(entry));
    }
    // Boxed: a conversion is large, and who waits for one is one of many.
    let shown = Box::pin(resource.shown(entry)).await?;
    let selected = shown.as_ref().map_or(entry.selected(), |shown| &shown.selected);
    Ok(filter.matches_as(entry, selected))
}

fn looks_elsewhere(resource: &Resource, filter: &Filter) -> bool {
    resource.selects_converted() && filter.looks_inside()
}
