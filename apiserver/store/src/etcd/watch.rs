//! Watches over etcd: reconnected where they stopped, and careful where etcd is not.
//!
//! Each watch has a gRPC stream of its own, pulled by its reader; HTTP/2 flow control is the bound on what waits. When
//! the stream breaks, it is opened again from the last delivered revision, so that the reader sees nothing of it.
//!
//! Two things need care. A watch that starts at the very revision of a compaction is accepted by etcd although the
//! deletes of that revision may be gone; so while a watch catches up, it is checked after each batch, and before any
//! progress is told, that its start was not compacted. And old servers answer a progress request too early (`progress`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::Inner;
use super::connection::{Backoff, Chosen, unavailable};
use super::convert::{self, Failure, failure, from_wire, header_revision, range_end, range_start, to_wire};
use super::progress::{Delivered, Pace, Progress, keys_at, may_be_early};
use super::proto::{self, watch_request::RequestUnion};
use crate::{Error, Event, Result, Revision, WatchBatch, WatchStream, prefix_end};

/// Requests that may wait to be sent on one watch: one creation, and progress requests, of which one is enough.
const REQUESTS: usize = 4;

/// After this long a watch has caught up for sure: etcd lets those that lag catch up every 100 ms.
const SETTLED: Duration = Duration::from_secs(1);

/// Begins a watch; returns when etcd has accepted it.
pub(crate) async fn watch(inner: &Arc<Inner>, prefix: Bytes, from: Revision) -> Result<WatchStream> {
    let mut watch = EtcdWatch {
        progress: inner.progress.subscribe(),
        inner: Arc::clone(inner),
        prefix,
        delivered: from,
        connection: None,
    };
    let connected = tokio::time::timeout(inner.endpoints.timeout(), watch.connect()).await;
    connected.unwrap_or_else(|_| Err(unavailable(tonic::Status::deadline_exceeded("no answer in time"))))?;
    Ok(Box::pin(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        let next = watch.next().await;
        let watch = if next.is_ok() { Some(watch) } else { None };
        Some((next, watch))
    })))
}

struct EtcdWatch {
    inner: Arc<Inner>,
    prefix: Bytes,
    delivered: Revision,
    progress: watch::Receiver<u64>,
    connection: Option<Connection>,
}

struct Connection {
    chosen: Chosen,
    requests: mpsc::Sender<proto::WatchRequest>,
    responses: Streaming<proto::WatchResponse>,
    /// Where the store was when the watch was accepted: up to there it catches up, from there on it is live.
    live_from: Revision,
    opened: Instant,
    /// What its answers to progress requests are worth.
    progress: Progress,
    /// What has come of a response that is split.
    fragments: Vec<proto::Event>,
}

/// What the connection brought.
enum Came {
    Response(proto::WatchResponse),
    ProgressWanted,
    Broken(String),
}

impl EtcdWatch {
    async fn next(&mut self) -> Result<WatchBatch> {
        loop {
            let Some(connection) = self.connection.as_mut() else {
                self.connect().await?;
                continue;
            };
            match connection.come(&mut self.progress).await {
                Came::Response(response) => {
                    if let Some(batch) = self.response(response).await? {
                        self.delivered = batch.revision;
                        return Ok(batch);
                    }
                }
                Came::ProgressWanted => connection.request_progress(),
                Came::Broken(reason) => self.disconnect(&reason),
            }
        }
    }

    fn disconnect(&mut self, reason: &str) {
        tracing::debug!(reason, delivered = %self.delivered, "a watch on etcd broke and is resumed");
        if let Some(connection) = self.connection.take() {
            self.inner.endpoints.failed(&connection.chosen);
        }
    }

