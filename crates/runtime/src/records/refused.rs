//! Refusals of requests to the API.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use faasflow_admin as api;
use faasflow_core::code::{self, Code};
use faasflow_core::state::Status;
use faasflow_core::{RequestId, headers};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};

use super::answer;
use super::not_done::NotDone;
use super::progress::NotFound;

/// Why a request to the API is refused.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: Code,
    pub(super) reason: String,
    pub(super) id: Option<String>,
    /// The status of the request, if that is why.
    pub(super) of: Option<Status>,
    /// What is not in the answer, but in the log.
    pub(super) detail: Option<String>,
}

pub(super) type Answered<T> = Result<T, Box<Refused>>;

pub(super) fn refused<T>(status: StatusCode, code: Code, reason: impl Into<String>) -> Answered<T> {
    Err(Box::new(Refused { status, code, reason: reason.into(), id: None, of: None, detail: None }))
}

pub(super) fn bad<T>(reason: impl Into<String>) -> Answered<T> {
    refused(StatusCode::BAD_REQUEST, code::BAD_API_REQUEST, reason)
}

impl From<NotDone> for Box<Refused> {
    fn from(error: NotDone) -> Box<Refused> {
        let (status, code, reason) = error.answer();
        let of = match &error {
            NotDone::NotPossible(of, _) => Some(*of),
            _ => None,
        };
        Box::new(Refused { status, code, reason, id: None, of, detail: error.detail() })
    }
}

impl From<NotFound> for Box<Refused> {
    fn from(error: NotFound) -> Box<Refused> {
        NotDone::from(error).into()
    }
}

impl Refused {
    pub(super) fn respond(self) -> Response {
        if let Some(detail) = &self.detail {
            tracing::warn!("A request to the API is answered with {}: {}: {detail}", self.status.as_u16(), self.reason);
        }
        let mut told = api::RequestProblem::default();
        (told.request_id, told.reason, told.code) = (self.id, self.reason, Some(self.code.to_string()));
        told.status = self.of.map(answer::status_of);
        let mut response = (self.status, Json(told)).into_response();
        response.headers_mut().insert(headers::ERROR_CODE, HeaderValue::from_static(self.code.as_str()));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

pub(super) fn answered(answer: Answered<Response>) -> Response {
    answer.unwrap_or_else(|refused| refused.respond())
}

/// The same for a request about one request, unless the refusal names another one.
pub(super) fn answered_about(id: &str, answer: Answered<Response>) -> Response {
    answer.unwrap_or_else(|refused| {
        let id = refused.id.clone().or_else(|| RequestId::parse(id).map(|id| id.to_string()));
        Refused { id, ..*refused }.respond()
    })
}
