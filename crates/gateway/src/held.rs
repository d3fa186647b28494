//! Bodies that keep something until they are through.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A body that counts as a request under way, wherever its tokens count, until it is sent or dropped.
pub(crate) struct Held<B> {
    body: B,
    _tokens: Tokens,
}

/// Of the gateway, where it counts the request at all, and of the function.
type Tokens = [Option<TaskTrackerToken>; 2];

impl<B> Held<B>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    pub(crate) fn body(body: B, tokens: Tokens) -> Body {
        Body::new(Held { body, _tokens: tokens })
    }
}

impl<B: hyper::body::Body<Data = Bytes> + Unpin> hyper::body::Body for Held<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
