//! Adds bodies to the answers that hyper sends by itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use faasflow_core::code::{self, Code};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::heads::PendingHead;

/// How long a refused client may continue to send before the connection is closed. If its data were left unread, the
/// connection would be reset, and the client would see the reset instead of the answer.
const LINGER: Duration = Duration::from_secs(2);

/// A stream that adds a body with the reason to hyper's own answers, which hyper sends if it cannot read a head.
///
/// Over HTTP/1, hyper reads the next head only when the answer to the last request has been written and flushed. So what is
/// written while the application has a request, and until the flush after its answer, is the application's own.
pub(super) struct Explain<S> {
    stream: S,
    /// Whether what is written belongs to the application: set when a request arrives, and cleared here.
    answering: Arc<AtomicBool>,
    unread: PendingHead,
    limits: Limits,
    /// What is written instead, and the number of bytes that it replaces.
    instead: Option<(Bytes, usize)>,
    explained: bool,
    linger: Option<Pin<Box<Sleep>>>,
}

/// The limits beyond which hyper refuses a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a head.
    pub(super) bytes: usize,
    /// Headers in it.
    pub(super) headers: usize,
}

impl Limits {
    fn reason(self, status: &[u8]) -> Option<(&'static str, Code, String)> {
        match status {
            b"400" => Some((
                "Bad Request",
                code::BAD_HEAD,
                "the head of the request cannot be read: its URL has a character that must be escaped, such as `<`, \
                 `>` or `\"`, a header is malformed, or its headers contradict each other about the length of the body"
                    .to_owned(),
            )),
            b"414" => Some(("URI Too Long", code::HEAD_TOO_LARGE, "the URL is longer than 65534 bytes".to_owned())),
            b"431" => Some((
                "Request Header Fields Too Large",
                code::HEAD_TOO_LARGE,
                format!(
                    "the head of the request has more than {} bytes, or more than {} headers",
                    self.bytes, self.headers
                ),
            )),
            _ => None,
        }
    }
}

impl<S> Explain<S> {
    pub(super) fn new(stream: S, answering: Arc<AtomicBool>, unread: PendingHead, limits: Limits) -> Explain<S> {
        Explain { stream, answering, unread, limits, instead: None, explained: false, linger: None }
    }

    /// What to write instead of these bytes, if they are one of hyper's own answers.
    fn explanation(&self, bytes: &[u8]) -> Option<Bytes> {
        if self.explained || !bytes.ends_with(b"\r\n\r\n") || self.answering.load(Ordering::Relaxed) {
            return None;
        }
        let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        let (phrase, code, text) = self.limits.reason(status)?;
        let status = String::from_utf8_lossy(status);
        Some(Bytes::from(format!(
            "HTTP/1.1 {status} {phrase}\r\nx-faasflow-error-code: {code}\r\ncontent-type: text/plain; charset=utf-8\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{text}\n",
            text.len() + 1
        )))
    }
}

impl<S: AsyncWrite + Unpin> Explain<S> {
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        let (left, stands_for) = self.instead.as_mut()?;
        while left.has_remaining() {
            match Pin::new(&mut self.stream).poll_write(context, left) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => left.advance(written),
                other => return Some(other),
            }
        }
        let stands_for = *stands_for;
        self.instead = None;
        self.explained = true;
        Some(Poll::Ready(Ok(stands_for)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Explain<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Explain<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none()
            && let Some(explanation) = self.explanation(bytes)
        {
            self.instead = Some((explanation, bytes.len()));
        }
        match self.poll_instead(context) {
            Some(polled) => polled,
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [only] => self.poll_write(context, only),
            parts => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // On an HTTP/2 connection, hyper never answers in HTTP/1, so the flag stays set.
        if self.answering.load(Ordering::Relaxed) && self.unread.in_flight() == 0 && !self.unread.is_http2() {
            self.answering.store(false, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if !self.explained {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 8192];
        loop {
            let linger = self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
            if linger.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut into = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
