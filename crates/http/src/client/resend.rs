//! Requests that can be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Request, request};
use http_body::{Body as _, Frame, SizeHint};

const IDEMPOTENCY_KEYS: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];
/// The most bytes of a body that are kept for sending it again.
const MAX_COPY: usize = 64 << 10;

/// Whether it is safe to send a request twice: its method is idempotent (RFC 9110, 9.2.2), or it has an `Idempotency-Key` by
/// which the server can recognise a repetition.
pub(super) fn is_repeatable<B>(request: &Request<B>) -> bool {
    request.method().is_idempotent() || IDEMPOTENCY_KEYS.iter().any(|key| request.headers().contains_key(key))
}

/// The parts of a request that can be sent again.
#[derive(Debug)]
pub(super) struct Resend {
    head: request::Parts,
    /// `None` if the request has no body.
    body: Option<Arc<Mutex<BodyCopy>>>,
}

impl Resend {
    /// Prepares a request to be sent again, if that is safe.
    pub(super) fn prepare(request: &mut Request<Body>) -> Option<Resend> {
        if !is_repeatable(request) {
            return None;
        }
        let body = (!request.body().is_end_stream()).then(|| {
            let length = request.body().size_hint().exact();
            let rest = std::mem::take(request.body_mut());
            let copy = BodyCopy { rest, length, parts: Vec::new(), size: 0, given_up: false };
            let copy = Arc::new(Mutex::new(copy));
            *request.body_mut() = Body::new(RepeatedBody { copy: copy.clone(), left: length, next: 0 });
            copy
        });
        let mut head = Request::new(()).into_parts().0;
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.version = request.version();
        head.headers = request.headers().clone();
        head.extensions = request.extensions().clone();
        Some(Resend { head, body })
    }

    /// The request, to be sent again. `None` if too much of its body was sent to be kept.
    pub(super) fn request(&self) -> Option<Request<Body>> {
        let body = match &self.body {
            None => Body::empty(),
            Some(copy) => {
                let state = lock(copy);
                if state.given_up {
                    return None;
                }
                Body::new(RepeatedBody { copy: copy.clone(), left: state.length, next: 0 })
            }
        };
        Some(Request::from_parts(self.head.clone(), body))
    }
}

/// A body, and the parts of it that were read.
#[derive(Debug)]
struct BodyCopy {
    rest: Body,
    /// The length of the whole body, if it is known.
    length: Option<u64>,
    parts: Vec<Bytes>,
    /// The size of all parts in bytes.
    size: usize,
    /// Whether something was read that is no longer in `parts`.
    given_up: bool,
}

fn lock(copy: &Mutex<BodyCopy>) -> MutexGuard<'_, BodyCopy> {
    copy.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body from its beginning: first the parts that were read before, then the rest.
struct RepeatedBody {
    copy: Arc<Mutex<BodyCopy>>,
    /// How many bytes are left, if that is known.
    left: Option<u64>,
    /// The index of the next part.
    next: usize,
}

impl http_body::Body for RepeatedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let mut copy = lock(&this.copy);
        if let Some(part) = copy.parts.get(this.next) {
            this.next += 1;
            let part = part.clone();
            this.left = without(this.left, &part);
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let Some(frame) = ready!(Pin::new(&mut copy.rest).poll_frame(context)?) else { return Poll::Ready(None) };
        match frame.data_ref() {
            Some(data) => {
                this.left = without(this.left, data);
                copy.size = copy.size.saturating_add(data.len());
                if copy.given_up || copy.size > MAX_COPY {
                    copy.given_up = true;
                    copy.parts = Vec::new();
                } else {
                    copy.parts.push(data.clone());
                    this.next += 1;
                }
            }
            // Trailers are too rare to be worth keeping. A body with trailers is not sent again.
            None => copy.given_up = true,
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let copy = lock(&self.copy);
        self.next >= copy.parts.len() && copy.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

fn without(left: Option<u64>, data: &Bytes) -> Option<u64> {
    left.map(|left| left.saturating_sub(data.len() as u64))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http_body_util::BodyExt as _;

    use super::*;

    fn request(method: Method, key: Option<&str>, body: impl Into<Body>) -> Request<Body> {
        let mut request = Request::builder().method(method).uri("http://f/");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.body(body.into()).unwrap()
    }

    #[test]
    fn r5_only_safe_requests_can_be_sent_again() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE] {
            assert!(Resend::prepare(&mut request(method, None, "")).is_some());
        }
        for method in [Method::POST, Method::PATCH] {
            assert!(Resend::prepare(&mut request(method.clone(), None, "")).is_none(), "{method}");
            assert!(Resend::prepare(&mut request(method.clone(), Some("k"), "")).is_some(), "{method}");
        }
    }

    #[tokio::test]
    async fn r5_a_repeated_body_is_complete_wherever_the_first_one_stopped() {
        for read in 0..=4 {
            let parts = ["ab", "", "cde", "f"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
            let mut request = request(Method::POST, Some("k"), Body::from_stream(futures_util::stream::iter(parts)));
            let resend = Resend::prepare(&mut request).unwrap();
            let mut first = request.into_body();
            for _ in 0..read {
                first.frame().await.unwrap().unwrap();
            }
            for _ in 0..2 {
                let again = resend.request().unwrap();
                assert!(again.method() == Method::POST && again.headers()["idempotency-key"] == "k");
                assert_eq!(again.into_body().collect().await.unwrap().to_bytes(), "abcdef");
            }
        }
    }

    #[tokio::test]
    async fn r5_a_repeated_body_keeps_its_length_unless_it_is_too_large() {
        let mut small = request(Method::POST, Some("k"), vec![7; MAX_COPY]);
        let resend = Resend::prepare(&mut small).unwrap();
        for body in [small.into_body(), resend.request().unwrap().into_body(), resend.request().unwrap().into_body()] {
            assert_eq!(body.size_hint().exact(), Some(MAX_COPY as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), MAX_COPY);
        }
        let parts = futures_util::stream::iter((0..70).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; 1000]))));
        let mut large = request(Method::POST, Some("k"), Body::from_stream(parts));
        let resend = Resend::prepare(&mut large).unwrap();
        assert!(resend.request().is_some(), "nothing was sent yet");
        assert_eq!(large.into_body().collect().await.unwrap().to_bytes().len(), 70_000);
        assert!(resend.request().is_none());
    }
}
