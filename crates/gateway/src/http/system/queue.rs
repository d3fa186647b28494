//! What is in the queue, and what becomes of dead letters.

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

/// How many of a list are asked for: 100 if the query does not say. It is read as text, so that the error can say what to
/// write.
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
    answer(count.map(|redriven| Redriven { redriven }))
}

pub(super) async fn discard(State(queue): State<Queue>, body: Body) -> Response {
    let which = match body::read(body).await {
        Ok(admin::Selection { ids, function }) => Selection { ids, function },
        Err(response) => return *response,
    };
    answer(queue.discard(&which).await.map(|discarded| Discarded { discarded }))
}

fn answer<T: Serialize>(outcome: Result<T, QueueError>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(error) => disk::queue_answer(&error, ""),
    }
}

/// The queue's own types may change with it; those of the API are what programs read.
fn stats_told(stats: QueueStats) -> admin::QueueStats {
    admin::QueueStats {
        depth: stats.depth as u64,
        functions: stats.functions.into_iter().map(|(name, depth)| (name, depth as u64)).collect(),
        in_flight: stats.in_flight as u64,
        oldest_seconds: stats.oldest_seconds,
        dead_letters: stats.dead_letters as u64,
        unreadable: stats.unreadable as u64,
        accepted: stats.totals.accepted,
        duplicates: stats.totals.duplicates,
        delivered: stats.totals.delivered,
        retried: stats.totals.retried,
        dead: stats.totals.dead,
    }
}

fn call_told(call: QueuedCall) -> admin::QueuedCall {
    admin::QueuedCall {
        id: call.id,
        call_id: call.call_id,
        function: call.function,
        callback: call.callback,
        attempt: call.attempt,
        in_flight: call.in_flight,
        accepted_ms: call.accepted_ms,
        due_ms: call.due_ms,
        bytes: call.bytes as u64,
    }
}

fn summary_told(letter: DeadLetterSummary) -> admin::DeadLetterSummary {
    admin::DeadLetterSummary {
        id: letter.id,
        call_id: letter.call_id,
        function: letter.function,
        callback: letter.callback,
        reason: letter.reason,
        status: letter.status,
        attempts: letter.attempts,
        accepted_ms: letter.accepted_ms,
        died_ms: letter.died_ms,
        bytes: letter.bytes as u64,
    }
}

fn letter_told(letter: DeadLetter) -> admin::DeadLetter {
    admin::DeadLetter {
        summary: summary_told(letter.summary),
        target: letter.target,
        headers: letter.headers,
        body: letter.body,
        answer_headers: letter.answer_headers,
        answer_body: letter.answer_body,
    }
}
