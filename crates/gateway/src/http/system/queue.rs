//! Lists the queue, and handles dead letters.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::{self as admin, Discarded, Redrive, Redriven};
use faasflow_core::code;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::body;
use super::extract::{Parameters, Segment};
use crate::answer::refusal;
use crate::disk;
use crate::queue::{DeadLetter, DeadLetterSummary, Queue, QueueError, QueueStats, QueuedCall, Selection};

pub(super) async fn stats(State(queue): State<Queue>) -> Response {
    answer(queue.stats().await.map(stats_told))
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
        Ok(limit) => answer(queue.list(limit).await.map(|calls| calls.into_iter().map(call_told).collect::<Vec<_>>())),
        Err(why) => refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why),
    }
}

pub(super) async fn dead_letters(State(queue): State<Queue>, Parameters(limit): Parameters<Limit>) -> Response {
    match limit.read() {
        Ok(limit) => answer(
            queue.dead_letters(limit).await.map(|letters| letters.into_iter().map(summary_told).collect::<Vec<_>>()),
        ),
        Err(why) => refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why),
    }
}

pub(super) async fn dead_letter(State(queue): State<Queue>, Segment(id): Segment) -> Response {
    let Ok(id) = id.parse() else {
        let why = format!("`{id}` is not the number of a dead letter: /system/queue/dead-letters lists them");
        return refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why);
    };
    match queue.dead_letter(id).await {
        Ok(Some(letter)) => Json(letter_told(letter)).into_response(),
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
        let mut told = Redriven::default();
        told.redriven = count;
        told
    }))
}

pub(super) async fn discard(State(queue): State<Queue>, body: Body) -> Response {
    let which = match body::read(body).await {
        Ok(admin::Selection { ids, function }) => Selection { ids, function },
        Err(response) => return *response,
    };
    answer(queue.discard(&which).await.map(|count| {
        let mut told = Discarded::default();
        told.discarded = count;
        told
    }))
}

fn answer<T: Serialize>(outcome: Result<T, QueueError>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(error) => disk::queue_answer(&error, ""),
    }
}

/// The types of the queue may change. Programs read those of the API.
fn stats_told(stats: QueueStats) -> admin::QueueStats {
    let mut told = admin::QueueStats::default();
    told.depth = stats.depth as u64;
    told.functions = stats.functions.into_iter().map(|(name, depth)| (name, depth as u64)).collect();
    told.in_flight = stats.in_flight as u64;
    told.oldest_seconds = stats.oldest_seconds;
    told.dead_letters = stats.dead_letters as u64;
    told.unreadable = stats.unreadable as u64;
    told.accepted = stats.totals.accepted;
    told.duplicates = stats.totals.duplicates;
    told.delivered = stats.totals.delivered;
    told.retried = stats.totals.retried;
    told.dead = stats.totals.dead;
    told
}

fn call_told(call: QueuedCall) -> admin::QueuedCall {
    let mut told = admin::QueuedCall::default();
    told.id = call.id;
    told.call_id = call.call_id;
    told.function = call.function;
    told.callback = call.callback;
    told.attempt = call.attempt;
    told.in_flight = call.in_flight;
    told.accepted_ms = call.accepted_ms;
    told.due_ms = call.due_ms;
    told.bytes = call.bytes as u64;
    told
}

fn summary_told(letter: DeadLetterSummary) -> admin::DeadLetterSummary {
    let mut told = admin::DeadLetterSummary::default();
    told.id = letter.id;
    told.call_id = letter.call_id;
    told.function = letter.function;
    told.callback = letter.callback;
    told.reason = letter.reason;
    told.status = letter.status;
    told.attempts = letter.attempts;
    told.accepted_ms = letter.accepted_ms;
    told.died_ms = letter.died_ms;
    told.bytes = letter.bytes as u64;
    told
}

fn letter_told(letter: DeadLetter) -> admin::DeadLetter {
    let mut told = admin::DeadLetter::default();
    told.summary = summary_told(letter.summary);
    told.target = letter.target;
    told.headers = letter.headers;
    told.body = letter.body;
    told.answer_headers = letter.answer_headers;
    told.answer_body = letter.answer_body;
    told
}
