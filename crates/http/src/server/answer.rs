//! Answers on their way to the client.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::heads::InFlight;

/// The most bytes of an answer that are passed to HTTP/2 at once. It keeps them until the client accepts them.
const PART: usize = 16 * 1024;
/// How many answers of a connection may be given up before the connection is.
const GIVEN_UP: usize = 16;

/// The body of an answer. Its request is in flight until the body has been read completely.
pub(super) enum Answer {
    /// Over HTTP/1. If the client reads nothing, writing blocks.
    Http1(Body, Option<InFlight>),
    Http2(Arc<Mutex<Http2Answer>>),
}

/// An answer over HTTP/2. If the client allows nothing to be sent, hyper does not ask for data any more.
pub(super) struct Http2Answer {
    /// `None` if the answer was given up.
    body: Option<Body>,
    _in_flight: InFlight,
    /// Data that is available and has not been asked for.
    rest: Bytes,
    /// When data was last asked for, or when the answer began.
    since: Instant,
    /// Whether the answer waits for the client rather than for the application.
    waits: bool,
}

/// The unfinished answers of one HTTP/2 connection.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Vec<Weak<Mutex<Http2Answer>>>>>);

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// Adds an answer.
    pub(super) fn add(&self, body: Body, in_flight: InFlight) -> Answer {
        let taken = Http2Answer {
            body: Some(body),
            _in_flight: in_flight,
            rest: Bytes::new(),
            since: Instant::now(),
            waits: true,
        };
        let taken = Arc::new(Mutex::new(taken));
        let mut answers = lock(&self.0);
        if answers.len() == answers.capacity() {
            answers.retain(|answer| answer.strong_count() > 0);
        }
        answers.push(Arc::downgrade(&taken));
        Answer::Http2(taken)
    }

    /// Gives up the answers of which the client read nothing for `limit`. Returns whether the connection should be
    /// given up as well: all of its answers were given up, or too many, as each still holds a little memory.
    /// `in_flight` is the number of unfinished requests.
    pub(super) fn give_up(&self, limit: Duration, in_flight: usize) -> bool {
        let mut given_up = 0;
        lock(&self.0).retain(|answer| {
            let Some(answer) = answer.upgrade() else { return false };
            let mut answer = lock(&answer);
            if answer.body.is_some() && answer.waits && answer.since.elapsed() >= limit {
                answer.body = None;
                answer.rest = Bytes::new();
            }
            given_up += usize::from(answer.body.is_none());
            true
        });
        given_up > GIVEN_UP || (given_up > 0 && given_up >= in_flight)
    }
}

impl Http2Answer {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "the client reads nothing of the answer");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        };
        self.since = Instant::now();
        if self.rest.is_empty() {
            self.waits = false;
            let polled = ready!(Pin::new(body).poll_frame(context));
            self.waits = true;
            match polled {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let part = match self.rest.len() {
            ..=PART => std::mem::take(&mut self.rest),
            // A slice would keep the whole buffer alive.
            _ => Bytes::copy_from_slice(&self.rest.split_to(PART)),
        };
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_over(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Answer::Http1(body, in_flight) => {
                let polled = Pin::new(&mut *body).poll_frame(context);
                if matches!(polled, Poll::Ready(None)) {
                    *in_flight = None;
                }
                polled
            }
            Answer::Http2(taken) => lock(taken).poll_part(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Http1(body, _) => body.is_end_stream(),
            Answer::Http2(taken) => lock(taken).is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Http1(body, _) => body.size_hint(),
            Answer::Http2(taken) => {
                let taken = lock(taken);
                let mut hint = taken.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default();
                let rest = taken.rest.len() as u64;
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper + rest);
                }
                hint.set_lower(hint.lower() + rest);
                hint
            }
        }
    }
}
