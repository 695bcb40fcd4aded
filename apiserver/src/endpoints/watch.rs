//! Watches: a cursor into the ring of changes, turned into a stream of JSON lines or of protobuf frames. The stream is pulled by its reader; one
//! that reads too slowly finds its place gone and is told to list again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use breakbulk_protobuf::{WatchEventType, watch_frame};
use bytes::Bytes;
use rand::Rng as _;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::App;
use super::lines::{self, FrameError, Framing, Lines};
use super::negotiate::Shape;
use super::query::{Filter, ListOptions};
use super::select;
use super::shapes::{Definitions, RowObject, event_object};
use crate::cacher::{Change, ChangeKind, Cursor, Entry, TooOld};
use crate::registry::Resource;
use crate::status::{ApiError, ApiResult};

/// How often a watcher that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long before the end a last bookmark is sent.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// How long a watch lasts that does not say: this, times one to two.
const DEFAULT_SECONDS: u64 = 1800;
/// Initial objects that are converted together.
const CONVERTED: usize = 500;
/// Bytes put together for one write.
const CHUNK: usize = 64 << 10;

/// A running watch.
struct Watch {
    app: Arc<App>,
    resource: Arc<Resource>,
    filter: Filter,
    prefix: String,
    view: View,
    cursor: Cursor,
    /// Changes up to here have been seen by the client.
    after: u64,
    initial: VecDeque<Arc<Entry>>,
    /// How many of them are converted already, where that takes somebody else.
    converted: usize,
    /// The bookmark that ends the initial events is still to be sent.
    announce: bool,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    definitions: Definitions,
    lines: Lines,
    ended: bool,
}

/// How a watcher sees what it watches.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// The shape of objects.
    pub(super) shape: Shape,
    /// What rows of tables carry.
    pub(super) rows: RowObject,
    /// How events are written.
    pub(super) framing: Framing,
}

/// Starts a watch; the body of its answer.
pub(super) async fn watch(
    app: Arc<App>,
    resource: Arc<Resource>,
    namespace: Option<&str>,
    options: ListOptions,
    view: View,
) -> ApiResult<Body> {
    let prefix = super::key_prefix(&resource, namespace);
    let (initial_events, cursor, after) = match begin(&app, &resource, &prefix, &options).await? {
        Ok(begun) => begun,
        Err(expired) => return Ok(Body::from(view.framing.error(&expired))),
    };
    let seconds = options
        .timeout_seconds
        .filter(|s| *s > 0)
        .unwrap_or_else(|| rand::rng().random_range(DEFAULT_SECONDS..2 * DEFAULT_SECONDS));
    let now = Instant::now();
    let deadline = now + Duration::from_secs(seconds.min(24 * 3600));
    let watch = Watch {
        resource,
        filter: options.filter,
        prefix,
        view,
        cursor,
        after,
        initial: initial_events,
        converted: 0,
        announce: options.send_initial_events == Some(true) && options.bookmarks,
        bookmarks: options.bookmarks,
        next_bookmark: (now + BOOKMARK_EVERY).min(
            deadline
                .checked_sub(BOOKMARK_BEFORE_END)
                .unwrap_or(now)
                .max(now + Duration::from_millis(100)),
        ),
        deadline,
        definitions: Definitions::Shown,
        lines: Lines::default(),
        ended: false,
        app,
    };
    // Boxed: it is moved with every event, and what waits for one would hold it twice.
    let watch = Box::new(watch);
    let stream = futures::stream::unfold(watch, |mut watch| async move {
        watch.next().await.map(|bytes| (Ok::<_, Infallible>(bytes), watch))
    });
    Ok(Body::from_stream(stream))
}

/// What is sent first, the cursor behind it, and the revision up to which the client knows everything then.
type Begun = (VecDeque<Arc<Entry>>, Cursor, u64);

