//! Writes of an HTTP/2 connection, put together.
//!
//! The protocol's library writes and flushes each frame by itself: with a thousand watchers on some connections one change
//! would be a thousand TLS records and system calls. Here what it writes is kept until the thread has nothing else to
//! do, which is when the other watchers have had their turn, and goes out in one piece. A single answer is not held up
//! by it: then there is nothing else to do.
//!
//! Measured with 1,000 watchers: see `docs/decisions/0018-performance-of-the-api-server.md`.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use bytes::{Buf as _, BytesMut};
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes kept at most: four TLS records, which is what one write to the socket takes.
const ROOM: usize = 64 << 10;
/// A write of so many bytes goes straight through when nothing is kept: copying it would gain nothing.
const LARGE: usize = 16 << 10;

/// When what is flushed is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// At once: HTTP/1.1 has one answer at a time and puts it together itself.
    AtOnce,
    /// When the thread has nothing else to do.
    Later,
}

/// The stream as the protocol's library sees it. What it flushes is sent by [`Sender`].
#[derive(Debug)]
pub(super) struct Together<S>(Arc<Mutex<Kept<S>>>);

/// Sends what is kept. Polled with the connection, and after it.
#[derive(Debug)]
pub(super) struct Sender<S> {
    kept: Arc<Mutex<Kept<S>>>,
    turn: Arc<Turn>,
    waker: Waker,
    /// The turn is waited for.
    waits: bool,
}

#[derive(Debug)]
struct Kept<S> {
    stream: S,
    flush: Flush,
    bytes: BytesMut,
    /// Something was written that is not flushed.
    dirty: bool,
    /// Sending failed, which the next to write is told.
    failed: Option<io::ErrorKind>,
}

/// Comes when the thread has nothing else to do.
#[derive(Debug, Default)]
struct Turn {
    has_come: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.has_come.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Puts the writes to a stream together.
pub(super) fn together<S: AsyncWrite + Unpin>(stream: S, flush: Flush) -> (Together<S>, Sender<S>) {
    let kept = Arc::new(Mutex::new(Kept {
        stream,
        flush,
        bytes: BytesMut::new(),
        dirty: false,
        failed: None,
    }));
    let turn = Arc::<Turn>::default();
    let sender = Sender {
        kept: kept.clone(),
        waker: turn.clone().into(),
        turn,
        waits: false,
    };
    (Together(kept), sender)
}

impl<S: AsyncWrite + Unpin> Sender<S> {
    /// Runs a connection to its end, and sends what it writes.
    pub(super) async fn drive<F: Future>(&mut self, mut connection: Pin<&mut F>) -> F::Output {
        poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            self.poll_send(context);
            polled
        })
        .await
    }

    /// Sends what is kept when its turn has come.
    fn poll_send(&mut self, context: &mut Context<'_>) {
        if !lock(&self.kept).dirty {
            return;
        }
        self.turn.task.register(context.waker());
        if !self.waits {
            self.waits = true;
            // The runtime calls the waker when its queue is empty, and after some sixty tasks in any case.
            let mut yielding = Context::from_waker(&self.waker);
            let _ = pin!(tokio::task::yield_now()).poll(&mut yielding);
        }
        if !self.turn.has_come.load(Ordering::Acquire) {
            return;
        }
        let mut kept = lock(&self.kept);
        let Poll::Ready(sent) = kept.poll_drained(context) else {
            return;
        };
        if let Err(error) = sent {
            kept.failed = Some(error.kind());
            kept.bytes = BytesMut::new();
            kept.dirty = false;
            context.waker().wake_by_ref();
        }
        self.turn.has_come.store(false, Ordering::Release);
        self.waits = false;
    }
}

impl<S: AsyncWrite + Unpin> Kept<S> {
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(written);
        }
        // An idle connection keeps nothing.
        self.bytes = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.dirty = false;
        Poll::Ready(Ok(()))
    }
}

fn lock<S>(kept: &Mutex<Kept<S>>) -> MutexGuard<'_, Kept<S>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + Unpin> AsyncRead for Together<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Together<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut kept = lock(&self.0);
        if kept.flush == Flush::AtOnce {
            return Pin::new(&mut kept.stream).poll_write_vectored(context, pieces);
        }
        if let Some(kind) = kept.failed {
            return Poll::Ready(Err(kind.into()));
        }
        if kept.bytes.len() >= ROOM {
            ready!(kept.poll_written(context))?;
        }
        kept.dirty = true;
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if kept.bytes.is_empty() && length >= LARGE {
            return Pin::new(&mut kept.stream).poll_write_vectored(context, pieces);
        }
        let before = kept.bytes.len();
        for piece in pieces {
            let taken = piece.len().min(ROOM - kept.bytes.len());
            kept.bytes.extend_from_slice(&piece[..taken]);
        }
        Poll::Ready(Ok(kept.bytes.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut kept = lock(&self.0);
        match (kept.flush, kept.failed) {
            (Flush::AtOnce, _) => Pin::new(&mut kept.stream).poll_flush(context),
            (Flush::Later, Some(kind)) => Poll::Ready(Err(kind.into())),
            (Flush::Later, None) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut kept = lock(&self.0);
        ready!(kept.poll_drained(context))?;
        Pin::new(&mut kept.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_written_in_pieces_goes_out_together_and_whole() {
        let (ours, mut theirs) = tokio::io::duplex(ROOM * 4);
        let (mut stream, mut sender) = together(ours, Flush::Later);
        let mut expected = Vec::new();
        for n in 0..200_u8 {
            let piece = vec![n; usize::from(n) * 3];
            stream.write_all(&piece).await.unwrap();
            stream.flush().await.unwrap();
            expected.extend(piece);
        }
        let connection = pin!(std::future::pending::<()>());
        let sending = sender.drive(connection);
        let mut read = vec![0; expected.len()];
        tokio::select! {
            () = sending => {}
            read = theirs.read_exact(&mut read) => { read.unwrap(); }
        }
        assert_eq!(read, expected);
        stream.write_all(b"the end").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"the end");
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_the_writer_back() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let (mut stream, mut sender) = together(ours, Flush::Later);
        let writing = async {
            for _ in 0..100 {
                stream.write_all(&[7; 5000]).await.unwrap();
                assert!(lock(&stream.0).bytes.len() <= ROOM);
            }
            stream.shutdown().await.unwrap();
        };
        let connection = pin!(std::future::pending::<()>());
        let sending = sender.drive(connection);
        let reading = async {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all.len()
        };
        tokio::select! {
            () = sending => {}
            ((), length) = async { tokio::join!(writing, reading) } => assert_eq!(length, 500_000),
        }
    }
}
