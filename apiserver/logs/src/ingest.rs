//! The log protocol's server side: one session per node's stream.
//!
//! A session takes messages in the order they come and answers in its own: an open waits for the
//! authority and for what is stored to be walked, a seal waits for a sync, and neither holds up the other
//! logs of the node. The session is pulled by its response stream: an agent that does not read its answers
//! is not read from, and one that goes away ends its session with it. Which bytes are taken is `intake`'s.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use breakbulk_log_api::log_ingest_server::{LogIngest, LogIngestServer};
use breakbulk_log_api::node_message::Body;
use breakbulk_log_api::rejected::Reason;
use breakbulk_log_api::server_message::Body as Answer;
use breakbulk_log_api::{self as api, Ack, Attempt, NodeMessage, Opened, Rejected, Sealed, ServerMessage};
use bytes::Bytes;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::appender::{OpenError, SealError};
use crate::intake::Fault;
use crate::key::LogKey;
use crate::log::{AppendError, Writer};
use crate::seal::Seal;
use crate::store::LogStore;

/// Logs one stream may have open: far above the attempts any node runs, low enough that a mad agent
/// cannot open every file this process may have.
const MAX_LOGS: usize = 4096;

/// Appends up to this size are written where they arrive: handing them to another thread costs more than
/// the copy into the page cache.
const INLINE: usize = 64 * 1024;

/// Messages taken before acknowledgements go out although more are waiting.
const ACK_AFTER: usize = 32;

/// The HTTP/2 flow-control window, of a stream and of the connection, that a server should give this service,
/// and an agent its channel: what is on its way to a log at full speed.
pub const RECOMMENDED_WINDOW: u32 = 8 << 20;

/// The HTTP/2 frame size to go with it: an append of common size in one frame.
pub const RECOMMENDED_FRAME: u32 = 256 << 10;

/// Who is at the other end of a stream, as the server has authenticated it. The server puts it into the
/// request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The user name, such as `system:node:NAME`.
    pub user: String,
    /// Its groups.
    pub groups: Vec<String>,
}

/// Why an attempt's log is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such attempt, or not this peer's: final.
    Fenced(String),
    /// It cannot be told now: the agent tries again.
    Unavailable(String),
}

/// Tells whether a peer may write an attempt's log: the job exists with that UID and attempt, the fencing
/// token is the claim's, and the peer is the node that holds it.
#[async_trait]
pub trait AttemptAuthority: Send + Sync + 'static {
    /// The key of the attempt's log, or why it is refused.
    async fn check(&self, attempt: &Attempt, peer: &PeerIdentity) -> Result<LogKey, Refusal>;
}

/// The gRPC service that takes logs into `store`. `shutdown` ends its streams; agents then go on elsewhere.
pub fn ingest_service<A: AttemptAuthority>(
    store: LogStore,
    authority: Arc<A>,
    shutdown: CancellationToken,
) -> LogIngestServer<Ingest<A>> {
    LogIngestServer::new(Ingest {
        store,
        authority,
        shutdown,
    })
}

/// The service behind [`ingest_service`].
#[derive(Debug)]
pub struct Ingest<A> {
    store: LogStore,
    authority: Arc<A>,
    shutdown: CancellationToken,
}

#[async_trait]
impl<A: AttemptAuthority> LogIngest for Ingest<A> {
    type ShipStream = Pin<Box<dyn Stream<Item = Result<ServerMessage, Status>> + Send>>;