/// Finds the place where a watch begins. That it is gone is said inside the stream, as upstream does.
async fn begin(
    app: &App,
    resource: &Resource,
    prefix: &str,
    options: &ListOptions,
) -> ApiResult<Result<Begun, ApiError>> {
    let cacher = &app.objects.cacher;
    let storage = &resource.storage.cache;
    let revision = options.resource_version.filter(|v| *v > 0);
    if options.send_initial_events.unwrap_or(revision.is_none()) {
        let reached = match revision {
            Some(revision) => cacher.wait_for(revision).await?,
            None if options.resource_version == Some(0) && options.send_initial_events.is_none() => cacher.reached(),
            None => cacher.catch_up().await?,
        };
        let (snapshot, cursor) = storage.list_and_watch(prefix, reached);
        let entries = select::select(resource, &options.filter, snapshot.entries).await?;
        return Ok(Ok((entries.into(), cursor, snapshot.revision)));
    }
    let from = match revision {
        Some(revision) => revision,
        None => cacher.catch_up().await?,
    };
    Ok(match storage.watch_from(from) {
        Ok(cursor) => Ok((VecDeque::new(), cursor, from)),
        Err(TooOld { oldest }) => Err(ApiError::expired(from, oldest)),
    })
}

impl Watch {
    /// The next bytes; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        self.take_initial().await;
        loop {
            if let Some(bytes) = self.lines.take() {
                return Some(bytes);
            }
            if !self.take_changes().await && !self.wait().await {
                return None;
            }
        }
    }

    /// Reads the ring; whether there was anything to read.
    async fn take_changes(&mut self) -> bool {
        // Read before the ring is: what is drained then is complete up to here.
        let reached = self.app.objects.cacher.reached();
        let batch = match self.resource.storage.cache.poll(&mut self.cursor) {
            Ok(batch) => batch,
            Err(TooOld { oldest }) => {
                self.end(&ApiError::expired(self.after, oldest));
                return true;
            }
        };
        for change in &batch.changes {
            self.put_change(change).await;
            if self.ended {
                return true;
            }
        }
        if batch.drained {
            self.after = self.after.max(reached);
        }
        !batch.drained || self.lines.len() > 0
    }

    /// Waits for something to do; false at the end.
    async fn wait(&mut self) -> bool {
        let bookmark = if self.bookmarks {
            self.next_bookmark.min(self.deadline)
        } else {
            self.deadline
        };
        tokio::select! {
            () = self.cursor.changed() => {}
            () = self.app.shutdown.cancelled() => return false,
            () = sleep_until(bookmark) => {
                let now = Instant::now();
                if now >= self.deadline {
                    return false;
                }
                let last = self.deadline.checked_sub(BOOKMARK_BEFORE_END).unwrap_or(now);
                self.next_bookmark = now + BOOKMARK_EVERY;
                if now < last {
                    self.next_bookmark = self.next_bookmark.min(last);
                }
                self.put_bookmark(false);
            }
        }
        true
    }

    async fn take_initial(&mut self) {
        while self.lines.len() < CHUNK && !self.ended {
            if self.converted == 0 && !self.initial.is_empty() {
                self.convert_next().await;
            }
            match self.initial.pop_front() {
                Some(entry) => self.put_object(WatchEventType::Added, &entry).await,
                None => break,
            }
            self.converted = self.converted.saturating_sub(1);
        }
        if self.initial.is_empty() && self.announce {
            self.announce = false;
            self.initial = VecDeque::new();
            self.put_bookmark(true);
        }
    }

    /// Has a program convert the next initial objects together, where one has to. What it cannot convert is found again,
    /// and told, when its turn comes.
    async fn convert_next(&mut self) {
        let next: Vec<Arc<Entry>> = self.initial.iter().take(CONVERTED).cloned().collect();
        self.converted = next.len();
        let resource = self.resource.clone();
        if let Err(error) = Box::pin(resource.convert_together(&next)).await {
            tracing::debug!(%error, "objects are converted one by one");
        }
    }

    async fn put_change(&mut self, change: &Change) {
        if change.revision <= self.after || !change.entry.key.starts_with(&self.prefix) {
            return;
        }
        self.after = change.revision;
        let (before, after) = match self.selected(change).await {
            Ok(selected) => selected,
            Err(error) => return self.end(&error),
        };
        let event = match (before, after) {
            (None, true) => WatchEventType::Added,
            (Some(_), true) => WatchEventType::Modified,
            (Some(_), false) if change.kind == ChangeKind::Deleted => WatchEventType::Deleted,
            // It has left the selection: for this watcher it is gone, as it was when last seen.
            (Some(previous), false) => {
                let gone = previous.at(change.revision);
                return self.put_object(WatchEventType::Deleted, &gone).await;
            }
            (None, false) => return,
        };
        if !self.sees_what_is_stored() {
            return self.put_object(event, &change.entry).await;
        }
        let (entry, storage) = (&change.entry, &self.resource.storage);
        let frame = || {
            Framing::Protobuf
                .stored(event, entry, storage)
                .map_err(|error| told(&error))
                .ok()
        };
        let written = match self.view.framing {
            Framing::Json => Some(change.line(event.as_str(), || lines::stored(event, entry, storage))),
            Framing::Protobuf => change.frame(event.as_str(), frame),
        };
        match written {
            Some(written) => self.lines.push(written),
            None => self.end(&unwritten()),
        }
    }

    /// The object before a change, if it was selected, and whether it is after it.
    async fn selected<'c>(&self, change: &'c Change) -> ApiResult<(Option<&'c Arc<Entry>>, bool)> {
        let mut before = change.previous.as_ref();
        if let Some(previous) = before
            && !select::passes(&self.resource, &self.filter, previous).await?
        {
            before = None;
        }
        let there = change.kind == ChangeKind::Put;
        let after = there && select::passes(&self.resource, &self.filter, &change.entry).await?;
        Ok((before, after))
    }

    fn sees_what_is_stored(&self) -> bool {
        self.view.shape == Shape::Plain && self.resource.conversion.is_none()
    }

    /// Says why, and ends.
    fn end(&mut self, error: &ApiError) {
        self.ended = true;
        self.lines.push(self.view.framing.error(error));
    }

    async fn put_object(&mut self, event: WatchEventType, entry: &Entry) {
        let View { shape, rows, framing } = self.view;
        let written = if self.sees_what_is_stored() {
            framing
                .stored(event, entry, &self.resource.storage)
                .map_err(|error| told(&error))
        } else {
            // Boxed: a conversion is large, and every watch would have room for one.
            let resource = self.resource.clone();
            let encoded = match (shape, framing) {
                (Shape::Plain, Framing::Protobuf) => Box::pin(resource.encoded_as("protobuf", entry, encode)).await,
                _ => Box::pin(resource.encoded(entry)).await,
            };
            match (encoded, shape, framing) {
                (Err(error), ..) => Err(error),
                (Ok(encoded), Shape::Plain, Framing::Protobuf) => Ok(watch_frame(event, &encoded).into()),
                (Ok(encoded), Shape::Plain, _) => framing.event(event, &encoded).map_err(|error| told(&error)),
                (Ok(encoded), shape, _) => {
                    let shaped = event_object(&self.resource, &encoded, shape, rows, self.definitions);
                    self.definitions = Definitions::Left;
                    framing.event(event, &shaped).map_err(|error| told(&error))
                }
            }
        };
        match written {
            Ok(written) => self.lines.push(written),
            Err(error) => self.end(&error),
        }
    }

    fn put_bookmark(&mut self, initial_end: bool) {
        let mut metadata = json!({ "resourceVersion": self.after.to_string(), "creationTimestamp": null });
        if initial_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let (api_version, kind) = match self.view.shape {
            Shape::Metadata | Shape::MetadataList => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata"),
            Shape::Plain | Shape::Table => (self.resource.api_version(), self.resource.kind.as_str()),
        };
        let mark = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata });
        let object = match self.view.shape {
            Shape::Table => {
                let row = json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": mark["metadata"] });
                json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                    "metadata": { "resourceVersion": self.after.to_string() },
                    "columnDefinitions": [],
                    "rows": [{ "cells": [], "object": row }],
                })
            }
            _ => mark,
        };
        let mark = self
            .view
            .framing
            .event(WatchEventType::Bookmark, object.to_string().as_bytes());
        match mark {
            Ok(mark) => self.lines.push(mark),
            Err(error) => self.end(&told(&error)),
        }
    }
}

/// An object in protobuf.
fn encode(json: &[u8]) -> ApiResult<Bytes> {
    lines::protobuf(json).map(Bytes::from).map_err(|error| told(&error))
}

/// Writes down what is our own fault, and what the client is told of it.
fn told(error: &FrameError) -> ApiError {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "an object cannot be written into a watch"
    );
    unwritten()
}

fn unwritten() -> ApiError {
    ApiError::internal("an object cannot be encoded")
}
