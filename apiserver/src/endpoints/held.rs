//! The body of an answer that lasts: a stream, or what is too large to be taken at once. What the request holds (its
//! permit, its place in the metrics, its last line in the audit log) is given back when the client has taken it all or
//! gone away, and not before.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;

use crate::audit::Trail;
use crate::audit::policy::Stage;
use crate::audit::trail::Answered;
use crate::connection::{Connection, Open};
use crate::metrics::LongRunning;
use crate::overload::{AnswerBytes, Permit};

/// A large answer is handed on in such pieces, so that what its client has not taken is still ours to count.
const PIECE: usize = 256 << 10;
/// A client that takes nothing of a large answer for so long is cut off.
const STALL: Duration = Duration::from_secs(60);

/// What a stream holds.
pub(super) struct StreamGuard {
    pub(super) permit: Option<Permit>,
    pub(super) stream: LongRunning,
    pub(super) trail: Option<Arc<Trail>>,
    pub(super) open: Option<Open>,
    pub(super) code: u16,
}

/// A stream, and what it holds.
pub(super) struct Stream {
    body: Body,
    guard: StreamGuard,
}

/// A large answer, and what it holds.
pub(super) struct Large {
    body: Body,
    /// What the body has given and is not handed on yet.
    rest: Bytes,
    account: AnswerBytes,
    taken: Arc<AtomicUsize>,
    _permit: Option<Permit>,
    _open: Option<Open>,
}

impl Stream {
    /// Holds on to what a stream needs until it ends.
    pub(super) fn hold(body: Body, guard: StreamGuard) -> Body {
        Body::new(Self { body, guard })
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.guard.stream.sent(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(trail) = &self.guard.trail {
            let code = self.guard.code;
            trail.end(Stage::ResponseComplete, Answered::Well { code, body: None });
        }
        drop((self.guard.permit.take(), self.guard.open.take()));
    }
}

impl Large {
    /// Whether an answer is so large that it is worth holding on to.
    pub(super) fn is(size: u64) -> bool {
        size > PIECE as u64
    }

    /// Hands a large answer on piece by piece. Its connection is closed when the client stops taking it.
    pub(super) fn hold(
        body: Body,
        account: AnswerBytes,
        permit: Option<Permit>,
        connection: Option<Connection>,
    ) -> Body {
        let taken = Arc::new(AtomicUsize::new(0));
        let open = connection.as_ref().map(Connection::open);
        if let Some(connection) = connection {
            tokio::spawn(watch_over(Arc::downgrade(&taken), connection));
        }
        Body::new(Self {
            body,
            rest: Bytes::new(),
            account,
            taken,
            _permit: permit,
            _open: open,
        })
    }
}

/// Ends a connection whose client takes nothing of an answer any more. Ends itself with the answer.
async fn watch_over(taken: std::sync::Weak<AtomicUsize>, connection: Connection) {
    let mut before = 0;
    loop {
        tokio::select! {
            () = sleep(STALL) => {}
            () = connection.ended() => return,
        }
        let Some(taken) = taken.upgrade() else { return };
        let now = taken.load(Ordering::Relaxed);
        if now == before {
            tracing::info!("a client has stopped taking its answer; its connection is closed");
            return connection.cut();
        }
        before = now;
    }
}

impl HttpBody for Large {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.account.taken(length);
        self.taken.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let behind = self.body.size_hint().exact();
        behind.map_or_else(SizeHint::default, |bytes| {
            SizeHint::with_exact(bytes + self.rest.len() as u64)
        })
    }
}
