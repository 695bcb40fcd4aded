//! What the server does by itself: forget the store's old history, and delete Events whose time is over.

use std::collections::VecDeque;
use std::time::Duration;

use breakbulk_store::Revision;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::registry::objects::{DeleteOptions, Objects, WriteOptions};

/// How many rounds of history are kept when the oldest is dropped: between one and two times what was asked for.
const ROUNDS_KEPT: usize = 1;
/// How long an Event lives.
const EVENT_SECONDS: i64 = 3600;

/// Runs until it is told to stop. `history` is how long the store's history is kept at least.
pub(crate) async fn run(objects: Objects, history: Duration, stop: CancellationToken) {
    let mut marks: VecDeque<u64> = VecDeque::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(history) => {}
        }
        marks.push_back(objects.cacher.reached());
        if marks.len() > ROUNDS_KEPT
            && let Some(old) = marks.pop_front()
            && let Err(error) = objects.store.compact(Revision(old)).await
        {
            tracing::warn!(%error, "cannot forget old history");
        }
        expire_events(&objects, Timestamp::now()).await;
    }
}

/// Deletes Events that have not been touched for an hour.
async fn expire_events(objects: &Objects, now: Timestamp) {
    let Some(events) = objects.registry.find("", "v1", "events") else {
        return;
    };
    let snapshot = events.storage.cache.list("", None, 0);
    for entry in snapshot.entries {
        let event = entry.parsed();
        if !is_over(&event, now) {
            continue;
        }
        let only_this = Some(entry.revision.to_string());
        let options = DeleteOptions {
            resource_version: only_this,
            ..DeleteOptions::plain(WriteOptions::server())
        };
        if let Err(error) = objects
            .delete(&events, Some(entry.namespace()), entry.name(), &options)
            .await
            && !matches!(error.code(), 404 | 409)
        {
            tracing::warn!(%error, event = entry.name(), "cannot delete an old event");
            return;
        }
    }
}

/// Whether the last thing an event tells of is longer ago than events are kept.
fn is_over(event: &Value, now: Timestamp) -> bool {
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    let latest = times
        .into_iter()
        .filter_map(|t| t.as_str()?.parse::<Timestamp>().ok())
        .max();
    latest.is_some_and(|latest| now.as_second() - latest.as_second() > EVENT_SECONDS)
}
