//! Bodies that keep something until they are through.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// A body that counts as a request under way, wherever what it holds counts, until its end is read or it is dropped.
///
/// Not until it is dropped in any case: whoever has read the end of an answer may send the next request before that.
pub(crate) struct Held<B, T> {
    body: B,
    held: Option<T>,
}

impl<B, T> Held<B, T>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    T: Send + Unpin + 'static,
{
    pub(crate) fn body(body: B, held: T) -> Body {
        let held = if body.is_end_stream() { None } else { Some(held) };
        Body::new(Held { body, held })
    }
}

impl<B: hyper::body::Body<Data = Bytes> + Unpin, T: Unpin> hyper::body::Body for Held<B, T> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.held = None;
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
    async fn h8_what_is_held_is_free_when_the_end_is_read() {
        let held = Arc::new(());
        let mut known = Held::body(Full::new(Bytes::from("answer")), held.clone());
        assert_eq!(Arc::strong_count(&held), 2);
        known.frame().await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&held), 1, "the length says that this was the last part");

        let parts = ["one", "two"].map(|part| Ok::<_, std::io::Error>(Frame::data(Bytes::from(part))));
        let mut unknown = Held::body(StreamBody::new(futures_util::stream::iter(parts)), held.clone());
        for _ in 0..2 {
            unknown.frame().await.unwrap().unwrap();
            assert_eq!(Arc::strong_count(&held), 2);
        }
        assert!(unknown.frame().await.is_none());
        assert_eq!(Arc::strong_count(&held), 1);

        let _empty = Held::body(Full::<Bytes>::default(), held.clone());
        assert_eq!(Arc::strong_count(&held), 1);
        drop(Held::body(Full::new(Bytes::from("answer")), held.clone()));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
