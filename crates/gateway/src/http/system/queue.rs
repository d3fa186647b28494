//! What is in the queue, and what becomes of dead letters.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body;
use crate::answer::plain;
use crate::disk;
use crate::queue::{Queue, QueueError, Selection};

pub(super) async fn stats(State(queue): State<Queue>) -> Response {
    answer(queue.stats().await)
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

pub(super) async fn calls(State(queue): State<Queue>, Query(limit): Query<Limit>) -> Response {
    match limit.read() {
        Ok(limit) => answer(queue.list(limit).await),
        Err(why) => plain(StatusCode::BAD_REQUEST, why),
    }
}

pub(super) async fn dead_letters(State(queue): State<Queue>, Query(limit): Query<Limit>) -> Response {
    match limit.read() {
        Ok(limit) => answer(queue.dead_letters(limit).await),
        Err(why) => plain(StatusCode::BAD_REQUEST, why),
    }
}

pub(super) async fn dead_letter(State(queue): State<Queue>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse() else {
        let why = format!("`{id}` is not the number of a dead letter: /system/queue/dead-letters lists them");
        return plain(StatusCode::BAD_REQUEST, why);
    };
    match queue.dead_letter(id).await {
        Ok(Some(letter)) => Json(letter).into_response(),
        Ok(None) => plain(StatusCode::NOT_FOUND, format!("there is no dead letter {id}")),
        Err(error) => answer::<()>(Err(error)),
    }
}

/// What is asked of a redrive.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// Those of these numbers; all, where absent.
    #[serde(default)]
    pub ids: Option<Vec<u64>>,
    /// Those of this function; of every, where absent.
    #[serde(default)]
    pub function: Option<String>,
    /// How many each second; all at once, where absent.
    #[serde(default)]
    pub per_second: Option<u32>,
}

pub(super) async fn redrive(State(queue): State<Queue>, body: Body) -> Response {
    let redrive: Redrive = match body::read(body).await {
        Ok(redrive) => redrive,
        Err(response) => return *response,
    };
    let Redrive { ids, function, per_second } = redrive;
    let count = queue.redrive(&Selection { ids, function }, per_second).await;
    answer(count.map(|count| json!({ "redriven": count })))
}

pub(super) async fn discard(State(queue): State<Queue>, body: Body) -> Response {
    let which: Selection = match body::read(body).await {
        Ok(which) => which,
        Err(response) => return *response,
    };
    answer(queue.discard(&which).await.map(|count| json!({ "discarded": count })))
}

fn answer<T: Serialize>(outcome: Result<T, QueueError>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(error) => disk::answer(disk::queue_status(&error), error.to_string()),
    }
}
