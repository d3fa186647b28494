//! Reads the answers of functions and callbacks: within limits, and without their `Content-Encoding`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use faasflow_core::Error;
use faasflow_core::failure::FailureKind;
use faasflow_http::{Budget, Codings, DecodeError, ReadBodyError, read_body_into_untimed};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

/// How answers are read.
#[derive(Debug)]
pub(crate) struct Answers {
    max_body: u64,
    budget: Budget,
    /// How long an answer waits for room. Its function has done its work, so it is worth some time; but those who wait hold
    /// payloads themselves, and one of them has to give way.
    patience: Duration,
}

impl Answers {
    /// Answers of `max_body` bytes at most, also when they are decoded, that take their room from `budget`.
    pub(crate) fn new(max_body: u64, budget: Budget, write_timeout: Duration) -> Answers {
        Answers { max_body, budget, patience: (write_timeout / 4).min(Duration::from_secs(15)) }
    }

    /// Reads an answer to its end. Its headers no longer speak of an encoding then.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or there is no room for it.
    pub(crate) async fn read<B>(&self, headers: &mut HeaderMap, body: B) -> Result<Bytes, ReadFailure>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let unknown = |error: DecodeError| ReadFailure::Failed(FailureKind::Undecodable(Arc::new(error.into())));
        let codings = Codings::from_headers(headers).map_err(unknown)?;
        let mut share = self.budget.answer_share(self.patience);
        let read = read_body_into_untimed(body, self.max_body, &mut share).await.map_err(failure)?;
        let body = share.keep(read);
        if codings.is_empty() {
            return Ok(body);
        }
        let mut share = self.budget.answer_share(self.patience).beside(body.len() as u64);
        let decoded = codings.decode(body, self.max_body, &mut share).await.map_err(|error| failure(error.into()))?;
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        Ok(share.keep(decoded))
    }
}

/// Why an answer was not read.
#[derive(Debug)]
pub(crate) enum ReadFailure {
    Failed(FailureKind),
    /// There was no room for it in time. Whoever waits for it holds a payload, and is to give that up: others wait for the
    /// room that it takes.
    NoRoom(String),
}

fn failure(error: ReadBodyError) -> ReadFailure {
    ReadFailure::Failed(match error {
        ReadBodyError::TooLarge { limit } => FailureKind::AnswerTooLarge(limit),
        ReadBodyError::Encoded(DecodeError::TooLarge { encoded, limit }) => undecodable(format!(
            "its {encoded} bytes are encoded, and decoded they are more than the {limit} of `max_body`"
        )),
        ReadBodyError::Encoded(error @ DecodeError::Window { .. }) => {
            undecodable(format!("{error}; the setting is `max_inflight_bytes`"))
        }
        ReadBodyError::Encoded(error) => FailureKind::Undecodable(Arc::new(error.into())),
        ReadBodyError::NoRoom(full) if full.is_temporary() => {
            return ReadFailure::NoRoom(format!("its answer was not read: {full}"));
        }
        ReadBodyError::NoRoom(full) => undecodable(format!("{full}; the setting is `max_inflight_bytes`")),
        error if error.is_unusable() => FailureKind::Unusable(Arc::new(error.into())),
        error => FailureKind::Interrupted(Arc::new(error.into())),
    })
}

fn undecodable(why: String) -> FailureKind {
    FailureKind::Undecodable(Arc::new(Error::msg(why)))
}
