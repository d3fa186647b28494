//! Admits requests. If there is no room for a request, it is refused before its body is read.

use std::time::Duration;

use axum::body::HttpBody;
use axum::response::Response;
use bytes::Bytes;
use faasflow_core::{RequestId, code, headers};
use faasflow_http::{Admission, Codings, DecodeError, ReadBodyError, drain_up_to, read_body_into, refuse_and_drain};
use http::header::{EXPECT, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{StatusCode, request};

use super::request::{Refusal, delivery};
use super::respond::respond;
use crate::conclusion::Conclusion;
use crate::config::show;
use crate::deadline::Deadline;
use crate::instance::Instance;
use crate::observers::{Event, Observers};

impl Instance {
    /// Admits a request and reads its body.
    pub(crate) async fn admit<B>(&self, body: &mut B) -> Result<(Admission, Bytes), ReadBodyError>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
    {
        let place = self.budget.admit()?;
        let mut share = self.budget.request_share();
        let body = read_body_into(body, self.config.max_body, self.config.body_timeout(), &mut share).await?;
        Ok((place, share.keep(body)))
    }

    /// Refuses a request that was not admitted, and drains its body.
    pub(crate) async fn turn_away<B>(
        &self,
        parts: &request::Parts,
        body: B,
        error: ReadBodyError,
        id: &RequestId,
    ) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Send> + Send + 'static,
    {
        let (status, setting) = match &error {
            ReadBodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "; the setting is `max_body`"),
            ReadBodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "; the setting is `read_timeout`"),
            ReadBodyError::NoRoom(full) if full.is_temporary() => {
                (StatusCode::SERVICE_UNAVAILABLE, "; try again later")
            }
            ReadBodyError::NoRoom(_) => (StatusCode::PAYLOAD_TOO_LARGE, "; the setting is `max_inflight_bytes`"),
            _ => (StatusCode::BAD_REQUEST, ""),
        };
        let reason = format!("{error}{setting}");
        let observers = Observers::for_request(id.clone(), &self.metrics);
        let delivery = delivery(&parts.headers);
        let code = error.code();
        observers.emit(&Event::Refused { status, code, detail: &reason });
        observers.emit(&Event::Closed { delivery, status });
        let mut response = respond(Conclusion::Refused(status, code, reason), id, delivery, None);
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let mut headers = parts.headers.clone();
                if body.size_hint().exact().is_none() {
                    // The body has no declared length, so part of it was read, and the client is not waiting for permission
                    // to send it.
                    headers.remove(EXPECT);
                }
                refuse_and_drain(response, headers, body)
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                drain_up_to(&parts.headers, body, self.config.max_body).await;
                ask_to_retry(response.headers_mut());
                response
            }
            _ => response,
        }
    }

    /// Decodes the body of a fresh request, so that functions get it without a `Content-Encoding`. Decoding must finish
    /// before the steps are cut off, because no time would be left for them. If it takes longer, it would do so again, so
    /// the caller gets a 4xx status that no queue retries.
    pub(crate) async fn decoded(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        deadline: &Deadline,
    ) -> Result<Bytes, Refusal> {
        let refuse = |error: DecodeError| {
            let status = match &error {
                DecodeError::Unknown(_) | DecodeError::TooMany => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                DecodeError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                DecodeError::NoRoom(full) if full.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
                DecodeError::NoRoom(_) | DecodeError::Window { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            let setting = match &error {
                DecodeError::TooLarge { .. } => "; the setting is `max_body`",
                DecodeError::NoRoom(full) if full.is_temporary() => "; try again later",
                DecodeError::NoRoom(_) | DecodeError::Window { .. } => "; the setting is `max_inflight_bytes`",
                _ => "",
            };
            // The caller may see its own header again, but other people read the log.
            let detail = match &error {
                DecodeError::Unknown(_) => Some("its `Content-Encoding` is not supported".to_owned()),
                _ => None,
            };
            Refusal {
                detail,
                ..Refusal::new(status, error.code(), format!("the body cannot be used: {error}{setting}"))
            }
        };
        let codings = Codings::from_headers(headers).map_err(refuse)?;
        if codings.is_empty() {
            return Ok(body);
        }
        let mut share = self.budget.request_share().beside(body.len() as u64);
        let decoding = codings.decode(body, self.config.max_body, &mut share);
        match tokio::time::timeout_at(deadline.steps(), decoding).await {
            Ok(decoded) => Ok(share.keep(decoded.map_err(refuse)?)),
            Err(_) => Err(decoding_too_slow(deadline.allowed())),
        }
    }
}

/// Refuses a body that could not be decoded in time.
pub(crate) fn decoding_too_slow(allowed: Duration) -> Refusal {
    let reason = format!("the body could not be decoded within {}; the setting is `write_timeout`", show(allowed));
    Refusal::new(StatusCode::REQUEST_TIMEOUT, code::DECODING_TOO_SLOW, reason)
}

/// Says that nothing was executed, and when to retry. The time is random, so that clients do not all retry at once.
pub(crate) fn ask_to_retry(answer: &mut HeaderMap) {
    answer.insert(RETRY_AFTER, HeaderValue::from(rand::random_range(1..=5)));
    answer.insert(headers::BUSY, HeaderValue::from_static("true"));
}
