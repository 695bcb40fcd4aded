//! The one connection for logs: a gRPC stream to the API server, shared by all logs of the node, made again
//! whenever it breaks. It knows numbers and answers, not records.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breakbulk_log_api::log_ingest_client::LogIngestClient;
use breakbulk_log_api::node_message::Body;
use breakbulk_log_api::{NodeMessage, ServerMessage};
use hyper_util::rt::TokioIo;
use kube::client::ConfigExt;
use rand::Rng;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};

use super::slot::Slot;
use crate::attempt::chain;

/// Messages between the logs and the stream. Few, so that a log with little to say does not wait behind much of
/// one that floods.
const QUEUE: usize = 4;
/// What the server may send before it is read, and what we announce for the connection as a whole.
const WINDOW: u32 = 4 << 20;
/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that says nothing for this long is asked whether it lives, and given as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Why the connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("cannot use the credentials for TLS")]
    Credentials(#[source] Box<kube::Error>),
    #[error("the server's address {0} has no host")]
    Address(String),
    #[error("cannot connect to the API server for logs")]
    Connect(#[source] tonic::transport::Error),
    #[error("the API server ended the log stream")]
    Stream(#[source] Box<tonic::Status>),
}

/// A connection that is up.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    messages: mpsc::Sender<NodeMessage>,
    gone: CancellationToken,
}

impl Connection {
    /// Sends a message, in its turn. `false` when the connection is gone.
    pub(crate) async fn send(&self, log: u64, body: Body) -> bool {
        let message = NodeMessage { log, body: Some(body) };
        let sent = self.gone.run_until_cancelled(self.messages.send(message)).await;
        matches!(sent, Some(Ok(())))
    }

    /// Waits until it is gone.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

type Slots = Mutex<HashMap<u64, Arc<Slot>>>;

/// Where logs find the connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    current: watch::Receiver<Option<Connection>>,
    slots: Arc<Slots>,
    next: Arc<AtomicU64>,
}

/// A log's number on the connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) log: u64,
    pub(crate) slot: Arc<Slot>,
    slots: Arc<Slots>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.log);
    }
}

impl Link {
    /// A number for one more opening of a log. Numbers are not used again, so an answer that is late for an
    /// earlier opening reaches nobody.
    pub(crate) fn place(&self) -> Place {
        let log = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot::default());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(log, Arc::clone(&slot));
        drop(slots);
        Place {
            log,
            slot,
            slots: Arc::clone(&self.slots),
        }
    }

    /// The connection that is up, as soon as one is. `None` when the agent shuts down.
    pub(crate) async fn connection(&self) -> Option<Connection> {
        let mut current = self.current.clone();
        let up = |c: &Option<Connection>| c.as_ref().is_some_and(|c| !c.gone.is_cancelled());
        current.wait_for(up).await.ok()?.clone()
    }
}

/// Keeps the connection up.
pub(crate) struct LinkKeeper {
    endpoint: Endpoint,
    connector: Connector,
    publish: watch::Sender<Option<Connection>>,
    slots: Arc<Slots>,
}

/// Both halves.
pub(crate) fn link(config: &kube::Config) -> Result<(Link, LinkKeeper), LinkError> {
    let mut tls = config
        .rustls_client_config()
        .map_err(|error| LinkError::Credentials(Box::new(error)))?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let url = &config.cluster_url;
    let address = || LinkError::Address(url.to_string());
    let host = url.host().ok_or_else(address)?.trim_matches(['[', ']']).to_owned();
    let name = config.tls_server_name.clone().unwrap_or_else(|| host.clone());
    let connector = Connector {
        host,
        port: url.port_u16().unwrap_or(443),
        name: name.try_into().map_err(|_| address())?,
        tls: TlsConnector::from(Arc::new(tls)),
    };
    // Our own connector does TLS; tonic refuses to connect to `https` by one that it does not know. Requests carry
    // the true address all the same.
    let mut parts = url.clone().into_parts();
    parts.scheme = Some(tonic::codegen::http::uri::Scheme::HTTP);
    let plain = Uri::from_parts(parts).map_err(|_| address())?;
    let endpoint = Endpoint::from(plain)
        .origin(url.clone())
        .connect_timeout(CONNECT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let (publish, current) = watch::channel(None);
    let slots = Arc::<Slots>::default();
    let link = Link {
        current,
        slots: Arc::clone(&slots),
        next: Arc::default(),
    };
    let keeper = LinkKeeper {
        endpoint,
        connector,
        publish,
        slots,
    };
    Ok((link, keeper))
}

impl LinkKeeper {
    /// Connects, and connects again, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        while !shutdown.is_cancelled() {
            let gone = CancellationToken::new();
            let _tell = gone.clone().drop_guard();
            match shutdown.run_until_cancelled(self.session(&gone, &mut backoff)).await {
                None => return,
                Some(Ok(())) => tracing::info!("the log stream was closed; connecting again"),
                Some(Err(error)) => {
                    tracing::warn!(error = chain(&error), "the log stream is down; connecting again");
                }
            }
            drop(_tell);
            let wait = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
            backoff = (backoff * 2).min(MAX_BACKOFF);
            if shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// One connection, from the first packet to the last.
    async fn session(&self, gone: &CancellationToken, backoff: &mut Duration) -> Result<(), LinkError> {
        let connector = self.connector.clone();
        let dial = tower::service_fn(move |_: Uri| connector.clone().dial());
        let channel: Channel = self
            .endpoint
            .connect_with_connector(dial)
            .await
            .map_err(LinkError::Connect)?;
        let (messages, outbound) = mpsc::channel(QUEUE);
        let status = |status: tonic::Status| LinkError::Stream(Box::new(status));
        let mut client = LogIngestClient::new(channel);
        let answers = client.ship(ReceiverStream::new(outbound)).await.map_err(status)?;
        let mut answers = answers.into_inner();
        self.publish.send_replace(Some(Connection {
            messages,
            gone: gone.clone(),
        }));
        while let Some(answer) = answers.message().await.map_err(status)? {
            *backoff = FIRST_BACKOFF;
            self.deliver(answer);
        }
        Ok(())
    }

    fn deliver(&self, answer: ServerMessage) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(slot), Some(body)) = (slots.get(&answer.log), answer.body) {
            slot.put(body);
        }
    }
}

/// Dials the server: TCP without delay, then TLS with the node's certificate.
#[derive(Clone)]
struct Connector {
    host: String,
    port: u16,
    name: rustls::pki_types::ServerName<'static>,
    tls: TlsConnector,
}

impl Connector {
    async fn dial(self) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        Ok(TokioIo::new(self.tls.connect(self.name, tcp).await?))
    }
}
