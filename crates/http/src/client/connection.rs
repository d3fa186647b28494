//! Connections that know whether their last request has been answered.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tower_service::Service;

use crate::read::poll_read_some;

/// What last happened on a connection.
#[derive(Clone, Debug)]
pub(super) struct Usage(Arc<AtomicU8>);

/// No part of an answer has arrived yet.
const NEW: u8 = 0;
/// A part of an answer has arrived, and nothing was sent since.
const ANSWERED: u8 = 1;
/// After an answer, a part of a request was sent, and nothing has arrived since.
const ASKED_AGAIN: u8 = 2;

impl Usage {
    /// Whether the connection has delivered an answer before, but nothing since the last request was sent. If it is
    /// closed in this state, the server most likely closed it because it was idle, and has seen nothing of that
    /// request.
    pub(super) fn is_asked_again(&self) -> bool {
        self.0.load(Ordering::Acquire) == ASKED_AGAIN
    }

    fn reads(&self) {
        self.0.store(ANSWERED, Ordering::Release);
    }

    fn writes(&self) {
        let _ = self.0.compare_exchange(ANSWERED, ASKED_AGAIN, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Makes connections that track their [`Usage`]. It wraps TLS, so that TLS's own messages do not count as answers.
#[derive(Clone, Debug)]
pub(super) struct Connector<C>(pub(super) C);

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri, Future: Send + 'static>,
{
    type Response = TokioIo<TrackedStream<TokioIo<C::Response>>>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            let stream = TokioIo::new(connecting.await?);
            Ok(TokioIo::new(TrackedStream::new(stream)))
        })
    }
}

/// How long reading an answer may take after a write has failed.
const READ_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A connection that tracks its [`Usage`].
///
/// A peer may answer and close the connection before it has read the whole request. A write then fails, and hyper would
/// give up although the answer is there. The failure is therefore held back until the received data has been read.
#[derive(Debug)]
pub(super) struct TrackedStream<S> {
    stream: S,
    usage: Usage,
    broken: Option<WriteFailure>,
}

/// A failed write, which is reported when the time is up or the peer has sent everything.
#[derive(Debug)]
struct WriteFailure {
    kind: io::ErrorKind,
    ended: bool,
    until: Pin<Box<Sleep>>,
}

impl<S> TrackedStream<S> {
    fn new(stream: S) -> TrackedStream<S> {
        TrackedStream { stream, usage: Usage(Arc::new(AtomicU8::new(NEW))), broken: None }
    }

    /// The result of a failed write, once it may be reported.
    fn poll_broken(&mut self, context: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        let broken = self.broken.as_mut()?;
        if !broken.ended && broken.until.as_mut().poll(context).is_pending() {
            return Some(Poll::Pending);
        }
        Some(Poll::Ready(Err(broken.kind.into())))
    }

    fn written(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if is_closed(&error) => {
                let until = Box::pin(tokio::time::sleep(READ_AFTER_FAILURE));
                self.broken = Some(WriteFailure { kind: error.kind(), ended: false, until });
                // hyper looked for an answer before it wrote. Make it look again.
                context.waker().wake_by_ref();
                self.poll_broken(context).unwrap_or(Poll::Pending)
            }
            written => written,
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

impl<S: Connection> Connection for TrackedStream<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.usage.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(poll_read_some(Pin::new(&mut self.stream), context, into));
        if into.filled().len() > before {
            self.usage.reads();
        } else if let Some(broken) = &mut self.broken {
            broken.ended = true;
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(broken) = self.poll_broken(context) {
            return broken;
        }
        self.usage.writes();
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(broken) = self.poll_broken(context) {
            return broken;
        }
        self.usage.writes();
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, written)
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