    /// Connects, as often as it takes; an error only when trying again is no use.
    async fn connect(&mut self) -> Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let chosen = self.inner.endpoints.choose();
            let patience = self.inner.endpoints.timeout() / 2;
            let failed = match tokio::time::timeout(patience, self.open(&chosen)).await {
                Ok(Ok(connection)) => return self.connected(connection).await,
                Ok(Err(status)) => match failure(status, self.delivered) {
                    Failure::Refused(error) => return Err(error),
                    Failure::NotSent(status) | Failure::Later(status) | Failure::Unknown(status) => status.to_string(),
                },
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::debug!(failed, "a watch on etcd could not be opened yet");
            self.inner.endpoints.failed(&chosen);
            backoff.pause().await;
        }
    }

    /// Begins with a connection, if the history reaches back to where the watch is.
    async fn connected(&mut self, mut connection: Connection) -> Result<()> {
        // Compacted, or in the future: etcd would say the first late and the second never.
        match &mut connection.progress {
            Progress::Early { keys } => *keys = keys_at(&self.inner, &self.prefix, self.delivered).await?,
            Progress::Sound if connection.live_from == self.delivered => {}
            Progress::Sound => self.inner.check_reach(self.delivered).await?,
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn open(&self, chosen: &Chosen) -> Result<Connection, tonic::Status> {
        let version = chosen
            .maintenance()
            .status(proto::StatusRequest {})
            .await?
            .into_inner()
            .version;
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let create = proto::WatchCreateRequest {
            key: range_start(&self.prefix),
            range_end: range_end(&prefix_end(&self.prefix)),
            start_revision: to_wire(self.delivered.next()),
            progress_notify: true,
            fragment: true,
        };
        let create = proto::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        requests
            .try_send(create)
            .map_err(|_| tonic::Status::internal("a new queue has room"))?;
        let mut request = Request::new(ReceiverStream::new(receiver));
        // A member that has lost its cluster then ends the watch instead of staying silent.
        request
            .metadata_mut()
            .insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        let mut responses = chosen.watch().watch(request).await?.into_inner();
        let first = responses
            .message()
            .await?
            .ok_or_else(|| tonic::Status::unavailable("the stream ended"))?;
        if first.canceled || !first.created {
            return Err(cancelled(&first));
        }
        Ok(Connection {
            chosen: chosen.clone(),
            requests,
            responses,
            live_from: header_revision(first.header.as_ref()),
            opened: Instant::now(),
            progress: if may_be_early(&version) {
                Progress::Early { keys: 0 }
            } else {
                Progress::Sound
            },
            fragments: Vec::new(),
        })
    }

    /// Handles a response; a batch when there is something to deliver.
    async fn response(&mut self, response: proto::WatchResponse) -> Result<Option<WatchBatch>> {
        let Some(connection) = self.connection.as_mut() else {
            return Ok(None);
        };
        if response.compact_revision != 0 {
            let (requested, oldest) = (self.delivered, from_wire(response.compact_revision));
            if requested < oldest {
                return Err(Error::Compacted { requested, oldest });
            }
            // It was told of progress while it had yet to catch up in etcd, which counts from where it began.
            self.connection = None;
            return Ok(None);
        }
        if response.canceled {
            if let Failure::Refused(error) = failure(cancelled(&response), self.delivered) {
                return Err(error);
            }
            self.disconnect(&response.cancel_reason);
            // A server that cancels at once must not be asked in a tight loop.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return Ok(None);
        }
        let had_events = !response.events.is_empty();
        connection.fragments.extend(response.events);
        if response.fragment {
            return Ok(None);
        }
        if !connection.fragments.is_empty() {
            let events = std::mem::take(&mut connection.fragments);
            return self.events(events).await.map(Some);
        }
        if had_events || response.created {
            return Ok(None);
        }
        let revision = header_revision(response.header.as_ref());
        if self.catches_up() {
            // The deletes of a compaction's own revision may be gone: then nothing comes of them, and this is not progress.
            self.inner.check_reach(self.delivered).await?;
        }
        let told = revision <= self.delivered || response.watch_id >= 0 || self.is_believed(revision).await?;
        Ok(told.then(|| WatchBatch {
            events: Vec::new(),
            revision: revision.max(self.delivered),
        }))
    }

    /// Whether an answer can be believed that says that everything up to `revision` has come.
    async fn is_believed(&self, revision: Revision) -> Result<bool> {
        let Some(connection) = &self.connection else {
            return Ok(false);
        };
        let Progress::Early { keys } = connection.progress else {
            return Ok(true);
        };
        let delivered = Delivered {
            inner: &self.inner,
            prefix: &self.prefix,
            revision: self.delivered,
            keys,
        };
        let pace = if connection.opened.elapsed() > SETTLED {
            Pace::Settled
        } else {
            Pace::CatchingUp
        };
        delivered.is_unchanged_until(revision, pace).await
    }

    async fn events(&mut self, events: Vec<proto::Event>) -> Result<WatchBatch> {
        let events: Vec<Event> = events.into_iter().filter_map(convert::event).collect();
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Err(Error::Protocol {
                message: "a watch event without a key".to_owned(),
            });
        };
        let (first, last) = (first.kv.mod_revision, last.kv.mod_revision);
        if first <= self.delivered {
            // Progress was told too early after all: what was said of these revisions was wrong.
            return Err(Error::SlowWatcher {
                delivered: self.delivered,
                oldest: last,
            });
        }
        if self.catches_up() {
            self.inner.check_reach(self.delivered).await?;
        }
        if let Some(connection) = &mut self.connection {
            connection.progress.count(&events);
        }
        Ok(WatchBatch { events, revision: last })
    }

    /// Whether it has not come yet to where the store was when it was accepted.
    fn catches_up(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| self.delivered < connection.live_from)
    }
}

impl Connection {
    /// Waits for whatever comes next. Nothing is lost when this is dropped.
    async fn come(&mut self, progress: &mut watch::Receiver<u64>) -> Came {
        tokio::select! {
            response = self.responses.message() => match response {
                Ok(Some(response)) => Came::Response(response),
                Ok(None) => Came::Broken("the stream ended".to_owned()),
                Err(status) => Came::Broken(status.to_string()),
            },
            Ok(()) = progress.changed() => Came::ProgressWanted,
        }
    }

    fn request_progress(&self) {
        let request = RequestUnion::ProgressRequest(proto::WatchProgressRequest {});
        // Full: requests are waiting already, and one answer is enough.
        let _ = self.requests.try_send(proto::WatchRequest {
            request_union: Some(request),
        });
    }
}

fn cancelled(response: &proto::WatchResponse) -> tonic::Status {
    let reason = &response.cancel_reason;
    if response.compact_revision != 0 || reason.contains("compacted") {
        tonic::Status::out_of_range("required revision has been compacted")
    } else if reason.contains("permission denied") {
        tonic::Status::permission_denied(reason)
    } else {
        tonic::Status::unavailable(reason)
    }
}
