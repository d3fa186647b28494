//! Lends a caller's body to a request, and gets the rest of it back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_http::drain_up_to;
use http::HeaderMap;
use http::header::EXPECT;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot::{self, error::TryRecvError};

/// How much of an unwanted body is read, in bytes.
const HEARD: u64 = 64 << 20;
/// How long to wait for the rest of the body and to read it.
const WITHIN: Duration = Duration::from_secs(30);

/// Lends a body to the request that sends it on. A function may answer and close its connection before it has read everything. The
/// connection to the caller would then be closed while the caller is still sending, so it would be reset and the answer lost.
pub(crate) fn lend(headers: &HeaderMap, body: Body) -> (Body, LentBody) {
    use hyper::body::Body as _;

    let (back, rest) = oneshot::channel();
    let waits = headers.contains_key(EXPECT);
    if body.is_end_stream() {
        return (body, LentBody { rest });
    }
    (Body::new(OnLoan { body, waits, back: Some(back) }), LentBody { rest })
}

/// Receives the rest of a lent body.
#[derive(Debug)]
pub(crate) struct LentBody {
    rest: oneshot::Receiver<Body>,
}

impl LentBody {
    /// Whether the body was read to its end.
    pub(crate) fn is_over(&mut self) -> bool {
        match self.rest.try_recv() {
            Err(TryRecvError::Closed) => true,
            Err(TryRecvError::Empty) => false,
            Ok(rest) => {
                let (back, again) = oneshot::channel();
                let _ = back.send(rest);
                self.rest = again;
                false
            }
        }
    }

    /// Reads and drops the rest of the body, within limits.
    pub(crate) async fn drain(self) {
        let draining = async {
            if let Ok(rest) = self.rest.await {
                drain_up_to(&HeaderMap::new(), rest, HEARD).await;
            }
        };
        let _ = tokio::time::timeout(WITHIN, draining).await;
    }
}

struct OnLoan {
    body: Body,
    /// Whether the caller waits for an interim answer before it sends the body (`Expect`).
    waits: bool,
    /// `None` after the end was read.
    back: Option<oneshot::Sender<Body>>,
}

impl hyper::body::Body for OnLoan {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.waits = false;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.back = None;
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

impl Drop for OnLoan {
    fn drop(&mut self) {
        if let Some(back) = self.back.take().filter(|_| !self.waits) {
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}
