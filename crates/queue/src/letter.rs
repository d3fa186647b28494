//! Dead letters: calls that were given up.

use bytes::Bytes;
use faasflow_core::{RequestId, envelope, headers, without_credentials};
use faasflow_http::now_ms;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::call::{Call, Target, bare_name};
use crate::deliver::Answer;

/// How much of the last answer is kept, in bytes.
const KEPT_ANSWER: usize = 64 * 1024;

/// A call that was given up, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The call.
    pub call: Call,
    /// Why it was given up.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub died_ms: u64,
    /// The last answer, if there was one, with the first 64 KiB of its body.
    pub answer: Option<(StatusCode, HeaderMap, Bytes)>,
}

impl Letter {
    pub(crate) fn new(call: Call, reason: String, attempts: u32, answer: Option<Answer>) -> Letter {
        let answer = answer.map(|answer| {
            let length = answer.body.len().min(KEPT_ANSWER);
            (answer.status, answer.headers, answer.body.slice(..length))
        });
        Letter { call, reason, attempts, died_ms: now_ms(), answer }
    }
}

/// A call or callback that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterSummary {
    /// Its number, which selects it for redrive and discard.
    pub id: u64,
    /// The id of the invocation.
    pub call_id: String,
    /// The function that it was sent to; for a callback, the function whose answer it carries.
    pub function: String,
    /// Whether it is a callback.
    pub callback: bool,
    /// The id of the request that it belongs to, if the function is a flow: the one that its headers name, and otherwise the call
    /// id. Flows choose the ids of their requests in this way. `None` if neither is a valid request id.
    pub request: Option<String>,
    /// Why it was given up.
    pub reason: String,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub died_ms: u64,
    /// The size of its body.
    pub bytes: usize,
}

/// A dead letter with its body and the last answer that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The summary.
    pub summary: DeadLetterSummary,
    /// Where it was sent: path and query of the function, or the callback URL.
    pub target: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body. Bytes that are not UTF-8 are replaced.
    pub body: String,
    /// The headers of the last answer.
    pub answer_headers: Vec<(String, String)>,
    /// The body of the last answer, up to 64 KiB. Bytes that are not UTF-8 are replaced.
    pub answer_body: Option<String>,
}

/// Selects dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Selects these numbers; all if absent.
    pub ids: Option<Vec<u64>>,
    /// Selects the dead letters of this function; of every function if absent.
    pub function: Option<String>,
}

/// Says which dead letters are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Only those of this function, which may be named with or without its namespace.
    pub function: Option<String>,
    /// Only those with this [`request`](DeadLetterSummary::request).
    pub request: Option<String>,
}

impl LetterFilter {
    /// Whether a dead letter for this function and request is listed.
    pub(crate) fn includes(&self, function: &str, request: Option<&str>) -> bool {
        self.function.as_ref().is_none_or(|wanted| bare_name(wanted) == bare_name(function))
            && (self.request.is_none() || self.request.as_deref() == request)
    }
}

/// The [`request`](DeadLetterSummary::request) of a call.
pub(crate) fn request(call: &Call) -> Option<RequestId> {
    let named = call.headers.get(headers::REQUEST_ID).and_then(|id| id.to_str().ok()).and_then(RequestId::parse);
    named.or_else(|| RequestId::parse(&call.call_id))
}

pub(crate) fn summary(id: u64, letter: &Letter) -> DeadLetterSummary {
    DeadLetterSummary {
        id,
        call_id: letter.call.call_id.clone(),
        function: letter.call.function().to_owned(),
        callback: letter.call.is_callback(),
        request: request(&letter.call).map(|id| id.to_string()),
        reason: letter.reason.clone(),
        status: letter.answer.as_ref().map(|(status, ..)| status.as_u16()),
        attempts: letter.attempts,
        accepted_ms: letter.call.accepted_ms,
        died_ms: letter.died_ms,
        bytes: letter.call.body.len(),
    }
}

pub(crate) fn whole(id: u64, letter: &Letter) -> DeadLetter {
    let texts = |headers: &HeaderMap| {
        let text = |name: &HeaderName, value: &HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes());
            // They may contain credentials.
            match name.as_str().ends_with("callback-url") {
                // The URL may have no scheme.
                true if !text.contains("://") => without_credentials(&format!("://{text}")).split_off("://".len()),
                true => without_credentials(&text),
                false => text.into_owned(),
            }
        };
        headers.iter().map(|(name, value)| (name.to_string(), text(name, value))).collect::<Vec<_>>()
    };
    let target = match &letter.call.target {
        Target::Callback { url, .. } => without_credentials(&url.to_string()),
        Target::Function { path, query, .. } => match query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        },
    };
    let answer = letter.answer.as_ref();
    let body = String::from_utf8_lossy(&letter.call.body);
    // An envelope contains the URL that gets the report about the end of the request.
    let body = if is_envelope(&letter.call.headers) { without_credentials(&body) } else { body.into_owned() };
    DeadLetter {
        summary: summary(id, letter),
        target,
        headers: texts(&letter.call.headers),
        body,
        answer_headers: answer.map(|(_, headers, _)| texts(headers)).unwrap_or_default(),
        answer_body: answer.map(|(.., body)| String::from_utf8_lossy(body).into_owned()),
    }
}

fn is_envelope(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|of| of.as_bytes().starts_with(envelope::CONTENT_TYPE.as_bytes()))
}
