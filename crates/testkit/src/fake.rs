//! Fake functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::recorded::RecordedCall;

/// What a fake function does with a call.
#[derive(Clone)]
pub struct Fake(Arc<dyn Fn(&RecordedCall) -> Action + Send + Sync>);

/// What a fake does with one call.
pub(crate) enum Action {
    Reply(Reply),
    After(Duration, Reply),
    Hang,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// An answer with status 200 and this body.
    pub fn new(body: impl Into<Bytes>) -> Reply {
        Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() }
    }

    /// The same with another status.
    ///
    /// # Panics
    ///
    /// If the number is not a status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Reply {
        self.status = StatusCode::from_u16(status).expect("a status is a number from 100 to 999");
        self
    }

    /// The same with another header.
    ///
    /// # Panics
    ///
    /// If the name or the value is not valid.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        let name: HeaderName = name.parse().expect("the name of the header should be valid");
        self.headers.append(name, HeaderValue::from_str(value).expect("the value of the header should be valid"));
        self
    }
}

impl From<String> for Reply {
    fn from(body: String) -> Reply {
        Reply::new(body)
    }
}

impl From<&'static str> for Reply {
    fn from(body: &'static str) -> Reply {
        Reply::new(body)
    }
}

impl From<Bytes> for Reply {
    fn from(body: Bytes) -> Reply {
        Reply::new(body)
    }
}

impl From<Vec<u8>> for Reply {
    fn from(body: Vec<u8>) -> Reply {
        Reply::new(body)
    }
}

impl Fake {
    /// Answers each call with what a closure returns for it.
    pub fn with<R: Into<Reply>>(answer: impl Fn(&RecordedCall) -> R + Send + Sync + 'static) -> Fake {
        Fake(Arc::new(move |call| Action::Reply(answer(call).into())))
    }

    /// Gives the same answer to every call.
    pub fn answer(reply: impl Into<Reply>) -> Fake {
        let reply = reply.into();
        Fake::with(move |_| reply.clone())
    }

    /// Answers with JSON.
    ///
    /// # Panics
    ///
    /// If the value cannot be serialized as JSON.
    pub fn json(value: &impl Serialize) -> Fake {
        let body = serde_json::to_vec(value).expect("the value should be serializable as JSON");
        Fake::answer(Reply::new(body).header("content-type", "application/json"))
    }

    /// Answers with the body and content type of the call.
    #[must_use]
    pub fn echo() -> Fake {
        Fake::with(|call| {
            let mut reply = Reply::new(call.body.clone());
            if let Some(content_type) = call.headers.get(http::header::CONTENT_TYPE) {
                reply.headers.insert(http::header::CONTENT_TYPE, content_type.clone());
            }
            reply
        })
    }

    /// Answers every call with this status and a short text.
    #[must_use]
    pub fn failing(status: u16) -> Fake {
        Fake::answer(Reply::new("the fake function fails").status(status))
    }

    /// Answers the first `times` calls with this status, and the others as `self` does.
    #[must_use]
    pub fn after_failing(self, times: usize, status: u16) -> Fake {
        let failed = AtomicUsize::new(0);
        let failing = Fake::failing(status);
        Fake(Arc::new(
            move |call| {
                if failed.fetch_add(1, Ordering::SeqCst) < times { (failing.0)(call) } else { (self.0)(call) }
            },
        ))
    }

    /// Answers as `self` does, but only after `delay`.
    #[must_use]
    pub fn slow(self, delay: Duration) -> Fake {
        Fake(Arc::new(move |call| match (self.0)(call) {
            Action::Reply(reply) => Action::After(delay, reply),
            other => other,
        }))
    }

    /// Never answers.
    #[must_use]
    pub fn hanging() -> Fake {
        Fake(Arc::new(|_| Action::Hang))
    }

    pub(crate) fn call(&self, call: &RecordedCall) -> Action {
        (self.0)(call)
    }
}
