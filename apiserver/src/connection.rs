//! One connection: its handshake, its protocol, and its end. A connection ends when its client closes it, when it has
//! been idle for too long, when a client does not take what it asked for, or when the server goes down.
//!
//! Against clients that mean harm everything here has a bound: the handshake, the head of a request in bytes and
//! seconds, the streams of a connection and what they buffer, and the time in which nothing is asked. Bodies are bounded
//! where they are read.

mod leftover;
mod together;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::audit::trail::Peer;
use crate::authentication::Identity;
use crate::endpoints::{App, handle};
use crate::overload::Permit;
use together::{Flush, together};

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The head of a request that takes longer is given up, as upstream ("just shy of" its limit for writes).
const HEAD: Duration = Duration::from_secs(32);
/// The largest head of a request, with its URL.
const HEAD_BYTES: u32 = 64 << 10;
/// A connection on which nothing has been asked for so long is closed, as upstream (`http.Server.IdleTimeout`).
const IDLE: Duration = Duration::from_secs(90);
/// How long its end may take then.
const FAREWELL: Duration = Duration::from_secs(5);
/// What a client may send before it is told to wait, per stream and per connection: logs come in at hundreds of
/// megabytes a second.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Streams of one connection: a process of controllers has a watch for each kind, and more for each request.
const STREAMS: u32 = 1000;

/// A connection, as its requests see it.
#[derive(Clone)]
pub struct Connection(Arc<State>);

#[derive(Default)]
struct State {
    /// Requests and streams that are not over.
    open: AtomicUsize,
    /// All there have been.
    begun: AtomicUsize,
    /// Closes it at once.
    cut: CancellationToken,
    /// It is over.
    ended: CancellationToken,
    /// What goes on on it when HTTP is over.
    then: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, begun) = (&self.0.open, &self.0.begun);
        f.debug_struct("Connection")
            .field("open", open)
            .field("begun", begun)
            .finish_non_exhaustive()
    }
}

impl Connection {
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Something begins that keeps the connection from being idle, until what is returned is dropped.
    pub fn open(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        Open(self.clone())
    }

    /// Keeps the connection from being idle until a body has been sent.
    pub fn while_sent(&self, body: Body) -> Body {
        let open = self.open();
        Body::new(body.map_frame(move |frame| {
            let _held = &open;
            frame
        }))
    }

    /// Closes the connection, whatever is going on on it.
    pub fn cut(&self) {
        self.0.cut.cancel();
    }

    /// Returns when the connection is over.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// The connection is to become something else after its answer: that is run then, as a part of the connection.
    pub fn then(&self, next: BoxFuture<'static, ()>) {
        *self.0.then.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    /// Runs what it is to become, unless it is cut.
    async fn become_it(&self) {
        let next = self.0.then.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(next) = next else { return };
        tokio::select! {
            () = next => {}
            () = self.0.cut.cancelled() => {}
        }
    }

    /// Returns when nothing has been asked for a while.
    async fn idle(&self) {
        let mut before = None;
        loop {
            tokio::time::sleep(IDLE).await;
            let now = self.0.begun.load(Ordering::Acquire);
            let open = self.0.open.load(Ordering::Acquire);
            // Nothing before the first look counts as nothing since.
            if open == 0 && before.unwrap_or(0) == now {
                return;
            }
            before = Some(now);
        }
    }
}

/// Something open on a connection, counted until dropped.
#[derive(Debug)]
pub struct Open(Connection);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves one connection, to its end.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, acceptor: TlsAcceptor, app: Arc<App>, permit: Permit) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let tls = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let identity = Arc::new(certificate.map_or_else(Identity::anonymous, Identity::from_certificate));
    if !app.overload.may_stay(&identity) {
        return tracing::warn!(user = identity.user, "too many connections: one is closed");
    }
    let gauge = app.metrics.connections().clone();
    gauge.inc();
    let connection = Connection::new();
    requests(tls, peer, identity, app, &connection).await;
    connection.0.ended.cancel();
    gauge.dec();
    drop(permit);
}

async fn requests(
    tls: TlsStream<TcpStream>,
    peer: SocketAddr,
    identity: Arc<Identity>,
    app: Arc<App>,
    connection: &Connection,
) {
    let shutdown = app.shutdown.clone();
    let known = connection.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let (app, identity, known) = (app.clone(), identity.clone(), known.clone());
        let open = known.open();
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(known);
        // Boxed, so that it is given back when the answer begins: what hyper keeps for a stream until its end is as large
        // as the larger of handler and body, and a handler takes kilobytes.
        Box::pin(async move {
            let _open = open;
            let (request, leftover) = leftover::lend(request);
            let mut answer = handle(app, identity, request.map(Body::new)).await;
            leftover.read(&mut answer).await;
            Ok::<_, Infallible>(answer)
        })
    });
    let builder = protocols();
    let flush = match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => Flush::Later,
        _ => Flush::AtOnce,
    };
    let (stream, mut sender) = together(tls, flush);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = sender.drive(serving.as_mut()) => ended,
        () = connection.0.cut.cancelled() => return,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = sender.drive(serving) => ended,
                () = connection.0.cut.cancelled() => return,
            }
        }
        () = connection.idle() => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(FAREWELL, sender.drive(serving)).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended with an error");
    }
    connection.become_it().await;
}

/// HTTP/2 and HTTP/1.1, with their bounds.
fn protocols() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buf_size(1 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_BYTES as usize)
        .header_read_timeout(HEAD);
    builder
}
