//! What the server does by itself: forget the store's old history, and delete Events whose time is over.

use std::collections::VecDeque;
use std::time::Duration;

use breakbulk_store::Revision;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::cacher::Entry;
use crate::registry::EVENT_SEEN;
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

/// Deletes Events that have not been touched for an hour. When they were is kept beside each: none is parsed.
async fn expire_events(objects: &Objects, now: Timestamp) {
    let Some(events) = objects.registry.find("", "v1", "events") else {
        return;
    };
    let snapshot = events.storage.cache.list("", None, 0);
    for entry in snapshot.entries {
        if !is_over(&entry, now) {
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
fn is_over(event: &Entry, now: Timestamp) -> bool {
    let seen = event.field(EVENT_SEEN).parse::<i64>();
    seen.is_ok_and(|seen| now.as_second() - seen > EVENT_SECONDS)
}
