//! Connections that know whether the last request sent over them has been answered.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use crate::read::poll_read_some;

/// What a connection was used for last.
#[derive(Clone, Debug)]
pub(super) struct Usage(Arc<AtomicU8>);

/// No answer has come over it yet.
const NEW: u8 = 0;
/// What happened last was that a part of an answer came.
const ANSWERED: u8 = 1;
/// A part of a request was sent after that, and nothing has come since.
const ASKED_AGAIN: u8 = 2;

impl Usage {
    /// Whether the connection had brought an answer before, and has brought nothing since the last request was sent. If it
    /// is closed then, the server most likely closed it because it was idle, and has seen nothing of that request.
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

/// Makes connections whose [`Usage`] is known. It wraps TLS, so that TLS's own messages do not count as an answer.
#[derive(Clone, Debug)]
pub(super) struct Connector<C>(pub(super) C);

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri, Future: Send + 'static>,
{
    type Response = TokioIo<Used<TokioIo<C::Response>>>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            let stream = TokioIo::new(connecting.await?);
            Ok(TokioIo::new(Used { stream, usage: Usage(Arc::new(AtomicU8::new(NEW))) }))
        })
    }
}

/// A connection whose [`Usage`] is known.
#[derive(Debug)]
pub(super) struct Used<S> {
    stream: S,
    usage: Usage,
}

impl<S: Connection> Connection for Used<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.usage.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Used<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(poll_read_some(Pin::new(&mut self.stream), context, into))?;
        if into.filled().len() > before {
            self.usage.reads();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Used<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.usage.writes();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.usage.writes();
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
