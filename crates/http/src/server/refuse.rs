//! Refuses connections, and heads for which there is no room.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use faasflow_core::code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::heads::PendingHead;
use crate::read::poll_read_some;

/// How long a client may continue to send after it was refused. Otherwise its connection would be reset, and the answer
/// lost.
const LINGER: Duration = Duration::from_secs(1);

/// Why a head is refused.
pub(super) const NO_ROOM: &str = "the heads of requests use all the memory that they may; try again later";

/// When to try again, in seconds. The value is random, so that clients do not all come back at once.
pub(super) fn seconds() -> u64 {
    1 + RandomState::new().hash_one(0) % 5
}

/// The answer on a connection whose request is not read.
fn busy(text: &str) -> Bytes {
    let seconds = seconds();
    Bytes::from(format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: {seconds}\r\nx-faasflow-busy: true\r\n\
         x-faasflow-error-code: {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}\n",
        code::NO_ROOM,
        text.len() + 1
    ))
}

/// Asks a client to try again later, and closes its connection.
pub(super) struct TurnAway<S> {
    stream: S,
    refusal: Refusal,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TurnAway<S> {
    /// `text` is the reason.
    pub(super) fn new(stream: S, text: &str) -> TurnAway<S> {
        TurnAway { stream, refusal: Refusal::new(text) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for TurnAway<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.refusal.poll(&mut this.stream, context)
    }
}

#[derive(Debug)]
struct Refusal {
    text: Bytes,
    shut: bool,
    linger: Pin<Box<Sleep>>,
}

impl Refusal {
    fn new(text: &str) -> Refusal {
        Refusal { text: busy(text), shut: false, linger: Box::pin(tokio::time::sleep(LINGER)) }
    }

    fn poll<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<()> {
        if self.linger.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        while self.text.has_remaining() {
            match ready!(Pin::new(&mut *stream).poll_write(context, &self.text)) {
                Ok(written) if written > 0 => self.text.advance(written),
                _ => return Poll::Ready(()),
            }
        }
        if !self.shut {
            if ready!(Pin::new(&mut *stream).poll_shutdown(context)).is_err() {
                return Poll::Ready(());
            }
            self.shut = true;
        }
        let mut scratch = [0; 8192];
        loop {
            let mut into = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

/// A stream that counts heads. If there is no room for one, it asks the client to try again later and ends.
pub(super) struct CountedStream<S> {
    stream: S,
    unread: PendingHead,
    refusal: Option<Refusal>,
}

impl<S> CountedStream<S> {
    pub(super) fn new(stream: S, unread: PendingHead) -> CountedStream<S> {
        CountedStream { stream, unread, refusal: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.refusal.is_none() {
            let before = into.filled().len();
            ready!(poll_read_some(Pin::new(&mut this.stream), context, into))?;
            if this.unread.received(&into.filled()[before..]) {
                return Poll::Ready(Ok(()));
            }
            into.set_filled(before);
            // In HTTP/2, other requests of the connection may be in flight, and this would not be a valid answer.
            this.refusal = (!this.unread.is_http2()).then(|| Refusal::new(NO_ROOM));
        }
        if let Some(refusal) = &mut this.refusal {
            ready!(refusal.poll(&mut this.stream, context));
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, "there is no room for the head of a request")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
