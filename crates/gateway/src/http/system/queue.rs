//! Lists the queue, and handles dead letters.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::{self as admin, Discarded, QUEUE_VERSION, Redrive, Redriven};
use faasflow_core::code;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::extract::{Parameters, Segment};
use super::{body, masked};
use crate::answer::refusal;
use crate::queue::{DeadLetter, DeadLetterSummary, LetterFilter, Queue, QueueError, QueuedCall, Selection};
use crate::{disk, queue_stats};

pub(super) async fn stats(State(queue): State<Queue>) -> Response {
    answer(queue.stats().await.map(queue_stats::to_admin))
}

/// The length of a list, 100 by default. It is read as text, so that the error can say what to write.
#[derive(Deserialize)]
pub(super) struct Limit {
    limit: Option<String>,
}

impl Limit {
    fn read(&self) -> Result<usize, String> {
        let Some(text) = &self.limit else { return Ok(100) };
        text.parse().map_err(|_| format!("`limit` is `{text}`: write how many to list, such as 100"))
    }
}

pub(super) async fn calls(State(queue): State<Queue>, Parameters(limit): Parameters<Limit>) -> Response {
    match limit.read() {
        Ok(limit) => {
            answer(queue.list(limit).await.map(|calls| calls.into_iter().map(call_to_admin).collect::<Vec<_>>()))
        }
        Err(why) => refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why),
    }
}

/// Which dead letters are listed.
#[derive(Deserialize)]
pub(super) struct Letters {
    limit: Option<String>,
    function: Option<String>,
    request: Option<String>,
}

pub(super) async fn dead_letters(State(queue): State<Queue>, Parameters(asked): Parameters<Letters>) -> Response {
    let Letters { limit, function, request } = asked;
    match (Limit { limit }).read() {
        Ok(limit) => answer(
            queue
                .find_dead_letters(&LetterFilter { function, request }, limit)
                .await
                .map(|letters| letters.into_iter().map(summary_to_admin).collect::<Vec<_>>()),
        ),
        Err(why) => refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why),
    }
}

/// Whether credentials are masked, which they are by default. It is read as text, so that the error can say what to write.
#[derive(Deserialize)]
pub(super) struct Masked {
    masked: Option<String>,
}

impl Masked {
    fn read(&self) -> Result<bool, String> {
        match self.masked.as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(text) => Err(format!("`masked` is `{text}`: write `false` to see credentials, or `true`")),
        }
    }
}

pub(super) async fn dead_letter(
    State(queue): State<Queue>,
    Segment(id): Segment,
    Parameters(asked): Parameters<Masked>,
) -> Response {
    let Ok(id) = id.parse() else {
        let why = format!("`{id}` is not the number of a dead letter: /system/queue/dead-letters lists them");
        return refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why);
    };
    let is_masked = match asked.read() {
        Ok(is_masked) => is_masked,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why),
    };
    match queue.dead_letter(id).await {
        Ok(Some(letter)) => {
            let mut letter = letter_to_admin(letter);
            if is_masked {
                masked::mask(&mut letter);
            }
            Json(letter).into_response()
        }
        Ok(None) => {
            refusal(StatusCode::NOT_FOUND, code::NO_DEAD_LETTER, format!("the dead letter {id} does not exist"))
        }
        Err(error) => answer::<()>(Err(error)),
    }
}

pub(super) async fn redrive(State(queue): State<Queue>, body: Body) -> Response {
    let redrive: Redrive = match body::read(body).await {
        Ok(redrive) => redrive,
        Err(response) => return *response,
    };
    let Redrive { ids, function, per_second } = redrive;
    if per_second == Some(0) {
        let why = "`per_second` is 0, so nothing would ever be put back: write a number above 0, or leave it out";
        return refusal(StatusCode::BAD_REQUEST, code::BAD_API_BODY, why);
    }
    let count = queue.redrive(&Selection { ids, function }, per_second).await;
    answer(count.map(|count| {
        let mut converted = Redriven::default();
        (converted.version, converted.redriven) = (QUEUE_VERSION, count);
        converted
    }))
}

pub(super) async fn discard(State(queue): State<Queue>, body: Body) -> Response {
    let which = match body::read(body).await {
        Ok(admin::Selection { ids, function }) => Selection { ids, function },
        Err(response) => return *response,
    };
    answer(queue.discard(&which).await.map(|count| {
        let mut converted = Discarded::default();
        (converted.version, converted.discarded) = (QUEUE_VERSION, count);
        converted
    }))
}

fn answer<T: Serialize>(outcome: Result<T, QueueError>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(error) => disk::queue_answer(&error, ""),
    }
}

/// The types of the queue may change. Programs read those of the API.
fn call_to_admin(call: QueuedCall) -> admin::QueuedCall {
    let mut converted = admin::QueuedCall::default();
    converted.id = call.id;
    converted.call_id = call.call_id;
    converted.function = call.function;
    converted.callback = call.callback;
    converted.attempt = call.attempt;
    converted.in_flight = call.in_flight;
    converted.accepted_ms = call.accepted_ms;
    converted.due_ms = call.due_ms;
    converted.bytes = call.bytes as u64;
    converted
}

fn summary_to_admin(letter: DeadLetterSummary) -> admin::DeadLetterSummary {
    let mut converted = admin::DeadLetterSummary::default();
    converted.id = letter.id;
    converted.call_id = letter.call_id;
    converted.function = letter.function;
    converted.callback = letter.callback;
    converted.request = letter.request;
    converted.reason = letter.reason;
    converted.status = letter.status;
    converted.attempts = letter.attempts;
    converted.accepted_ms = letter.accepted_ms;
    converted.died_ms = letter.died_ms;
    converted.bytes = letter.bytes as u64;
    converted
}

fn letter_to_admin(letter: DeadLetter) -> admin::DeadLetter {
    let mut converted = admin::DeadLetter::default();
    converted.version = QUEUE_VERSION;
    converted.summary = summary_to_admin(letter.summary);
    converted.target = letter.target;
    converted.headers = letter.headers;
    converted.body = letter.body;
    converted.answer_headers = letter.answer_headers;
    converted.answer_body = letter.answer_body;
    converted
}
