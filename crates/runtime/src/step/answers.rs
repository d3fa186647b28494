//! Reads the answers of functions and callbacks, within limits, and decodes them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use faasflow_core::Error;
use faasflow_core::failure::FailureKind;
use faasflow_http::{Budget, Codings, DecodeError, NoRoom, ReadBodyError, read_body_into_untimed};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

/// How answers are read.
#[derive(Debug)]
pub(crate) struct Answers {
    max_body: u64,
    budget: Budget,
    /// How long an answer waits for room. The function has already done its work, so waiting is worthwhile. It must end at
    /// some point, because those that wait hold payloads themselves, and one of them has to give way.
    patience: Duration,
}

impl Answers {
    /// Answers may have at most `max_body` bytes, also when decoded. They share the room in `budget`.
    pub(crate) fn new(max_body: u64, budget: Budget, write_timeout: Duration) -> Answers {
        Answers { max_body, budget, patience: (write_timeout / 4).min(Duration::from_secs(15)) }
    }

    /// Reads and decodes the whole answer, and removes the headers about its encoding.
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
    /// There was no room for the answer in time. The waiting step must drop its payload, because others wait for the room
    /// that it takes.
    NoRoom(NoRoom),
}

fn failure(error: ReadBodyError) -> ReadFailure {
    ReadFailure::Failed(match error {
        ReadBodyError::TooLarge { limit } => FailureKind::AnswerTooLarge(limit),
        ReadBodyError::Encoded(error @ DecodeError::TooLarge { .. }) => over_limit(error, "max_body"),
        ReadBodyError::Encoded(error @ DecodeError::Window { .. }) => over_limit(error, "max_inflight_bytes"),
        ReadBodyError::Encoded(error) => FailureKind::Undecodable(Arc::new(error.into())),
        ReadBodyError::NoRoom(full) if full.is_temporary() => return ReadFailure::NoRoom(full),
        ReadBodyError::NoRoom(full) => over_limit(full, "max_inflight_bytes"),
        error if error.is_unusable() => FailureKind::Unusable(Arc::new(error.into())),
        error => FailureKind::Interrupted(Arc::new(error.into())),
    })
}

/// An answer is over a limit.
#[derive(Debug, thiserror::Error)]
#[error("{error}; the setting is `{setting}`")]
struct OverLimit<E> {
    error: E,
    /// The setting that defines the limit.
    setting: &'static str,
}

fn over_limit(error: impl std::error::Error + Send + Sync + 'static, setting: &'static str) -> FailureKind {
    FailureKind::Undecodable(Arc::new(Error::from(OverLimit { error, setting })))
}
