//! What is left of a request's body when its answer is there already: a refusal does not wait for what it refuses. On an
//! HTTP/1.1 connection the next request comes after it, so it has to be read, or the client be told that the connection
//! ends; else the client sends the next one into a connection that is being closed, and gets no answer at all.
//!
//! As Go's server: up to 256 KB are read, and what is more ends the connection (`net/http`, `maxPostHandlerReadBytes`).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// How much is read of it.
const MOST: usize = 256 << 10;
/// How long its client may take to send that.
const LONGEST: Duration = Duration::from_secs(1);

/// A body that comes back when it is dropped before its end.
pub(super) struct Lent {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

/// Where it comes back to; nowhere if nothing can be left of it.
pub(super) struct Leftover(Option<oneshot::Receiver<Incoming>>);

/// Lends a request's body to who answers it.
pub(super) fn lend(request: Request<Incoming>) -> (Request<Lent>, Leftover) {
    // HTTP/2 ends a stream by itself.
    let comes_back = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
    // Who waits to be told to send has not been told, and is not to be now.
    let waits = request.headers().contains_key(EXPECT);
    let (back, receiver) = (comes_back && !waits).then(oneshot::channel).unzip();
    let request = request.map(|body| Lent { body: Some(body), back });
    (request, Leftover(receiver))
}

impl Leftover {
    /// Reads what came back, if anything did. If that is too much, the answer says that the connection ends.
    pub(super) async fn read<B>(self, answer: &mut Response<B>) {
        let Some(Ok(body)) = self.0.map(|mut back| back.try_recv()) else {
            return;
        };
        if !matches!(tokio::time::timeout(LONGEST, read_all(body)).await, Ok(true)) {
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Whether its end came soon enough.
async fn read_all(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MOST {
            return false;
        }
    }
    true
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // Nobody waits for it any more when the request was given up.
            let _ = back.send(body);
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