    async fn ship(&self, request: Request<Streaming<NodeMessage>>) -> Result<Response<Self::ShipStream>, Status> {
        let peer = request.extensions().get::<PeerIdentity>().cloned();
        let peer = peer.ok_or_else(|| Status::unauthenticated("a log stream needs an authenticated peer"))?;
        let session = Session {
            inbound: request.into_inner(),
            store: self.store.clone(),
            authority: Arc::clone(&self.authority),
            peer: Arc::new(peer),
            shutdown: self.shutdown.clone(),
            logs: HashMap::new(),
            opening: FuturesUnordered::new(),
            held: None,
            bell: Arc::new(Notify::new()),
            due: HashSet::new(),
            since_ack: 0,
            out: VecDeque::new(),
        };
        let answers = stream::unfold(session, |mut session| async move {
            let answer = session.next().await?;
            Some((answer, session))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

type Opening = Pin<Box<dyn Future<Output = (u64, Result<Writer, Rejected>)> + Send>>;

/// What the agent's number for a log stands for.
enum Slot {
    /// The authority is asked, the files are walked.
    Opening,
    Open(OpenLog),
}

struct OpenLog {
    writer: Writer,
    /// The last acknowledgement: received, durable.
    told: Ack,
    /// A seal was accepted and waits to be durable.
    sealing: bool,
}

enum Event {
    Message(NodeMessage),
    Opened(u64, Result<Writer, Rejected>),
    Durable,
    Idle,
    Failed(Status),
    Ended,
}

struct Session<A> {
    inbound: Streaming<NodeMessage>,
    store: LogStore,
    authority: Arc<A>,
    peer: Arc<PeerIdentity>,
    shutdown: CancellationToken,
    logs: HashMap<u64, Slot>,
    opening: FuturesUnordered<Opening>,
    /// A message for a log that is still opening: nothing more is read until it can be handled.
    held: Option<NodeMessage>,
    bell: Arc<Notify>,
    /// Logs that are owed an acknowledgement.
    due: HashSet<u64>,
    since_ack: usize,
    out: VecDeque<ServerMessage>,
}

impl<A: AttemptAuthority> Session<A> {
    async fn next(&mut self) -> Option<Result<ServerMessage, Status>> {
        loop {
            if let Some(message) = self.out.pop_front() {
                return Some(Ok(message));
            }
            match self.event().await {
                Event::Message(message) => self.handle(message).await,
                Event::Opened(number, result) => self.opened(number, result),
                Event::Durable => self.durable(),
                Event::Idle => self.acknowledge(),
                Event::Failed(status) => return Some(Err(status)),
                Event::Ended => return None,
            }
            if self.since_ack >= ACK_AFTER {
                self.acknowledge();
            }
        }
    }

    async fn event(&mut self) -> Event {
        let ready = self
            .held
            .as_ref()
            .is_some_and(|held| !matches!(self.logs.get(&held.log), Some(Slot::Opening)));
        if ready && let Some(message) = self.held.take() {
            return Event::Message(message);
        }
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Event::Ended,
            Some((number, result)) = self.opening.next(), if !self.opening.is_empty() => Event::Opened(number, result),
            () = self.bell.notified() => Event::Durable,
            message = self.inbound.message(), if self.held.is_none() => match message {
                Ok(Some(message)) => Event::Message(message),
                Ok(None) => Event::Ended,
                Err(status) => Event::Failed(status),
            },
            // Reached when nothing else is there: what was taken so far is acknowledged together.
            () = std::future::ready(()), if !self.due.is_empty() => Event::Idle,
        }
    }

    async fn handle(&mut self, message: NodeMessage) {
        let number = message.log;
        if matches!(self.logs.get(&number), Some(Slot::Opening)) {
            self.held = Some(message);
            return;
        }
        match message.body {
            Some(Body::Open(open)) => self.open(number, open.attempt.unwrap_or_default()),
            Some(Body::Append(append)) => self.append(number, append.records).await,
            Some(Body::Seal(seal)) => self.seal(number, &seal),
            None => self.reject(number, Reason::Corrupt, "a message without a body"),
        }
    }

    fn open(&mut self, number: u64, attempt: Attempt) {
        if self.logs.len() >= MAX_LOGS {
            self.reject(number, Reason::Unavailable, "too many logs on one stream");
            return;
        }
        let (store, authority, peer) = (self.store.clone(), Arc::clone(&self.authority), Arc::clone(&self.peer));
        self.logs.insert(number, Slot::Opening);
        self.opening.push(Box::pin(async move {
            (number, open(&store, &*authority, &attempt, &peer).await)
        }));
    }

    fn opened(&mut self, number: u64, result: Result<Writer, Rejected>) {
        match result {
            Err(rejected) => {
                self.logs.remove(&number);
                self.out.push_back(answer(number, Answer::Rejected(rejected)));
            }
            Ok(writer) => {
                let log = writer.log();
                log.subscribe(&self.bell);
                let opened = Opened {
                    committed: log.committed(),
                    sealed: log.sealed().is_some(),
                };
                let told = Ack {
                    received: opened.committed,
                    durable: 0,
                };
                if log.durable() > 0 {
                    self.due.insert(number);
                }
                self.logs.insert(
                    number,
                    Slot::Open(OpenLog {
                        writer,
                        told,
                        sealing: false,
                    }),
                );
                self.out.push_back(answer(number, Answer::Opened(opened)));
            }
        }
    }

    async fn append(&mut self, number: u64, records: Bytes) {
        let Some(Slot::Open(open)) = self.logs.get(&number) else {
            self.reject(number, Reason::Unavailable, "the log is not open on this stream");
            return;
        };
        let log = Arc::clone(open.writer.log());
        let result = if records.len() <= INLINE {
            log.append(&records)
        } else {
            let writing = Arc::clone(&log);
            let written = tokio::task::spawn_blocking(move || writing.append(&records)).await;
            written.unwrap_or_else(|error| Err(AppendError::Io(std::io::Error::other(error))))
        };
        self.since_ack += 1;
        self.due.insert(number);
        if let Err(error) = result {
            let rejected = append_rejection(&error, log.committed());
            if error_is_final(&error) {
                self.logs.remove(&number);
                self.due.remove(&number);
            }
            self.out.push_back(answer(number, Answer::Rejected(rejected)));
        }
    }

    fn seal(&mut self, number: u64, seal: &api::Seal) {
        let Some(Slot::Open(open)) = self.logs.get_mut(&number) else {
            self.reject(number, Reason::Unavailable, "the log is not open on this stream");
            return;
        };
        let Ok(digest) = <[u8; 32]>::try_from(&seal.digest[..]) else {
            self.reject(number, Reason::SealMismatch, "a digest has 32 bytes");
            return;
        };
        match open.writer.log().seal(Seal {
            length: seal.length,
            digest,
        }) {
            Ok(()) => {
                open.sealing = true;
                self.durable();
            }
            Err(error) => {
                let rejected = seal_rejection(&error, open.writer.log().committed());
                self.out.push_back(answer(number, Answer::Rejected(rejected)));
            }
        }
    }

    /// Tells what has become durable: acknowledgements are due, seals are answered, failures are final.
    fn durable(&mut self) {
        let mut done = Vec::new();
        for (number, slot) in &self.logs {
            let Slot::Open(open) = slot else { continue };
            if open.writer.log().has_failed() {
                let message = "the server's disk failed; open the log again";
                let rejected = rejection(Reason::Unavailable, open.writer.log().durable(), message);
                done.push((*number, Answer::Rejected(rejected)));
            } else if open.sealing && open.writer.log().sealed().is_some() {
                done.push((*number, Answer::Sealed(Sealed {})));
            } else if open.writer.log().durable() > open.told.durable {
                self.due.insert(*number);
            }
        }
        for (number, body) in done {
            self.logs.remove(&number);
            self.due.remove(&number);
            self.out.push_back(answer(number, body));
        }
    }

    fn acknowledge(&mut self) {
        self.since_ack = 0;
        for number in self.due.drain() {
            let Some(Slot::Open(open)) = self.logs.get_mut(&number) else {
                continue;
            };
            open.told = Ack {
                durable: open.writer.log().durable(),
                received: open.writer.log().committed(),
            };
            self.out.push_back(answer(number, Answer::Ack(open.told)));
        }
    }

    fn reject(&mut self, number: u64, reason: Reason, message: &str) {
        let committed = match self.logs.get(&number) {
            Some(Slot::Open(open)) => open.writer.log().committed(),
            _ => 0,
        };
        self.out
            .push_back(answer(number, Answer::Rejected(rejection(reason, committed, message))));
    }
}

async fn open<A: AttemptAuthority>(
    store: &LogStore,
    authority: &A,
    attempt: &Attempt,
    peer: &PeerIdentity,
) -> Result<Writer, Rejected> {
    let key = authority.check(attempt, peer).await.map_err(|refusal| match refusal {
        Refusal::Fenced(message) => rejection(Reason::Fenced, 0, &message),
        Refusal::Unavailable(message) => rejection(Reason::Unavailable, 0, &message),
    })?;
    store.writer(&key).await.map_err(|error| {
        if let OpenError::Io(source) = &error {
            tracing::warn!(log = %key, %source, "opening a log failed");
        }
        rejection(Reason::Unavailable, 0, &error.to_string())
    })
}

fn append_rejection(error: &AppendError, committed: u64) -> Rejected {
    let reason = match error {
        AppendError::Fault(Fault::Offset { .. }) => Reason::Offset,
        AppendError::Fault(Fault::Corrupt { .. } | Fault::Incomplete { .. } | Fault::Overflow { .. }) => {
            Reason::Corrupt
        }
        AppendError::Sealed(_) => Reason::Sealed,
        AppendError::Io(source) => {
            tracing::warn!(%source, "appending to a log failed");
            Reason::Unavailable
        }
        AppendError::NotOpen => Reason::Unavailable,
    };
    rejection(reason, committed, &error.to_string())
}

/// Whether the agent must open the log anew.
fn error_is_final(error: &AppendError) -> bool {
    matches!(error, AppendError::Sealed(_) | AppendError::NotOpen)
}

fn seal_rejection(error: &SealError, committed: u64) -> Rejected {
    let reason = match error {
        SealError::Mismatch { .. } => Reason::SealMismatch,
        SealError::Sealed => Reason::Sealed,
        SealError::Io(_) | SealError::NotOpen => Reason::Unavailable,
    };
    rejection(reason, committed, &error.to_string())
}

fn rejection(reason: Reason, committed: u64, message: &str) -> Rejected {
    Rejected {
        reason: reason.into(),
        committed,
        message: message.to_owned(),
    }
}

fn answer(log: u64, body: Answer) -> ServerMessage {
    ServerMessage { log, body: Some(body) }
}
