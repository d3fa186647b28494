//! Bodies that hold a guard until they are complete.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// A body with a guard, such as a place among the requests in flight. The guard is dropped when the end of the body was read, or with
/// the body.
///
/// The body may be dropped much later than its end was read, and the client may send its next request in between.
pub(crate) struct GuardedBody<B, T> {
    body: B,
    guard: Option<T>,
}

impl<B, T> GuardedBody<B, T>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    T: Send + Unpin + 'static,
{
    pub(crate) fn body(body: B, guard: T) -> Body {
        let guard = if body.is_end_stream() { None } else { Some(guard) };
        Body::new(GuardedBody { body, guard })
    }
}

impl<B: hyper::body::Body<Data = Bytes> + Unpin, T: Unpin> hyper::body::Body for GuardedBody<B, T> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.guard = None;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn h8_the_guard_is_dropped_when_the_end_is_read() {
        let guard = Arc::new(());
        let mut known = GuardedBody::body(Full::new(Bytes::from("answer")), guard.clone());
        assert_eq!(Arc::strong_count(&guard), 2);
        known.frame().await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&guard), 1, "the length shows that this was the last part");

        let parts = ["one", "two"].map(|part| Ok::<_, std::io::Error>(Frame::data(Bytes::from(part))));
        let mut unknown = GuardedBody::body(StreamBody::new(futures_util::stream::iter(parts)), guard.clone());
        for _ in 0..2 {
            unknown.frame().await.unwrap().unwrap();
            assert_eq!(Arc::strong_count(&guard), 2);
        }
        assert!(unknown.frame().await.is_none());
        assert_eq!(Arc::strong_count(&guard), 1);

        let _empty = GuardedBody::body(Full::<Bytes>::default(), guard.clone());
        assert_eq!(Arc::strong_count(&guard), 1);
        drop(GuardedBody::body(Full::new(Bytes::from("answer")), guard.clone()));
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
